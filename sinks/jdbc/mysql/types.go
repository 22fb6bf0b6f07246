// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"fmt"
	"strconv"
	"strings"

	"freshet/change"
	"freshet/schema"
	"freshet/sinks/jdbc/dialect"
	"freshet/sinks/jdbc/render"
)

// Parameters that a source adds to a field's schema with column.propagate.source.type.
const (
	sourceType   = "__debezium.source.column.type"
	sourceLength = "__debezium.source.column.length"
	sourceScale  = "__debezium.source.column.scale"
)

const (
	maxFraction   = 6 // digits of a second
	maxPrecision  = 65
	maxScale      = 30
	maxBits       = 64
	maxChar       = 255
	maxVarchar    = 16_383 // characters of four bytes in a row of 65,535
	maxVarbinary  = 65_532
	maxKeyText    = 255
	maxSetMembers = 64
	maxDimensions = 2048 // of a vector of unknown length
)

const nanoDuration = "io.debezium.time.NanoDuration"

// semanticTypes are the types of schema names that need no parameter.
var semanticTypes = map[string]string{
	schema.Date: "date", schema.ConnectDate: "date", schema.Year: "year",
	schema.MicroDuration: "bigint", nanoDuration: "bigint",
	schema.Point: "point", schema.Geometry: "geometry", schema.Geography: "geometry",
	// Exact decimals stay exact: the original makes a double of them.
	schema.VariableScaleDecimal: "decimal(65,30)",
	schema.SparseDoubleVector:   "json",
}

// ColumnType chooses by schema name, then by propagated source type, then by Connect type. Text keys compare by their
// bytes, as the keys of records do: under the server's own collation 'a' and 'A' would be one row.
func (d *Dialect) ColumnType(t *schema.Type, key bool) (string, error) {
	if s := d.semanticType(t, key); s != "" {
		return s, nil
	}
	propagated, _ := t.Param(sourceType)
	propagated = strings.ToUpper(propagated)
	switch t.Kind {
	case schema.Boolean:
		return "boolean", nil
	case schema.Int8:
		return "tinyint", nil
	case schema.Int16:
		switch {
		case propagated == "TINYINT" && render.IntParam(t, sourceLength) == 1:
			return "tinyint(1)", nil
		case propagated == "TINYINT":
			return "tinyint", nil
		}
		return "smallint", nil
	case schema.Int32:
		if propagated == "MEDIUMINT" {
			return "mediumint", nil
		}
		return "integer", nil
	case schema.Int64:
		if propagated == "BIGINT UNSIGNED" {
			return "bigint unsigned", nil
		}
		return "bigint", nil
	case schema.Float32:
		return "float", nil
	case schema.Float64:
		return "double", nil
	case schema.String:
		return d.textType(t, propagated, key), nil
	case schema.Bytes:
		return bytesType(t, propagated, key), nil
	case schema.Array, schema.Map, schema.Struct:
		return "json", nil
	}
	return "", fmt.Errorf("no column type for schema type %s", t.Kind)
}

func (d *Dialect) semanticType(t *schema.Type, key bool) string {
	switch t.Name {
	case schema.Decimal:
		return decimalType(t)
	case schema.Time, schema.MicroTime, schema.NanoTime, schema.ConnectTime:
		return "time(" + itoa(fraction(t, sourceScale)) + ")"
	case schema.Timestamp, schema.MicroTimestamp, schema.NanoTimestamp, schema.ConnectTimestamp:
		return "datetime(" + itoa(fraction(t, sourceLength, sourceScale)) + ")"
	case schema.ZonedTimestamp:
		return "timestamp(" + itoa(fraction(t, sourceLength, sourceScale)) + ")"
	case schema.JSON:
		if key {
			return d.keyText(maxKeyText)
		}
		return "json"
	case schema.Bits:
		if n := render.IntParam(t, "length"); n > 0 && n <= maxBits {
			return "bit(" + itoa(n) + ")"
		}
		return d.textType(t, "", key)
	case schema.Enum, schema.EnumSet:
		return d.enumType(t, key)
	case schema.FloatVector, schema.DoubleVector:
		if d.mariaDB.Load() { // has vectors of a fixed length only, and from 11.7 on
			return "json"
		}
		if n := render.IntParam(t, sourceLength); n > 0 {
			return "vector(" + itoa(n) + ")"
		}
		return "vector(" + itoa(maxDimensions) + ")"
	}
	return semanticTypes[t.Name]
}

// decimalType keeps every digit that a declared precision allows.
func decimalType(t *schema.Type) string {
	const unknownPrecision = 38
	scale := max(0, min(render.IntParam(t, "scale"), maxScale))
	precision := render.IntParam(t, "connect.decimal.precision")
	if precision <= 0 {
		precision = max(unknownPrecision, scale)
	}
	return "decimal(" + itoa(min(precision, maxPrecision)) + "," + itoa(scale) + ")"
}

