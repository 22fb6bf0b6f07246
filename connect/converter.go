// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"freshet/config"
	"freshet/emitter"
	"freshet/emitter/avro"
	"freshet/emitter/cloudevents"
	"freshet/emitter/json"
	"freshet/emitter/jsonschema"
	"freshet/emitter/plain"
	"freshet/emitter/protobuf"
	"freshet/sinks"
)

// Converter is a converter with its settings. It is made anew for each connector: what it caches lives as long as that.
type Converter struct {
	Class string
	// Format is the source's side: encoders of keys, values or headers.
	Format func() emitter.Format
	// Side is the sink's: it decodes keys or values for one task.
	Side func() sinks.Side
}

// converterKind is a converter that configurations may name. make gets the settings without the prefix of the property, and
// their problems with it.
type converterKind struct {
	plugin config.Plugin
	make   func(property string, settings map[string]string) (Converter, []config.Problem)
}

// jsonConverter is the default for keys and values.
var jsonConverter = json.Plugin()

// avroConverter serves keys and values.
var avroConverter = avro.Plugin()

// jsonSchemaConverter serves keys and values.
var jsonSchemaConverter = jsonschema.Plugin()

// protobufConverter serves keys and values.
var protobufConverter = protobuf.Plugin()

// cloudEventsConverter serves values of sources.
var cloudEventsConverter = cloudevents.Plugin()

// simpleHeaderConverter is Kafka Connect's default for headers. It has no settings.
var simpleHeaderConverter = config.Plugin{
	Name: "simple", Class: "org.apache.kafka.connect.storage.SimpleHeaderConverter", Kind: "header_converter", Version: CompatibleVersion,
}

// converterKinds is the list of converters, by class.
var converterKinds = listConverters()

func listConverters() []converterKind {
	kinds := []converterKind{{jsonConverter, newJSON}, {avroConverter, newAvro}, {jsonSchemaConverter, newJSONSchema}, {protobufConverter, newProtobuf}, {cloudEventsConverter, newCloudEvents}}
	for _, p := range plain.Plugins() {
		kinds = append(kinds, converterKind{p, func(property string, settings map[string]string) (Converter, []config.Problem) {
			return newPlain(p.Class, property, settings)
		}})
	}
	slices.SortFunc(kinds, func(x, y converterKind) int { return cmp.Compare(x.plugin.Class, y.plugin.Class) })
	return kinds
}

// headers says whether a converter serves headers.
func (k *converterKind) headers() bool {
	switch k.plugin.Class {
	case avroConverter.Class, jsonSchemaConverter.Class, protobufConverter.Class, cloudEventsConverter.Class:
		return false
	}
	return true
}

// laterConverters are the beginnings of known classes that are not served yet.
var laterConverters = []string{"org.apache.kafka.connect.", "io.confluent.connect.", "io.apicurio.", "io.debezium.converters."}

// Converters are the converters of one connector.
type Converters struct {
	Key, Value Converter
	// Header, if not nil, converts headers; nil is the SimpleHeaderConverter.
	Header *Converter
}

// Converters decides on the converters of a connector. A class that the connector names is set up by the connector's own
// settings alone; otherwise the worker's class and settings are used, and the connector's settings have no effect.
func (c WorkerConfig) Converters(cfg map[string]string) (Converters, []config.Problem) {
	var out Converters
	var problems []config.Problem
	for property, dst := range map[string]*Converter{"key.converter": &out.Key, "value.converter": &out.Value} {
		class, settings := c.converter(property, cfg)
		var found []config.Problem
		*dst, found = newConverter(property, cmp.Or(class, jsonConverter.Class), settings)
		problems = append(problems, ownProblems(property, cfg, found)...)
	}
	class, settings := c.converter("header.converter", cfg)
	if class != "" && !simpleHeaderConverter.Matches(class) {
		header, found := newConverter("header.converter", class, settings)
		out.Header, problems = &header, append(problems, ownProblems("header.converter", cfg, found)...)
	}
	return out, problems
}

