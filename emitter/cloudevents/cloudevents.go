// SPDX-License-Identifier: Apache-2.0

// Package cloudevents is Debezium's CloudEventsConverter for values of sources: change events become CloudEvents 1.0 in the
// structured JSON form (https://github.com/cloudevents/spec, json-format), with Debezium's extension attributes. Whatever is
// no change event becomes a null value, as there.
package cloudevents

import (
	"errors"
	"fmt"
	"strings"

	"freshet/change"
	"freshet/config"
	"freshet/emitter/json"
	"freshet/emitter/topic"
	"freshet/schema"
)

// Class is Debezium's.
const Class = "io.debezium.converters.CloudEventsConverter"

// jsonPrefix begins the properties of the converter of data.
const jsonPrefix = "json."

// defaultMetadata is where id, type and the rest come from.
const defaultMetadata = "value,id:generate,type:generate,traceparent:header,dataSchemaName:generate"

var definition = config.Def{Keys: append([]config.Key{
	{
		Name: "serializer.type", Type: config.String, Default: "json", HasDefault: true, Importance: config.High, Doc: "How events are written.",
		Allowed: []string{"json", "avro"}, Served: []string{"json"}, Later: "use json",
	},
	{
		Name: "data.serializer.type", Type: config.String, Default: "json", HasDefault: true, Importance: config.High, Doc: "How their data is written.",
		Allowed: []string{"json", "avro"}, Served: []string{"json"}, Later: "use json",
	},
	{
		Name: "extension.attributes.enable", Type: config.Boolean, Default: "true", HasDefault: true, Importance: config.High,
		Doc: "Add iodebezium… attributes: the operation, the source block, the transaction.",
	},
	{
		Name: "opentelemetry.tracing.attributes.enable", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Medium,
		Doc: "Add the attributes of traces.", Later: "events have no traces here",
	},
	{
		Name: "metadata.source", Type: config.String, Default: defaultMetadata, HasDefault: true, Importance: config.High,
		Doc: "Where the attributes come from.", Later: "attributes are generated", Served: []string{defaultMetadata, "value", "generate"},
	},
	{
		Name: "schema.name.adjustment.mode", Type: config.String, Default: "avro", HasDefault: true, Importance: config.Medium,
		Doc: "Names of schemas.", Ignored: "the schema of data has a fixed name",
	},
	{Name: "schema.cloudevents.name", Type: config.String, Importance: config.Medium, Doc: "Name of the schema of events.", Ignored: "events in JSON have no schema"},
	{
		Name: "schema.data.name.source.header.enable", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Low,
		Doc: "Take the name of the schema of data from a header.", Later: "the name is generated",
	},
}, dataKeys()...)}

// dataKeys are the properties of the JsonConverter of data.
func dataKeys() []config.Key {
	own := json.Plugin()
	keys := make([]config.Key, len(own.Def.Keys))
	for i, k := range own.Def.Keys {
		k.Name = jsonPrefix + k.Name
		keys[i] = k
	}
	return keys
}

// Plugin describes the converter.
func Plugin() config.Plugin {
	return config.Plugin{Name: "cloudevents", Class: Class, Kind: "converter", Version: "3.6.1.Final", Def: definition}
}

// Options are the settings of a converter.
type Options struct {
	Data       json.Options
	Extensions bool // extension.attributes.enable
}

// ParseOptions reads a converter's properties, given without the prefix value.converter. of theirs.
func ParseOptions(properties map[string]string) (Options, error) {
	v, problems := definition.Parse(properties)
	var errs []error
	for _, p := range config.Errors(problems) {
		errs = append(errs, p)
	}
	data := map[string]string{}
	for name, value := range properties {
		if rest, ok := strings.CutPrefix(name, jsonPrefix); ok {
			data[rest] = value
		}
	}
	o, err := json.ParseOptions(data)
	if err = errors.Join(append(errs, err)...); err != nil {
		return Options{}, err
	}
	return Options{Data: o, Extensions: v.Bool("extension.attributes.enable")}, nil
}

// Side refuses to read: sinks read what the JsonConverter wrote.
type Side struct{}

// DecodeData is an error that says what to do.
func (Side) DecodeData(*change.Batch, string, topic.Data) (*schema.Type, change.Value, error) {
	return nil, change.Value{}, fmt.Errorf("%s reads no events yet: let the source write with org.apache.kafka.connect.json.JsonConverter", Class)
}
