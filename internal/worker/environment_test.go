// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestReadEnvironment(t *testing.T) {
	for _, c := range []struct {
		name       string
		environ    []string
		properties map[string]string
		levels     map[string]string
		idle       []string
	}{
		{"nothing", []string{"HOME=/root", "PATH=/bin", "=x", "GROUP_ID="}, nil, nil, nil},
		{
			"the image's tutorial",
			[]string{"BOOTSTRAP_SERVERS=kafka:9092", "GROUP_ID=2", "CONFIG_STORAGE_TOPIC=c", "OFFSET_STORAGE_TOPIC=o", "STATUS_STORAGE_TOPIC=s"},
			map[string]string{"bootstrap.servers": "kafka:9092", "group.id": "2", "config.storage.topic": "c", "offset.storage.topic": "o", "status.storage.topic": "s"},
			nil, nil,
		},
		{
			"any property",
			[]string{"CONNECT_KEY_CONVERTER_SCHEMAS_ENABLE=false", "CONNECT_SASL_JAAS_CONFIG=a=\"b\";", "CONNECT_PRODUCER_LINGER_MS=5", "CONNECT_PLUGIN_PATH=/kafka/connect"},
			map[string]string{"key.converter.schemas.enable": "false", "sasl.jaas.config": `a="b";`, "producer.linger.ms": "5"},
			nil, nil,
		},
		{"the image's own go first", []string{"CONNECT_GROUP_ID=a", "GROUP_ID=b", "KAFKA_CONNECT_BOOTSTRAP_SERVERS=x:1", "BOOTSTRAP_SERVERS=y:1"}, map[string]string{"group.id": "b", "bootstrap.servers": "y:1"}, nil, nil},
		{"times", []string{"SHUTDOWN_TIMEOUT=7000", "OFFSET_FLUSH_INTERVAL_MS=1"}, map[string]string{"task.shutdown.graceful.timeout.ms": "7000", "offset.flush.interval.ms": "1"}, nil, nil},
		{"address", []string{"REST_HOST_NAME=10.0.0.1", "REST_PORT=8084", "ADVERTISED_HOST_NAME=w", "ADVERTISED_PORT=80"}, map[string]string{"listeners": "http://10.0.0.1:8084", "rest.advertised.host.name": "w", "rest.advertised.port": "80"}, nil, nil},
		{"host", []string{"HOST_NAME=::1"}, map[string]string{"listeners": "http://[::1]:8083", "rest.advertised.host.name": "::1"}, nil, nil},
		{"port", []string{"REST_PORT=1"}, map[string]string{"listeners": "http://:1"}, nil, nil},
		{"listeners go first", []string{"REST_PORT=1", "CONNECT_LISTENERS=https://:2"}, map[string]string{"listeners": "https://:2"}, nil, nil},
		{"levels", []string{"CONNECT_LOG4J_LOGGERS=WARN, stdout", "CONNECT_LOG4J_LOGGER_IO_DEBEZIUM=DEBUG", "CONNECT_LOG4J_APPENDER_X=y"}, nil, map[string]string{"root": "WARN", "io.debezium": "DEBUG"}, nil},
		{"level", []string{"LOG_LEVEL=TRACE"}, nil, map[string]string{"root": "TRACE"}, nil},
		{"Strimzi", []string{"KAFKA_CONNECT_CONFIGURATION=group.id=g\n# no\nkey.converter=k", "CONNECT_GROUP_ID=h"}, map[string]string{"group.id": "h", "key.converter": "k"}, nil, nil},
		{"of a JVM", []string{"HEAP_OPTS=-Xmx1G", "ENABLE_OTEL=true"}, nil, nil, []string{"ENABLE_OTEL", "HEAP_OPTS"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ReadEnvironment(c.environ)
			require.NoError(t, err)
			require.Equal(t, c.properties, got.Properties)
			if c.levels == nil {
				c.levels = map[string]string{}
			}
			require.Equal(t, c.levels, got.Levels)
			require.Equal(t, c.idle, got.Idle)
		})
	}
	_, err := ReadEnvironment([]string{`KAFKA_CONNECT_CONFIGURATION=a=\u12`})
	require.ErrorContains(t, err, "KAFKA_CONNECT_CONFIGURATION")
	e, err := ReadEnvironment([]string{"BOOTSTRAP_SERVERS=b:1"})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"bootstrap.servers": "b:1", "group.id": "1", "status.storage.topic": "connect-status"}, e.Grouped())
	require.Nil(t, Environment{}.Grouped())
}
