// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"slices"

	"freshet/config"
)

var dropHeadersKind = kind{
	plugin: config.Plugin{
		Name: "DropHeaders", Class: "org.apache.kafka.connect.transforms.DropHeaders", Kind: "transformation", Version: Version,
		Def: config.Def{Keys: []config.Key{{
			Name: "headers", Type: config.List, Required: true, Importance: config.High, Check: notEmptyList,
			Doc: "Names of the headers to take out.",
		}}},
	},
	make: func(v config.Values) (Transform, error) { return &dropHeaders{names: v.List("headers")}, nil },
}

// notEmptyList is a validator of Kafka.
func notEmptyList(s string, _ config.Values) string {
	if len(config.SplitList(s)) == 0 {
		return "Empty list"
	}
	return ""
}

// dropHeaders takes all headers of some names out.
type dropHeaders struct {
	names []string
	kept  []Header // reused
}

// Apply looks at headers only.
func (t *dropHeaders) Apply(r *Record) (bool, error) {
	t.kept = t.kept[:0]
	for _, h := range r.Headers {
		if !slices.Contains(t.names, h.Key) {
			t.kept = append(t.kept, h)
		}
	}
	if len(t.kept) < len(r.Headers) {
		r.Headers = t.kept
	}
	return true, nil
}
