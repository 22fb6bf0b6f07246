// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/schema"
)

func TestAdjustName(t *testing.T) {
	for _, c := range []struct {
		name, mode, in string
		dots           bool
		want           string
	}{
		{"none leaves all", "none", "1 ö", false, "1 ö"},
		{"avro replaces", "avro", "a-b ö", false, "a_b__"},
		{"avro puts an underscore before a digit", "avro", "1digit", false, "_1digit"},
		{"avro replaces dots in fields", "avro", "a.b", false, "a_b"},
		{"avro keeps dots in schema names", "avro", "a.b.1", true, "a.b.1"},
		{"unicode escapes underscores", "avro_unicode", "a_b", false, "a_u005fb"},
		{"unicode escapes a leading digit", "avro_unicode", "1digit", false, "_u0031digit"},
		{"unicode pads two digits only", "avro_unicode", "éł", false, "_u00e9_u142"},
		{"unicode takes UTF-16 units", "avro_unicode", "😀", false, "_ud83d_ude00"},
	} {
		t.Run(c.name, func(t *testing.T) { require.Equal(t, c.want, schema.AdjustName(c.mode, c.in, c.dots)) })
	}
}
