// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"fmt"
	"maps"
	"strings"

	"freshet/config"
	"freshet/emitter"
	"freshet/emitter/json"
)

// jsonConverter serves keys, values and headers.
var jsonConverter = json.Plugin()

// simpleHeaderConverter is Kafka Connect's default for headers. It has no settings.
var simpleHeaderConverter = config.Plugin{
	Name: "simple", Class: "org.apache.kafka.connect.storage.SimpleHeaderConverter", Kind: "header_converter", Version: CompatibleVersion,
}

// laterConverters are the beginnings of known classes that are not served yet.
var laterConverters = []string{"org.apache.kafka.connect.", "io.confluent.connect.", "io.apicurio.", "io.debezium.converters."}

// Converters are the settings of the converters that one connector uses.
type Converters struct {
	Key, Value json.Options
	// Header, if not nil, says that headers go through a JsonConverter with these settings; nil is the
	// SimpleHeaderConverter.
	Header *json.Options
}

// Converters decides on the converters of a connector. A class that the connector names is set up by the connector's own
// settings alone; otherwise the worker's class and settings are used, and the connector's settings have no effect.
func (c WorkerConfig) Converters(cfg map[string]string) (Converters, []config.Problem) {
	var out Converters
	var problems []config.Problem
	for property, dst := range map[string]*json.Options{"key.converter": &out.Key, "value.converter": &out.Value} {
		class, settings := c.converter(property, cfg)
		if class != "" && !jsonConverter.Matches(class) {
			problems = append(problems, unserved(property, class, jsonConverter.Class))
			continue
		}
		var found []config.Problem
		*dst, found = jsonOptions(property, settings)
		problems = append(problems, found...)
	}
	class, settings := c.converter("header.converter", cfg)
	switch {
	case class == "" || simpleHeaderConverter.Matches(class):
	case jsonConverter.Matches(class):
		o, found := jsonOptions("header.converter", settings)
		out.Header, problems = &o, append(problems, found...)
	default:
		problems = append(problems, unserved("header.converter", class, simpleHeaderConverter.Class))
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

// jsonOptions reads the settings of a JsonConverter. As in Kafka Connect the messages name a setting without its prefix.
func jsonOptions(property string, settings map[string]string) (json.Options, []config.Problem) {
	_, problems := jsonConverter.Def.Parse(maps.Clone(settings))
	if problems = config.Errors(problems); len(problems) > 0 {
		for i := range problems {
			problems[i].Property = property + "." + problems[i].Property
		}
		return json.Options{}, problems
	}
	o, err := json.ParseOptions(settings)
	if err != nil {
		problems = append(problems, config.Problem{Property: property, Message: err.Error()})
	}
	return o, problems
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
		return &jsonHeaders{format: json.New(*c.Header)}
	}
	return &simpleHeaders{numbers: json.New(json.Options{})}
}