// converter is the class of a converter and its settings; "" is the default.
func (c WorkerConfig) converter(property string, cfg map[string]string) (class string, settings map[string]string) {
	from := cfg
	if class = strings.TrimSpace(cfg[property]); class == "" {
		from, class = c.Properties, strings.TrimSpace(c.Properties[property])
	}
	settings = map[string]string{}
	for name, value := range from {
		if rest, ok := strings.CutPrefix(name, property+"."); ok && rest != "plugin.version" {
			settings[rest] = value
		}
	}
	return class, settings
}

// newConverter sets up the converter of a class.
func newConverter(property, class string, settings map[string]string) (Converter, []config.Problem) {
	for _, k := range converterKinds {
		if k.plugin.Matches(class) {
			c, problems := k.make(property, settings)
			if len(config.Errors(problems)) > 0 {
				return c, problems
			}
			return c, append(problems, idleSettings(property, &k.plugin, settings)...)
		}
	}
	served := jsonConverter.Class
	if property == "header.converter" {
		served = simpleHeaderConverter.Class
	}
	return Converter{}, []config.Problem{unserved(property, class, served)}
}

// ownProblems leaves out what is only warned of where the converter is the worker's.
func ownProblems(property string, cfg map[string]string, problems []config.Problem) []config.Problem {
	if strings.TrimSpace(cfg[property]) != "" {
		return problems
	}
	return config.Errors(problems)
}

// idleSettings warns of settings that a converter does not know, or that have no effect.
func idleSettings(property string, p *config.Plugin, settings map[string]string) []config.Problem {
	v, found := p.Def.Parse(maps.Clone(settings))
	var out []config.Problem
	for _, f := range found {
		if f.Warning {
			f.Property = property + "." + f.Property
			out = append(out, f)
		}
	}
	for _, name := range v.Unknown(nil) {
		name = property + "." + name
		out = append(out, config.Problem{Property: name, Message: fmt.Sprintf("The property '%s' is not known to %s and has no effect", name, p.Class), Warning: true})
	}
	return out
}

// settingProblems are those of a converter's settings. As in Kafka Connect the messages name a setting without its prefix.
func settingProblems(property string, def *config.Def, settings map[string]string) []config.Problem {
	_, problems := def.Parse(maps.Clone(settings))
	problems = config.Errors(problems)
	for i := range problems {
		problems[i].Property = property + "." + problems[i].Property
	}
	return problems
}

func newJSON(property string, settings map[string]string) (Converter, []config.Problem) {
	if problems := settingProblems(property, &jsonConverter.Def, settings); len(problems) > 0 {
		return Converter{}, problems
	}
	o, err := json.ParseOptions(settings)
	if err != nil {
		return Converter{}, []config.Problem{{Property: property, Message: err.Error()}}
	}
	return Converter{
		Class:  jsonConverter.Class,
		Format: func() emitter.Format { return json.New(o) },
		Side:   func() sinks.Side { return json.NewSide(o) },
	}, nil
}

func newAvro(property string, settings map[string]string) (Converter, []config.Problem) {
	return newRegistered(&avroConverter, property, settings, func(key bool) (Converter, error) {
		o, err := avro.ParseOptions(settings, key)
		if err != nil {
			return Converter{}, err
		}
		format, err := avro.New(o)
		return Converter{
			Format: func() emitter.Format { return format }, Side: func() sinks.Side { return avro.NewSide(o, format) },
		}, err
	})
}

func newJSONSchema(property string, settings map[string]string) (Converter, []config.Problem) {
	return newRegistered(&jsonSchemaConverter, property, settings, func(key bool) (Converter, error) {
		o, err := jsonschema.ParseOptions(settings, key)
		if err != nil {
			return Converter{}, err
		}
		format, err := jsonschema.New(o)
		return Converter{
			Format: func() emitter.Format { return format }, Side: func() sinks.Side { return jsonschema.NewSide(o, format) },
		}, err
	})
}

