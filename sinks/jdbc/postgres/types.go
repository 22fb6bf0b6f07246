// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"
	"regexp"
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
	maxTemporalPrecision = 6
	maxNumericPrecision  = 1000
	// maxSizedText is the longest varchar(n); a longer propagated length means unlimited.
	maxSizedText = 10485760
)

// nativeTypes are the types that a text (or the items of an array) gets by its propagated source type.
var nativeTypes = map[string]string{
	"INET": "inet", "CIDR": "cidr", "MACADDR": "macaddr", "MACADDR8": "macaddr8", "CITEXT": "citext", "LTREE": "ltree",
	"TSVECTOR": "tsvector", "MONEY": "money", "INT4RANGE": "int4range", "INT8RANGE": "int8range", "NUMRANGE": "numrange",
	"TSRANGE": "tsrange", "TSTZRANGE": "tstzrange", "DATERANGE": "daterange", "HSTORE": "hstore", "JSONB": "jsonb",
	"BOX": "box", "LSEG": "lseg", "PATH": "path", "POLYGON": "polygon", "CIRCLE": "circle", "LINE": "line", "POINT": "point",
}

// semanticTypes are the types of schema names that need no parameter.
var semanticTypes = map[string]string{
	schema.Date: "date", schema.ConnectDate: "date",
	schema.MicroDuration: "interval", nanoDuration: "interval",
	schema.Interval: "text", schema.IsoDate: "text", schema.IsoTime: "text", schema.IsoTimestamp: "text",
	schema.Year: "integer", schema.Enum: "text", schema.EnumSet: "text", schema.UUID: "uuid", schema.XML: "xml",
	schema.Ltree: "ltree", schema.Tsvector: "tsvector", schema.Point: "point",
	schema.FloatVector: "halfvec", schema.DoubleVector: "vector", schema.SparseDoubleVector: "sparsevec",
	// Exact decimals stay exact: the original makes a double of them.
	schema.VariableScaleDecimal: "numeric",
}

const nanoDuration = "io.debezium.time.NanoDuration"

// ColumnType chooses by schema name, then by propagated source type, then by Connect type.
func (d Dialect) ColumnType(t *schema.Type, key bool) (string, error) {
	if s := d.semanticType(t); s != "" {
		return s, nil
	}
	propagated, _ := t.Param(sourceType)
	propagated = strings.ToUpper(propagated)
	switch t.Kind {
	case schema.Boolean:
		if propagated == "BIT" {
			return "bit(1)", nil
		}
		return "boolean", nil
	case schema.Int8, schema.Int16:
		return "smallint", nil
	case schema.Int32:
		return "integer", nil
	case schema.Int64:
		if propagated == "OID" {
			return "oid", nil
		}
		return "bigint", nil
	case schema.Float32:
		return "real", nil
	case schema.Float64:
		return "double precision", nil
	case schema.String:
		return textType(t, propagated), nil
	case schema.Bytes:
		return "bytea", nil
	case schema.Array:
		return d.arrayType(t, propagated, key)
	case schema.Map:
		return "hstore", nil
	case schema.Struct:
		return "json", nil
	}
	return "", fmt.Errorf("no column type for schema type %s", t.Kind)
}

func (d Dialect) semanticType(t *schema.Type) string {
	propagated, _ := t.Param(sourceType)
	switch t.Name {
	case schema.Decimal:
		return decimalType(t)
	case schema.Time, schema.MicroTime, schema.NanoTime, schema.ConnectTime:
		return "time(" + itoa(timePrecision(t)) + ")"
	case schema.ZonedTime:
		return "time(" + itoa(timePrecision(t)) + ") with time zone"
	case schema.Timestamp, schema.MicroTimestamp, schema.NanoTimestamp, schema.ConnectTimestamp:
		return "timestamp(" + itoa(timestampPrecision(t)) + ")"
	case schema.ZonedTimestamp:
		return "timestamp(" + itoa(timestampPrecision(t)) + ") with time zone"
	case schema.JSON:
		switch strings.ToUpper(propagated) {
		case "JSONB":
			return "jsonb"
		case "HSTORE":
			return "hstore"
		}
		return "json"
	case schema.Bits:
		return bitsType(t, propagated)
	case schema.Literal:
		return literalType(t)
	case schema.Geometry:
		return d.postgis("geometry")
	case schema.Geography:
		return d.postgis("geography")
	}
	return semanticTypes[t.Name]
}

// builtinType is what the name of a built-in type looks like. The name comes out of a topic and goes into DDL.
var builtinType = regexp.MustCompile(`^[a-z][a-z0-9_]*(\([0-9]+(,[0-9]+)?\))?(\[\])?$`)

