// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"fmt"
	"slices"
	"strings"

	"freshet/capture"
	"freshet/config"
	"freshet/emitter/transform"
	"freshet/sinks"
)

// Plugins are the connectors that a worker can run. It is immutable.
type Plugins struct {
	connectors []Plugin
}

// Plugin is a connector with its description. Exactly one of Source and Sink is set.
type Plugin struct {
	config.Plugin
	Source capture.Connector
	Sink   sinks.Connector
}

// NewPlugins makes the list. REST answers show it sinks first, each kind by class.
func NewPlugins(sources []capture.Connector, targets []sinks.Connector) *Plugins {
	p := &Plugins{}
	for _, c := range targets {
		p.connectors = append(p.connectors, Plugin{Plugin: c.Describe(), Sink: c})
	}
	for _, c := range sources {
		p.connectors = append(p.connectors, Plugin{Plugin: c.Describe().Plugin, Source: c})
	}
	slices.SortStableFunc(p.connectors, func(x, y Plugin) int {
		if x.Kind != y.Kind {
			return strings.Compare(x.Kind, y.Kind) // "sink" comes before "source"
		}
		return strings.Compare(x.Class, y.Class)
	})
	return p
}

// Find returns the connector that a class property names: by its Java class, by the simple name, or by an alias. The
// error is worded as Kafka Connect's, which clients match.
func (p *Plugins) Find(class string) (Plugin, error) {
	for _, c := range p.connectors {
		if class != "" && c.Matches(class) {
			return c, nil
		}
	}
	known := make([]string, len(p.connectors))
	for i, c := range p.connectors {
		known[i] = fmt.Sprintf("PluginDesc{klass=class %s, name='%s', version='%s', encodedVersion=%s, type=%s, typeName='%s', location='classpath'}",
			c.Class, c.Class, c.Version, c.Version, c.Kind, c.Kind)
	}
	return Plugin{}, &Error{400, fmt.Sprintf("Failed to find any class that implements Connector and which name matches %s, available connectors are: %s",
		class, strings.Join(known, ", "))}
}

// List describes all plug-ins, in the order of GET /connector-plugins?connectorsOnly=false.
func (p *Plugins) List() []config.Plugin {
	out := make([]config.Plugin, 0, len(p.connectors)+8)
	for _, c := range p.connectors {
		out = append(out, c.Plugin)
	}
	out = append(out, transform.Plugins()...)
	for _, k := range converterKinds {
		out = append(out, k.plugin)
	}
	for _, k := range converterKinds {
		p := k.plugin
		if !k.headers() {
			continue
		}
		p.Kind = simpleHeaderConverter.Kind
		out = append(out, p)
	}
	return append(out, simpleHeaderConverter)
}

// taskClass is the Java class that task configurations name.
func (p *Plugin) taskClass() string {
	if strings.HasPrefix(p.Class, "io.debezium.") {
		return p.Class + "Task"
	}
	return strings.TrimSuffix(p.Class, "Connector") + "Task"
}
