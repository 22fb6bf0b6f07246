// SPDX-License-Identifier: Apache-2.0

package emitter_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/emitter"
	"freshet/schema"
)

func TestTopicNames(t *testing.T) {
	for _, c := range []struct {
		name  string
		names emitter.TopicNames
		id    schema.ID
		want  string
	}{
		{"schema and table", emitter.TopicNames{Prefix: "p"}, schema.ID{Catalog: "db", Schema: "public", Name: "t"}, "p.public.t"},
		{"catalog where there is no schema", emitter.TopicNames{Prefix: "p"}, schema.ID{Catalog: "db", Name: "t"}, "p.db.t"},
		{"delimiter", emitter.TopicNames{Prefix: "p", Delimiter: "-"}, schema.ID{Schema: "s", Name: "T"}, "p-s-T"},
		{"one underscore a UTF-16 unit", emitter.TopicNames{Prefix: "p"}, schema.ID{Schema: "s", Name: "aü b😀"}, "p.s.a__b__"},
		{"cut at 249", emitter.TopicNames{Prefix: "p"}, schema.ID{Schema: "s", Name: strings.Repeat("x", 300)}, "p.s." + strings.Repeat("x", 245)},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, c.names.Data(c.id)) })
	}
	require.Equal(t, "p.s.a_b.Key", emitter.TopicNames{SchemaAdjust: "avro"}.Schema("p.s.a-b", "Key"))
}
