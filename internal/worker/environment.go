// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"fmt"
	"net"
	"slices"
	"strings"

	"freshet/config"
)

// Variable is a variable of the environment that a worker without a file of properties takes.
type Variable struct {
	Name     string
	Property string // that it sets, "" for none
	Doc      string
}

// Variables are those of the image debezium/connect, and a few of Strimzi's. CONNECT_ variables set any property.
var Variables = []Variable{
	{"BOOTSTRAP_SERVERS", "bootstrap.servers", "the brokers"},
	{"GROUP_ID", "group.id", "the group of a distributed worker; 1 unless given"},
	{"CONFIG_STORAGE_TOPIC", "config.storage.topic", "topic of the connectors' configurations"},
	{"OFFSET_STORAGE_TOPIC", "offset.storage.topic", "topic of the positions"},
	{"STATUS_STORAGE_TOPIC", "status.storage.topic", "topic of the states; connect-status unless given"},
	{"KEY_CONVERTER", "key.converter", "converter of keys"},
	{"VALUE_CONVERTER", "value.converter", "converter of values"},
	{"OFFSET_FLUSH_INTERVAL_MS", "offset.flush.interval.ms", "how often positions are stored"},
	{"OFFSET_FLUSH_TIMEOUT_MS", "offset.flush.timeout.ms", "how long that may take"},
	{"SHUTDOWN_TIMEOUT", "task.shutdown.graceful.timeout.ms", "how long stopped tasks may take, in milliseconds"},
	{"HOST_NAME", "", "host of REST_HOST_NAME and ADVERTISED_HOST_NAME, where they are not given"},
	{"REST_HOST_NAME", "listeners", "host of the listener"},
	{"REST_PORT", "listeners", "port of the listener; 8083 unless given"},
	{"ADVERTISED_HOST_NAME", "rest.advertised.host.name", "host that other workers are told"},
	{"ADVERTISED_PORT", "rest.advertised.port", "port that other workers are told"},
	{"LOG_LEVEL", "", "level of the log, unless --log-level is given"},
	{"CONNECT_LOG4J_LOGGERS", "", "level of the log, such as `WARN, stdout`; what stands behind the comma has no effect"},
	{"CONNECT_LOG4J_LOGGER_IO_DEBEZIUM", "", "level of the logger io.debezium, and so on for other names: see loggers.md"},
	{"CONNECT_REST_AUTH_TOKEN_FILE", "rest.auth.token.file", "and so on: CONNECT_, and the name of any property in capitals, with _ for each dot"},
	{"KAFKA_CONNECT_BOOTSTRAP_SERVERS", "bootstrap.servers", "as Strimzi gives it"},
	{"KAFKA_CONNECT_CONFIGURATION", "", "a whole file of properties, as Strimzi gives it; all others go before it"},
}

// withoutEffect are variables of the images that mean something to a JVM or to its plug-ins only.
var withoutEffect = []string{
	"APICURIO_REGISTRY", "ENABLE_APICURIO_CONVERTERS", "ENABLE_DEBEZIUM_KC_REST_EXTENSION", "ENABLE_DEBEZIUM_SCRIPTING", "ENABLE_JFR", "ENABLE_JMX_EXPORTER",
	"ENABLE_JOLOKIA", "ENABLE_OTEL", "HEAP_OPTS", "JMXHOST", "JMXPORT", "KAFKA_HEAP_OPTS", "KAFKA_OPTS",
}

// Environment is what a worker is given by the environment instead of a file.
type Environment struct {
	Properties map[string]string
	// Levels are those of loggers, by name.
	Levels map[string]string
	// Idle are variables that have no effect here.
	Idle []string
}

// ReadEnvironment takes the variables of an environment, in the form of os.Environ. Without any that sets a property
// Properties is nil.
func ReadEnvironment(environ []string) (Environment, error) {
	e := Environment{Levels: map[string]string{}}
	given, properties := map[string]string{}, map[string]string{}
	for _, item := range environ {
		name, value, _ := strings.Cut(item, "=")
		if value != "" {
			given[name] = value
		}
	}
	if text := given["KAFKA_CONNECT_CONFIGURATION"]; text != "" {
		var err error
		if properties, err = config.ParseProperties([]byte(text)); err != nil {
			return e, fmt.Errorf("variable KAFKA_CONNECT_CONFIGURATION: %w", err)
		}
	}
	for name, value := range given {
		rest, ok := strings.CutPrefix(name, "CONNECT_")
		switch logger, isLevel := strings.CutPrefix(rest, "LOG4J_LOGGER_"); {
		case !ok:
		case isLevel:
			e.Levels[strings.ReplaceAll(strings.ToLower(logger), "_", ".")] = levelOf(value)
		case rest == "LOG4J_LOGGERS":
			e.Levels["root"] = levelOf(value)
		case strings.HasPrefix(rest, "LOG4J"), rest == "PLUGIN_PATH", rest == "REST_PORT", rest == "REST_HOST_NAME":
			// of the image itself: appenders, jars, and properties that Kafka Connect no longer has
		default:
			properties[strings.ReplaceAll(strings.ToLower(rest), "_", ".")] = value
		}
	}
	for _, v := range slices.Backward(Variables) { // the image's own go before Strimzi's
		if value := given[v.Name]; value != "" && v.Property != "" && v.Property != "listeners" && !strings.HasPrefix(v.Name, "CONNECT_") {
			properties[v.Property] = value
		}
	}
	if level := given["LOG_LEVEL"]; level != "" {
		e.Levels["root"] = levelOf(level)
	}
	listen(given, properties)
	for _, name := range withoutEffect {
		if given[name] != "" {
			e.Idle = append(e.Idle, name)
		}
	}
	if len(properties) > 0 {
		e.Properties = properties
	}
	return e, nil
}

// levelOf is the level of a log4j property, which may name appenders behind it.
func levelOf(value string) string {
	level, _, _ := strings.Cut(value, ",")
	return strings.TrimSpace(level)
}

// listen sets the addresses that the image's own variables give.
func listen(given, properties map[string]string) {
	host := given["REST_HOST_NAME"]
	if host == "" {
		host = given["HOST_NAME"]
	}
	if port := given["REST_PORT"]; (host != "" || port != "") && properties["listeners"] == "" {
		if port == "" {
			port = "8083"
		}
		properties["listeners"] = "http://" + net.JoinHostPort(host, port)
	}
	if properties["rest.advertised.host.name"] == "" && given["HOST_NAME"] != "" {
		properties["rest.advertised.host.name"] = given["HOST_NAME"]
	}
}

// Grouped are the properties of a worker that shares its connectors, with the image's defaults.
func (e Environment) Grouped() map[string]string {
	for name, value := range map[string]string{"group.id": "1", "status.storage.topic": "connect-status"} {
		if e.Properties != nil && e.Properties[name] == "" {
			e.Properties[name] = value
		}
	}
	return e.Properties
}