func literalType(t *schema.Type) string {
	if name, _ := t.Param("type"); builtinType.MatchString(name) {
		return name
	}
	return "text"
}

func (d Dialect) postgis(name string) string {
	if d.PostGIS == "" {
		return name
	}
	return d.Quote(d.PostGIS) + "." + name
}

func decimalType(t *schema.Type) string {
	scale := render.IntParam(t, "scale")
	precision := render.IntParam(t, "connect.decimal.precision")
	switch {
	case scale < 0, precision <= 0 && scale == 0:
		return "numeric" // unlimited: no value is ever rounded
	case precision <= 0:
		precision = max(38, scale)
	}
	return "numeric(" + itoa(min(precision, maxNumericPrecision)) + "," + itoa(scale) + ")"
}

// timePrecision takes the propagated scale only: the length of a MySQL time is not its precision there.
func timePrecision(t *schema.Type) int {
	if p := render.IntParam(t, sourceScale); p > 0 && p <= maxTemporalPrecision {
		return p
	}
	return maxTemporalPrecision
}

// timestampPrecision takes the propagated length where it can be a precision (MySQL), else the scale (PostgreSQL). A
// scale of 0 counts as none.
func timestampPrecision(t *schema.Type) int {
	for _, name := range [...]string{sourceLength, sourceScale} {
		if p := render.IntParam(t, name); p > 0 && p <= maxTemporalPrecision {
			return p
		}
	}
	return maxTemporalPrecision
}

func bitsType(t *schema.Type, propagated string) string {
	n := render.IntParam(t, "length")
	name := "bit"
	if strings.EqualFold(propagated, "VARBIT") {
		name = "bit varying"
	}
	if n <= 0 || n > maxSizedText {
		return "bit varying"
	}
	return name + "(" + itoa(n) + ")"
}

func textType(t *schema.Type, propagated string) string {
	if native := nativeTypes[propagated]; native != "" {
		return native
	}
	n := render.IntParam(t, sourceLength)
	if n <= 0 || n > maxSizedText {
		return "text"
	}
	switch propagated {
	case "CHAR", "NCHAR", "BPCHAR", "CHARACTER":
		return "char(" + itoa(n) + ")"
	case "VARCHAR", "NVARCHAR", "VARCHAR2", "NVARCHAR2", "CHARACTER VARYING":
		return "varchar(" + itoa(n) + ")"
	}
	return "text"
}

func (d Dialect) arrayType(t *schema.Type, propagated string, key bool) (string, error) {
	if item, ok := strings.CutPrefix(propagated, "_"); ok && t.Elem.Kind == schema.String {
		if native := nativeTypes[item]; native != "" {
			return native + "[]", nil
		}
	}
	elem, err := d.ColumnType(t.Elem, key)
	if err != nil {
		return "", err
	}
	if strings.HasSuffix(elem, "[]") {
		return elem, nil // PostgreSQL's arrays have any number of dimensions
	}
	return elem + "[]", nil
}

// Default is the literal of a schema's default; "" for kinds that take none.
func (d Dialect) Default(t *schema.Type) (string, error) {
	switch {
	case t.Default == nil, t.Kind == schema.Array, t.Kind == schema.Map, t.Kind == schema.Struct && t.Name != schema.VariableScaleDecimal:
		return "", nil
	}
	encode, err := d.Encoder(t, &dialect.Column{})
	if err != nil {
		return "", err
	}
	var b change.Batch
	text, err := encode(nil, &b, b.AppendLiteral(t.Default, t))
	if err != nil {
		return "", err
	}
	switch {
	case t.Kind == schema.Boolean:
		if propagated, _ := t.Param(sourceType); strings.EqualFold(propagated, "BIT") {
			return "B'" + boolDigit(text) + "'", nil
		}
		return strconv.FormatBool(text[0] == 't'), nil
	case isNumber(t):
		return string(text), nil
	}
	return quoteLiteral(string(text)), nil
}

func boolDigit(text []byte) string {
	if text[0] == 't' {
		return "1"
	}
	return "0"
}

// isNumber says whether the literal of a type stands without quotes.
func isNumber(t *schema.Type) bool {
	switch t.Name {
	case "", schema.Year:
		return t.Kind >= schema.Int8 && t.Kind <= schema.Int64
	case schema.Decimal:
		return true
	}
	return false
}

// quoteLiteral quotes a text for SQL whatever standard_conforming_strings says.
func quoteLiteral(s string) string {
	q := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return " E" + strings.ReplaceAll(q, `\`, `\\`)
	}
	return q
}

func itoa(n int) string { return strconv.Itoa(n) }
