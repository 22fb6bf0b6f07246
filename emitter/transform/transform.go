// SPDX-License-Identifier: Apache-2.0

// Package transform holds the single message transforms of Kafka Connect and Debezium, one file each.
//
// A Transform changes a Record or drops it. Records are lazy: key and value become typed values only when a transform
// asks for them, and transforms that depend on the topic alone (Router) are not even given records: a pipeline asks them
// once per topic. The typed form lives in the change.Batch of the record, like everything on the data path; transforms
// add values to it and never change those that are there.
package transform

import (
	"fmt"
	"strings"

	"freshet/change"
	"freshet/config"
	"freshet/schema"
)

// Record is a record on its way through a chain.
type Record struct {
	Topic     string
	Partition int32
	Headers   []Header
	// Data holds the values below.
	Data *change.Batch
	// KeyType and ValueType are nil where there is no schema. Key and Value are only to be read after Load.
	KeyType   *schema.Type
	Key       change.Value
	ValueType *schema.Type
	Value     change.Value
	// Lazy, if not nil, fills key and value. Load calls it once.
	Lazy func(r *Record) error
	// Touched says that a transform changed key, value or their types, so that the stored form is void.
	Touched bool
}

// Header is a record header: typed, or as stored where Type is nil.
type Header struct {
	Key   string
	Type  *schema.Type
	Value change.Value
	Raw   []byte
}

// Load makes key and value readable.
func (r *Record) Load() error {
	if r.Lazy == nil {
		return nil
	}
	f := r.Lazy
	r.Lazy = nil
	return f(r)
}

// SetValue replaces the value.
func (r *Record) SetValue(t *schema.Type, v change.Value) {
	r.ValueType, r.Value, r.Touched = t, v, true
}

// Transform changes records. It is used by one goroutine at a time. Between two records it keeps only caches.
type Transform interface {
	// Apply changes r, or returns false to drop it.
	Apply(r *Record) (keep bool, err error)
}

// Router is a Transform that only gives the topic another name, by the name alone.
type Router interface {
	Transform
	Route(topic string) string
}

// Chain is a number of transforms in order. The zero Chain changes nothing.
type Chain []Transform

// Apply runs the chain until a transform drops the record.
func (c Chain) Apply(r *Record) (bool, error) {
	for _, t := range c {
		if keep, err := t.Apply(r); !keep || err != nil {
			return false, err
		}
	}
	return true, nil
}

// OnlyRoutes says whether every transform is a Router, so that Route does all there is to do.
func (c Chain) OnlyRoutes() bool {
	for _, t := range c {
		if _, ok := t.(Router); !ok {
			return false
		}
	}
	return true
}

// Route runs the routers of the chain.
func (c Chain) Route(topic string) string {
	for _, t := range c {
		topic = t.(Router).Route(topic)
	}
	return topic
}

// kind is a transform that can be configured.
type kind struct {
	plugin config.Plugin
	make   func(v config.Values) (Transform, error)
}

// kinds is the list of transforms.
var kinds = []kind{regexRouterKind, unwrapKind}

// Plugins describes the transforms.
func Plugins() []config.Plugin {
	out := make([]config.Plugin, len(kinds))
	for i := range kinds {
		out[i] = kinds[i].plugin
	}
	return out
}

// Parse builds the chain of a connector's configuration: transforms=a,b with transforms.a.type and its settings.
func Parse(cfg map[string]string) (Chain, []config.Problem) {
	var chain Chain
	var problems []config.Problem
	for _, alias := range config.SplitList(cfg["transforms"]) {
		prefix := "transforms." + alias + "."
		t, p := parseOne(cfg, prefix)
		if problems = append(problems, p...); t != nil {
			chain = append(chain, t)
		}
	}
	if len(config.Errors(problems)) > 0 {
		return nil, problems
	}
	return chain, problems
}

func parseOne(cfg map[string]string, prefix string) (Transform, []config.Problem) {
	class, ok := cfg[prefix+"type"]
	if !ok {
		return nil, []config.Problem{{Property: prefix + "type", Message: fmt.Sprintf("Missing required configuration %q which has no default value.", prefix+"type")}}
	}
	if p := cfg[prefix+"predicate"]; p != "" {
		return nil, []config.Problem{{Property: prefix + "predicate", Message: fmt.Sprintf("Invalid value %s for configuration %s: not served yet: predicates", p, prefix+"predicate")}}
	}
	for i := range kinds {
		if !kinds[i].plugin.Matches(class) {
			continue
		}
		raw := map[string]string{}
		for name, value := range cfg {
			if rest, ok := strings.CutPrefix(name, prefix); ok && rest != "type" {
				raw[rest] = value
			}
		}
		v, found := kinds[i].plugin.Def.Parse(raw)
		problems := prefixed(found, prefix)
		for _, name := range v.Unknown(nil) {
			problems = append(problems, config.Problem{Property: prefix + name, Message: fmt.Sprintf("The property '%s' is not known to %s and has no effect", prefix+name, kinds[i].plugin.Class), Warning: true})
		}
		if len(config.Errors(problems)) > 0 {
			return nil, problems
		}
		t, err := kinds[i].make(v)
		if err != nil {
			problems = append(problems, config.Problem{Property: prefix + "type", Message: err.Error()})
		}
		return t, problems
	}
	known := make([]string, len(kinds))
	for i := range kinds {
		known[i] = kinds[i].plugin.Class
	}
	return nil, []config.Problem{{Property: prefix + "type", Message: fmt.Sprintf("Invalid value %s for configuration %s: not served yet, or unknown; served are %s", class, prefix+"type", strings.Join(known, ", "))}}
}

// prefixed makes the problems of a transform those of the connector that holds it.
func prefixed(problems []config.Problem, prefix string) []config.Problem {
	for i, p := range problems {
		problems[i].Message = strings.Replace(p.Message, p.Property, prefix+p.Property, 1)
		problems[i].Property = prefix + p.Property
	}
	return problems
}
