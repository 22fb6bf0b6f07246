// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/schema"
)

func TestLiteralType(t *testing.T) {
	for name, want := range map[string]string{
		"int4[]": "int4[]", "varchar(3)[]": "varchar(3)[]", "numeric(6,2)": "numeric(6,2)", "timetz": "timetz", "": "text",
		"int, drop column x": "text", "text) ; drop table x; --": "text", `"x"`: "text", "int4[][]": "text",
	} {
		typ := &schema.Type{Kind: schema.String, Name: schema.Literal, Params: []schema.Param{{Name: "type", Value: name}}}
		got, err := Dialect{}.ColumnType(typ, false)
		require.NoError(t, err)
		require.Equal(t, want, got, name)
	}
}
