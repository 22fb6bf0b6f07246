// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"
	"sync/atomic"

	"freshet/change"
	"freshet/schema"
)

// TypeOptions are the connector's options that decide how values look.
type TypeOptions struct {
	// Time is time.precision.mode: adaptive, adaptive_time_microseconds, connect, isostring, microseconds or nanoseconds.
	Time string
	// Decimal is decimal.handling.mode: precise, double or string.
	Decimal string
	// Binary is binary.handling.mode: bytes, base64, base64-url-safe or hex.
	Binary string
	// Hstore is hstore.handling.mode: json or map.
	Hstore string
	// Interval is interval.handling.mode: numeric or string.
	Interval string
	// IncludeUnknown is include.unknown.datatypes.
	IncludeUnknown bool
	// Literals is internal.literal.types.
	Literals bool
	// MoneyDigits is money.fraction.digits.
	MoneyDigits int
	// Placeholder is unavailable.value.placeholder, its hex: form decoded.
	Placeholder []byte
}

// ColumnInfo is what the catalog, or a RELATION message, says of a column.
type ColumnInfo struct {
	Name    string
	TypeOID uint32
	Typmod  int32 // -1 for none
	NotNull bool
	// Default is pg_get_expr's text of the default, or of the generation expression; "" for none.
	Default                         string
	HasDefault, Identity, Generated bool
	Comment                         string
	// Serial says that the default is the next value of a sequence, which only snapshots tell of. Streamed says that the
	// column is one of the stream. Both matter for the type that column.propagate.source.type tells.
	Serial, Streamed bool
}

// Codec decodes the values of one column.
type Codec struct {
	// Type is the column's Connect schema with its default. Fallback and Unavailable are as in schema.Column.
	Type                  *schema.Type
	Fallback, Unavailable any
	// Decode makes a value of text, PostgreSQL's output of it in a session with DateStyle ISO, IntervalStyle postgres,
	// bytea_output hex, extra_float_digits 1 or more, TimeZone UTC and client_encoding UTF8. text is never SQL NULL; b
	// keeps nothing of it. Snapshot and stream share this one function, so their values cannot differ. It keeps no state
	// and may run concurrently over different batches. After an error b may hold bytes that no value refers to.
	Decode func(b *change.Batch, text []byte) (change.Value, error)
}

type decodeFunc = func(b *change.Batch, text []byte) (change.Value, error)

// form is how the values of a type look, before a column makes them optional or required.
type form struct {
	typ      schema.Type
	decode   decodeFunc
	fallback any
	// unavailable stands for a value that the server did not send; nil for types that cannot hold the placeholder.
	unavailable any
	// zero is the text of the value that a function call as default stands for. Only types with defaulted have defaults.
	zero      string
	defaulted bool
	// defaults are the schema defaults of texts that as defaults are not what they are as values; nil for none.
	defaults map[string]any
	// nullable types are optional in NOT NULL columns, too.
	nullable bool
}

// typeUse is a type as a column uses it: what a builder needs to make a form.
type typeUse struct {
	resolved
	o         *TypeOptions
	saturated *atomic.Int64
	inArray   bool
}

type builder func(u typeUse) form

// Codec returns how a column is decoded; ok is false where the column is left out, because its type is unknown to
// consumers and include.unknown.datatypes is off.
func (r *Registry) Codec(c ColumnInfo, o *TypeOptions) (codec Codec, ok bool) {
	t := r.resolve(c.TypeOID, c.Typmod)
	f, ok := r.form(typeUse{resolved: t, o: o, saturated: &r.saturated})
	if !ok {
		return Codec{}, false
	}
	typ := f.typ
	typ.Optional = f.nullable || !c.NotNull && !t.notNull
	// A domain hides the type's name from the default rules, as it does in the reference.
	if f.defaulted && !t.domain {
		typ.Default = defaultOf(c, &f)
	}
	return Codec{Type: &typ, Fallback: f.fallback, Unavailable: f.unavailableIn(typ.Optional, o), Decode: f.decode}, true
}

// form finds the form of a type; false for unknown types unless they are included.
func (r *Registry) form(u typeUse) (form, bool) {
	if u.o.Literals && lossy(u) {
		return r.literalForm(u), true
	}
	if u.elem != 0 {
		return r.arrayForm(u)
	}
	if f, ok := knownForm(u); ok {
		return f, true
	}
	if !u.o.IncludeUnknown {
		return form{}, false
	}
	return unknownForm(u), true
}

// knownForm is the form of a type that has one of its own. Types of extensions are known by name, in whatever schema the
// extension was created.
func knownForm(u typeUse) (form, bool) {
	var build builder
	switch {
	case u.kind == enumType:
		build = enumForm
	case u.schema == "pg_catalog":
		build = builtinTypes[u.name]
	case u.kind == baseType:
		build = extensionTypes[u.name]
	}
	if build == nil {
		return form{}, false
	}
	return build(u), true
}

// builtinTypes are the types of pg_catalog with a form of their own.
var builtinTypes = map[string]builder{
	"bool": boolForm, "bit": bitsForm, "varbit": bitsForm,
	"int2": intForm(schema.Int16, 16), "int4": intForm(schema.Int32, 32), "int8": intForm(schema.Int64, 64), "oid": oidForm,
	"float4": floatForm(schema.Float32, 32), "float8": floatForm(schema.Float64, 64),
	"numeric": numericForm, "money": moneyForm,
	"bytea": byteaForm,

	"bpchar": defaultedText("", ""), "varchar": defaultedText("", ""), "text": defaultedText("", ""),
	"char": textForm(""), "name": textForm(""),
	"json": defaultedText(schema.JSON, "{}"), "jsonb": defaultedText(schema.JSON, "{}"), "xml": defaultedText(schema.XML, ""),
	"uuid":     defaultedText(schema.UUID, "00000000-0000-0000-0000-000000000000"),
	"tsvector": textForm(schema.Tsvector),
	"inet":     textForm(""), "cidr": textForm(""), "macaddr": textForm(""), "macaddr8": textForm(""),
	"int4range": textForm(""), "int8range": textForm(""), "numrange": textForm(""),
	"tsrange": textForm(""), "tstzrange": textForm(""), "daterange": textForm(""),

	"date": dateForm, "time": timeForm, "timestamp": timestampForm,
	"timetz": zonedTimeForm, "timestamptz": zonedTimestampForm,
	"interval": intervalForm,
	"point":    pointForm,
}

// extensionTypes are the base types of extensions with a form of their own.
var extensionTypes = map[string]builder{
	"hstore": hstoreForm, "citext": textForm(""), "ltree": textForm(schema.Ltree), "isbn": textForm(""),
	"geometry": geometryForm, "geography": geographyForm,
	"vector": vectorForm(schema.DoubleVector, schema.Float64, 64), "halfvec": vectorForm(schema.FloatVector, schema.Float32, 32),
	"sparsevec": sparseVectorForm,
}

// maxShownBytes bounds how much of a value an error tells.
const maxShownBytes = 64

// badValue is the error of a text that cannot be decoded. Long values are left out of it.
func badValue(typ string, text []byte, why string) error {
	if len(text) > maxShownBytes {
		return fmt.Errorf("decode %s value of %d bytes: %s", typ, len(text), why)
	}
	return fmt.Errorf("decode %s value %q: %s", typ, text, why)
}
