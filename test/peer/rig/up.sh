#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Starts the peer on 127.0.0.1: Apache Kafka, and a Kafka Connect worker with Debezium's PostgreSQL connector, their jars
# by Maven. Needs a JDK (17 or later) and mvn. What runs already is left alone. `up.sh down` stops what this started,
# `up.sh fresh` starts it anew, without what its Kafka holds.
# Everything is kept below RIG_DIR; KAFKA_PORT (and the next one) and CONNECT_PORT are the ports.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
RIG_DIR=${RIG_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/freshet-peer}
KAFKA_PORT=${KAFKA_PORT:-19092}
CONNECT_PORT=${CONNECT_PORT:-18083}
DEBEZIUM=3.6.1.Final
JDBC=3.6.0.Final

if [ "${1:-}" = down ] || [ "${1:-}" = fresh ]; then
	for f in "$RIG_DIR"/run/*.pid; do
		[ -e "$f" ] || continue
		pid=$(cat "$f")
		kill "$pid" 2>/dev/null || true
		while kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
		rm -f "$f"
	done
	[ "$1" = fresh ] || exit 0
	rm -rf "$RIG_DIR/data"
fi

mkdir -p "$RIG_DIR"/{run,logs,data,plugins,maven}
cp "$here/pom.xml" "$RIG_DIR/maven/pom.xml"
cd "$RIG_DIR/maven"
if [ ! -d "$RIG_DIR/libs" ]; then
	mvn -q -B dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$RIG_DIR/libs.part"
	mv "$RIG_DIR/libs.part" "$RIG_DIR/libs"
fi
if [ ! -d "$RIG_DIR/plugins/debezium-connector-postgres" ]; then
	mvn -q -B dependency:copy -Dartifact="io.debezium:debezium-connector-postgres:$DEBEZIUM:tar.gz:plugin" -DoutputDirectory=.
	tar xzf "debezium-connector-postgres-$DEBEZIUM-plugin.tar.gz" -C "$RIG_DIR/plugins"
fi
if [ ! -d "$RIG_DIR/plugins/debezium-connector-jdbc" ]; then
	mvn -q -B dependency:copy -Dartifact="io.debezium:debezium-connector-jdbc:$JDBC:tar.gz:plugin" -DoutputDirectory=.
	tar xzf "debezium-connector-jdbc-$JDBC-plugin.tar.gz" -C "$RIG_DIR/plugins"
fi

listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }
start() { # NAME PORT HEAP arguments of java...
	local name=$1 port=$2 heap=$3
	shift 3
	listening "$port" && return 0
	setsid java "-Xmx$heap" "-Dlog4j2.configurationFile=$here/log4j2.xml" -cp "$RIG_DIR/libs/*" "$@" >"$RIG_DIR/logs/$name.log" 2>&1 &
	echo $! >"$RIG_DIR/run/$name.pid"
	for _ in $(seq 1200); do
		listening "$port" && return 0
		kill -0 "$(cat "$RIG_DIR/run/$name.pid")" 2>/dev/null || break
		sleep 0.1
	done
	echo "$name did not open port $port: see $RIG_DIR/logs/$name.log" >&2
	return 1
}

cat >"$RIG_DIR/server.properties" <<EOF
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:$KAFKA_PORT,CONTROLLER://127.0.0.1:$((KAFKA_PORT + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$KAFKA_PORT
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:$((KAFKA_PORT + 1))
log.dirs=$RIG_DIR/data/kafka
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.dedupe.buffer.size=4194304
log.index.size.max.bytes=1048576
EOF
if [ ! -d "$RIG_DIR/data/kafka" ]; then
	tool() { java -cp "$RIG_DIR/libs/*" kafka.tools.StorageTool "$@"; }
	tool format --standalone -t "$(tool random-uuid)" -c "$RIG_DIR/server.properties" >/dev/null
fi
start kafka "$KAFKA_PORT" 768m kafka.Kafka "$RIG_DIR/server.properties"

cat >"$RIG_DIR/connect.properties" <<EOF
bootstrap.servers=127.0.0.1:$KAFKA_PORT
group.id=peer
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
config.storage.topic=peer_configs
offset.storage.topic=peer_offsets
status.storage.topic=peer_status
config.storage.replication.factor=1
offset.storage.replication.factor=1
status.storage.replication.factor=1
offset.storage.partitions=1
status.storage.partitions=1
offset.flush.interval.ms=1000
scheduled.rebalance.max.delay.ms=0
listeners=http://127.0.0.1:$CONNECT_PORT
plugin.path=$RIG_DIR/plugins
plugin.discovery=hybrid_warn
connector.client.config.override.policy=All
EOF
start connect "$CONNECT_PORT" 1500m -Dlevel=INFO org.apache.kafka.connect.cli.ConnectDistributed "$RIG_DIR/connect.properties"
