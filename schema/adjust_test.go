// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/schema"
)

func TestAdjustName(t *testing.T) {
	for _, c := range []struct {
		name, mode, in, want string
		dots                 bool
	}{
		{"none keeps everything", "none", "with space.ü", "with space.ü", false},
		{"no mode is none", "", "1a-b", "1a-b", false},
		{"avro: fine names stay", "avro", "under_score9", "under_score9", false},
		{"avro: invalid characters", "avro", "with space", "with_space", false},
		{"avro: leading digit", "avro", "1digit", "_1digit", false},
		{"avro: dots in fields", "avro", "with.dot", "with_dot", false},
		{"avro: dots in schema names", "avro", "dbserver1.Sch-1.t.Key", "dbserver1.Sch_1.t.Key", true},
		{"avro: letters of other scripts", "avro", "ключ", "____", false},
		{"avro: beyond the basic plane", "avro", "😀", "__", false},
		{"avro: dollar", "avro", "$d", "_d", false},
		{"unicode: two digits get zeros", "avro_unicode", "é", "_u00e9", false},
		{"unicode: three digits do not", "avro_unicode", "ł", "_u142", false},
		{"unicode: underscore", "avro_unicode", "a_b", "a_u005fb", false},
		{"unicode: leading digit", "avro_unicode", "1digit", "_u0031digit", false},
		{"unicode: later digit", "avro_unicode", "d1", "d1", false},
		{"unicode: dot in a field", "avro_unicode", "a.b", "a_u002eb", false},
		{"unicode: dot in a schema name", "avro_unicode", "_n__x.a", "_u005fn_u005f_u005fx.a", true},
		{"unicode: beyond the basic plane", "avro_unicode", "😀", "_ud83d_ude00", false},
		{"empty", "avro", "", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, schema.AdjustName(c.mode, c.in, c.dots))
		})
	}
}
