// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
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
)

// integerDigits is the most digits that every integer of fits into 64 bits.
const integerDigits = 18

// Affinities, as Column.Class has them: what a column tends to store (https://www.sqlite.org/datatype3.html).
const (
	integerAffinity = 'i'
	realAffinity    = 'r'
	textAffinity    = 't'
	numericAffinity = 'n'
	noAffinity      = 'b' // BLOB, no type at all, and ANY of a STRICT table: values stay as they are
)

// affinityOf is the affinity of a declared type, by SQLite's rules in their order.
func affinityOf(declared string, strict bool) byte {
	s := strings.ToUpper(declared)
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(s, w) {
				return true
			}
		}
		return false
	}
	switch {
	case has("INT"):
		return integerAffinity
	case has("CHAR", "CLOB", "TEXT"):
		return textAffinity
	case s == "", has("BLOB"), strict && s == "ANY":
		return noAffinity
	case has("REAL", "FLOA", "DOUB"): //nolint:misspell // SQLite's
		return realAffinity
	}
	return numericAffinity
}

// semanticTypes are the declared types of schema names. The affinity of DATE, TIME and TIMESTAMP is numeric, which leaves
// texts of dates and clocks alone; many programs read such columns as dates. JSON is TEXT, because a column declared JSON
// would make numbers of its texts.
var semanticTypes = map[string]string{
	schema.VariableScaleDecimal: "TEXT",
	schema.Date:                 "DATE", schema.ConnectDate: "DATE",
	schema.Time: "TIME", schema.MicroTime: "TIME", schema.NanoTime: "TIME", schema.ConnectTime: "TIME", schema.ZonedTime: "TIME",
	schema.Timestamp: "TIMESTAMP", schema.MicroTimestamp: "TIMESTAMP", schema.NanoTimestamp: "TIMESTAMP",
	schema.ConnectTimestamp: "TIMESTAMP", schema.ZonedTimestamp: "TIMESTAMP",
	schema.Bits: "TEXT",
}

// ColumnType chooses by schema name, then by Connect type.
func (Dialect) ColumnType(t *schema.Type, _ bool) (string, error) {
	if t.Name == schema.Decimal {
		return decimalType(t), nil
	}
	if s := semanticTypes[t.Name]; s != "" {
		return s, nil
	}
	switch t.Kind {
	case schema.Boolean:
		return "BOOLEAN", nil
	case schema.Int8, schema.Int16, schema.Int32, schema.Int64:
		return "INTEGER", nil
	case schema.Float32, schema.Float64:
		return "REAL", nil
	case schema.String:
		return textType(t), nil
	case schema.Bytes:
		return "BLOB", nil
	case schema.Array, schema.Map, schema.Struct:
		return "TEXT", nil
	}
	return "", fmt.Errorf("no column type for schema type %s", t.Kind)
}

// decimalType is TEXT, which keeps all digits, unless every value is a whole number of 64 bits.
func decimalType(t *schema.Type) string {
	if precision := render.IntParam(t, "connect.decimal.precision"); precision > 0 && precision <= integerDigits && render.IntParam(t, "scale") == 0 {
		return "INTEGER"
	}
	return "TEXT"
}

// textType has the length where the source told it. SQLite does not enforce it.
func textType(t *schema.Type) string {
	n := render.IntParam(t, sourceLength)
	propagated, _ := t.Param(sourceType)
	if n <= 0 || t.Name != "" {
		return "TEXT"
	}
	switch strings.ToUpper(propagated) {
	case "CHAR", "NCHAR", "BPCHAR", "CHARACTER":
		return "CHAR(" + strconv.Itoa(n) + ")"
	case "VARCHAR", "NVARCHAR", "VARCHAR2", "NVARCHAR2", "CHARACTER VARYING":
		return "VARCHAR(" + strconv.Itoa(n) + ")"
	}
	return "TEXT"
}

// Default is the literal of a schema's default, as the column that is created keeps it; "" for kinds that take none.
func (d Dialect) Default(t *schema.Type) (string, error) {
	switch {
	case t.Default == nil, t.Kind == schema.Array, t.Kind == schema.Map, t.Kind == schema.Struct && t.Name != schema.VariableScaleDecimal:
		return "", nil
	}
	declared, err := d.ColumnType(t, false)
	if err != nil {
		return "", err
	}
	encode, err := d.Encoder(t, &dialect.Column{Type: declared, Class: affinityOf(declared, false)})
	if err != nil {
		return "", err
	}
	var b change.Batch
	p, err := encode(nil, &b, b.AppendLiteral(t.Default, t))
	if err != nil {
		return "", err
	}
	return literal(p)
}

// literal is an encoded value as SQL has it.
func literal(p []byte) (string, error) {
	switch body := p[1:]; p[0] {
	case asInteger:
		return strconv.FormatInt(int64(binary.LittleEndian.Uint64(body)), 10), nil
	case asReal:
		return realLiteral(math.Float64frombits(binary.LittleEndian.Uint64(body))), nil
	case asBlob:
		return "x'" + hex.EncodeToString(body) + "'", nil
	default:
		if strings.ContainsRune(string(body), 0) {
			return "", errors.New("a text with a NUL cannot be a default")
		}
		return "'" + strings.ReplaceAll(string(body), "'", "''") + "'", nil
	}
}

func realLiteral(f float64) string {
	switch {
	case math.IsInf(f, 1):
		return "9e999"
	case math.IsInf(f, -1):
		return "-9e999"
	}
	return strconv.FormatFloat(f, 'e', -1, 64)
}