// fraction is the first of some parameters that can be a number of digits of a second. 0 counts as none.
func fraction(t *schema.Type, params ...string) int {
	for _, name := range params {
		if p := render.IntParam(t, name); p > 0 && p <= maxFraction {
			return p
		}
	}
	return maxFraction
}

// enumType is enum or set of the schema's allowed values.
func (d *Dialect) enumType(t *schema.Type, key bool) string {
	allowed, ok := t.Param("allowed")
	values := splitAllowed(allowed)
	if !ok || allowed == "" || t.Name == schema.EnumSet && len(values) > maxSetMembers {
		return d.textType(t, "", key)
	}
	literals := make([]string, len(values))
	for i, v := range values {
		literals[i] = quoted(v)
	}
	name := "enum"
	if t.Name == schema.EnumSet {
		name = "set"
	}
	return name + "(" + strings.Join(literals, ",") + ")"
}

// splitAllowed splits at commas; a backslash before one takes it into the value.
func splitAllowed(s string) []string {
	out := []string{""}
	for i := 0; i < len(s); i++ {
		last := &out[len(out)-1]
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == ',':
			i++
			*last += s[i : i+1]
		case s[i] == ',':
			out = append(out, "")
		default:
			*last += s[i : i+1]
		}
	}
	return out
}

func (d *Dialect) textType(t *schema.Type, propagated string, key bool) string {
	n := render.IntParam(t, sourceLength)
	switch {
	case key && n > 0 && n < maxKeyText && t.Name == "":
		return d.keyText(n)
	case key:
		return d.keyText(maxKeyText)
	case n <= 0:
		return "longtext"
	}
	switch propagated {
	case "CHAR", "NCHAR", "BPCHAR", "CHARACTER":
		if n <= maxChar {
			return "char(" + itoa(n) + ")"
		}
	case "VARCHAR", "NVARCHAR", "VARCHAR2", "NVARCHAR2", "CHARACTER VARYING":
		if n <= maxVarchar {
			return "varchar(" + itoa(n) + ")"
		}
	}
	return "longtext"
}

func (d *Dialect) keyText(n int) string {
	collation := "utf8mb4_0900_bin"
	switch {
	case d.mariaDB.Load():
		collation = "utf8mb4_nopad_bin"
	case d.old.Load():
		collation = "utf8mb4_bin"
	}
	return "varchar(" + itoa(n) + ") CHARACTER SET utf8mb4 COLLATE " + collation
}

func bytesType(t *schema.Type, propagated string, key bool) string {
	n := render.IntParam(t, sourceLength)
	switch propagated {
	case "BINARY", "VARBINARY":
		if n > 0 && n <= maxVarbinary && (!key || n <= maxKeyText) {
			return "varbinary(" + itoa(n) + ")"
		}
	case "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB":
		if !key {
			return strings.ToLower(propagated)
		}
	}
	if key {
		return "varbinary(" + itoa(maxKeyText) + ")"
	}
	return "longblob"
}

// Default is the literal of a schema's default; "" for types that take none.
func (d *Dialect) Default(t *schema.Type) (string, error) {
	if t.Default == nil || t.Kind == schema.Array || t.Kind == schema.Map {
		return "", nil
	}
	typ, err := d.ColumnType(t, false)
	if err != nil {
		return "", err
	}
	for _, none := range [...]string{"text", "blob", "json", "point", "geometry", "vector"} {
		if strings.Contains(typ, none) && !strings.HasPrefix(typ, "enum") && !strings.HasPrefix(typ, "set") {
			return "", nil
		}
	}
	encode, err := d.Encoder(t, &dialect.Column{})
	if err != nil {
		return "", err
	}
	var b change.Batch
	v := b.AppendLiteral(t.Default, t)
	if v.Kind() == change.Text {
		v = b.Text(undouble(b.String(v)))
	}
	text, err := encode(nil, &b, v)
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(typ, "timestamp") && !inTimestampRange(string(text)) {
		return "", nil // an epoch that stands for no default at all: the server refuses it
	}
	return string(text), nil
}

// undouble takes a text whose quotes are all doubled for one that a MySQL source has taken out of DDL.
func undouble(s string) string {
	if once := strings.ReplaceAll(s, "''", "'"); strings.ReplaceAll(once, "'", "''") == s {
		return once
	}
	return s
}

// inTimestampRange says whether a literal is a timestamp that the oldest servers store too.
func inTimestampRange(literal string) bool {
	return literal > "'1970-01-01 00:00:00.9" && literal < "'2038-01-19 03:14:08"
}

func itoa(n int) string { return strconv.Itoa(n) }