func newProtobuf(property string, settings map[string]string) (Converter, []config.Problem) {
	return newRegistered(&protobufConverter, property, settings, func(key bool) (Converter, error) {
		o, err := protobuf.ParseOptions(settings, key)
		if err != nil {
			return Converter{}, err
		}
		format, err := protobuf.New(o)
		return Converter{
			Format: func() emitter.Format { return format }, Side: func() sinks.Side { return protobuf.NewSide(o, format) },
		}, err
	})
}

// newRegistered makes a converter of keys and values with a schema registry.
func newRegistered(p *config.Plugin, property string, settings map[string]string, build func(key bool) (Converter, error)) (Converter, []config.Problem) {
	if property == "header.converter" {
		return Converter{}, []config.Problem{unserved(property, p.Class, simpleHeaderConverter.Class)}
	}
	problems := settingProblems(property, &p.Def, settings)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if strings.HasPrefix(name, "schema.registry.ssl.") || strings.HasPrefix(name, "proxy.") {
			name = property + "." + name
			problems = append(problems, config.Problem{Property: name, Message: fmt.Sprintf("The property '%s' is not served yet: %s", name,
				"certificates are those that the system trusts, proxies those of the environment; leave it out"), Unserved: true})
		}
	}
	if len(problems) > 0 {
		return Converter{}, problems
	}
	c, err := build(property == "key.converter")
	if err != nil {
		return Converter{}, []config.Problem{{Property: property, Message: err.Error()}}
	}
	c.Class = p.Class
	return c, nil
}

// newCloudEvents makes the converter of values. Its id, source and data are those of change events, which keys and headers are
// not.
func newCloudEvents(property string, settings map[string]string) (Converter, []config.Problem) {
	if property != "value.converter" {
		return Converter{}, []config.Problem{{
			Property: property, Message: fmt.Sprintf("Invalid value %s for configuration %s: it converts values alone", cloudevents.Class, property),
		}}
	}
	if problems := settingProblems(property, &cloudEventsConverter.Def, settings); len(problems) > 0 {
		return Converter{}, problems
	}
	o, err := cloudevents.ParseOptions(settings)
	if err != nil {
		return Converter{}, []config.Problem{{Property: property, Message: err.Error()}}
	}
	return Converter{
		Class:  cloudevents.Class,
		Format: func() emitter.Format { return cloudevents.New(o) },
		Side:   func() sinks.Side { return cloudevents.Side{} },
	}, nil
}

func newPlain(class, property string, settings map[string]string) (Converter, []config.Problem) {
	c, err := plain.New(class, settings)
	if err != nil {
		return Converter{}, []config.Problem{{Property: property, Message: err.Error()}}
	}
	return Converter{
		Class: class, Format: func() emitter.Format { return c }, Side: func() sinks.Side { return c },
	}, nil
}

// unserved refuses a converter class, telling apart those that are to come from those that nobody knows.
func unserved(property, class, served string) config.Problem {
	reason := fmt.Sprintf("Class %s could not be found.", class)
	for _, known := range laterConverters {
		if strings.HasPrefix(class, known) {
			reason = "not served yet: use " + served
		}
	}
	return config.Problem{Property: property, Message: fmt.Sprintf("Invalid value %s for configuration %s: %s", class, property, reason)}
}

// headerFormat is the emitter's side of the header converter.
func (c Converters) headerFormat() emitter.HeaderFormat {
	if c.Header != nil {
		return &convertedHeaders{format: c.Header.Format()}
	}
	return simpleHeaders{}
}

// decoder is the sink's side of the converters of keys and values, for one task.
func (c Converters) decoder() sinks.Decoder {
	var header sinks.Side
	if c.Header != nil {
		header = c.Header.Side()
	}
	return sinks.NewDecoder(c.Key.Side(), c.Value.Side(), header)
}
