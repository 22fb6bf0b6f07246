// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"strconv"
	"strings"

	"freshet/schema"
)

const sourceColumn = "__debezium.source.column."

// unlimited is the length of types without one.
const unlimited = 2147483647

// propagate adds the type of the column in the database to its schema. Lengths and scales are those that the JDBC driver
// tells, which the recordings have.
func (u *columnUse) propagate(c *schema.Column) {
	name := strings.ToUpper(u.t.name)
	length, scale, hasScale := u.size()
	switch {
	case u.t.elem != 0:
		name = "_" + strings.ToUpper(u.elemName)
	case u.domainName != "":
		name = strings.ToUpper(u.domainName)
	case u.info.Serial:
		name = map[string]string{"int2": "SMALLSERIAL", "int4": "SERIAL", "int8": "BIGSERIAL"}[u.t.name]
	}
	addParam(c, sourceColumn+"type", name)
	addParam(c, sourceColumn+"length", strconv.Itoa(length))
	if hasScale {
		addParam(c, sourceColumn+"scale", strconv.Itoa(scale))
	}
	addParam(c, sourceColumn+"name", u.info.Name)
}

// size is the length and the scale of the column's type, of an array those of its elements. A number without precision has
// others in the stream and in arrays than in snapshots.
func (u *columnUse) size() (length, scale int, hasScale bool) {
	name := u.t.name
	if u.t.elem != 0 {
		name = u.elemName
	}
	if name == "numeric" && u.t.typmod < 0 && (u.info.Streamed || u.t.elem != 0) {
		return 131089, 0, true
	}
	return typeSize(name, u.t.typmod)
}

// typeSize is the length and the scale of a type with its modifier.
func typeSize(name string, typmod int32) (length, scale int, hasScale bool) {
	precision := 6
	if typmod >= 0 {
		precision = int(typmod & 0xffff)
	}
	temporal := func(base int) (int, int, bool) {
		if precision > 0 {
			return base + precision + 1, precision, true
		}
		return base, 0, true
	}
	switch name {
	case "bool", "char":
		return 1, 0, true
	case "int2":
		return 5, 0, true
	case "int4", "oid":
		return 10, 0, true
	case "int8":
		return 19, 0, true
	case "float4":
		return 8, 8, true
	case "float8":
		return 17, 17, true
	case "date":
		return 13, 0, true
	case "time":
		return temporal(8)
	case "timetz":
		return temporal(14)
	case "timestamp":
		return temporal(22)
	case "timestamptz":
		return temporal(28)
	case "interval":
		return 49, precision, true // 65535 for one with fields and without a precision, as Debezium has it
	case "numeric":
		if typmod < 4 {
			return 0, 0, false
		}
		return int((typmod - 4) >> 16 & 0xffff), int((typmod - 4) & 0xffff), true
	case "bpchar", "varchar":
		if typmod >= 4 {
			return int(typmod) - 4, 0, true
		}
	case "bit", "varbit":
		if typmod > 0 {
			return int(typmod), 0, true
		}
	}
	return unlimited, 0, true
}
