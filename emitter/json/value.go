// SPDX-License-Identifier: Apache-2.0

package json

import (
	"encoding/base64"
	"math"
	"strconv"

	"freshet/change"
	"freshet/change/java"
)

// reader decodes payloads into a batch. Its stack holds the items of arrays and maps until their number is known; stack
// and scratch keep their memory between records.
type reader struct {
	scanner
	b       *change.Batch
	stack   []change.Value
	scratch []byte
}

// value reads a value as pl says.
func (r *reader) value(pl *plan) (change.Value, error) {
	c := r.peek()
	if c == 'n' {
		if err := r.word("null"); err != nil {
			return change.Value{}, err
		}
		return r.null(pl)
	}
	switch pl.code {
	case codeInt8, codeInt16, codeInt32, codeInt64:
		return r.integer(pl, c)
	case codeText:
		if c == '"' {
			return r.string()
		}
		return r.ignored()
	case codeFloat32:
		return r.float(c, 32)
	case codeFloat64:
		return r.float(c, 64)
	case codeBool:
		text, err := r.skip()
		return change.BoolValue(len(text) > 0 && text[0] == 't'), err
	case codeBytes:
		if c == '"' {
			return r.base64("Invalid bytes field")
		}
		return r.ignored()
	case codeDecimal:
		return r.decimal(pl, c)
	case codeDate, codeTime, codeTimestamp:
		return r.temporal(pl, c)
	case codeStruct:
		return r.structure(pl, c)
	case codeArray:
		return r.array(pl, c)
	case codeObject:
		return r.object(pl, c)
	case codePairs:
		return r.pairs(pl, c)
	case codeEntries:
		return r.mapEntries(pl, c)
	case codeUnion:
		return r.union(pl, c)
	}
	return r.free(c)
}

// null is what a null or missing member is read as.
func (r *reader) null(pl *plan) (change.Value, error) {
	switch {
	case pl.fallback != nil:
		return r.b.AppendLiteral(pl.fallback, pl.typ), nil
	case pl.optional:
		return change.Value{}, nil
	}
	return change.Value{}, refuse("Invalid null value for required " + upper(pl.typ.Kind) + " field")
}

// ignored skips a value of a kind that reads as null.
func (r *reader) ignored() (change.Value, error) {
	_, err := r.skip()
	return change.Value{}, err
}

// integer reads a number and cuts it to the width of the type, as Java's narrowing does. What is no number is 0.
func (r *reader) integer(pl *plan, c byte) (change.Value, error) {
	if c != '-' && c-'0' > 9 {
		_, err := r.skip()
		return change.IntValue(0), err
	}
	text, i, integral, err := r.number()
	if err != nil {
		return change.Value{}, err
	}
	if !integral {
		var d java.Number
		d, r.scratch = java.ParseNumber(r.scratch, text)
		i = d.Truncate()
	}
	switch pl.code {
	case codeInt8:
		i = int64(int8(i))
	case codeInt16:
		i = int64(int16(i))
	case codeInt32:
		i = int64(int32(i))
	}
	return change.IntValue(i), nil
}

// float reads a number, or one of the texts that stand for what JSON's numbers cannot. (Kafka reads these as 0.0, and
// -0.0 without its sign, which changes the value on its way.) What else is no number is 0.0.
func (r *reader) float(c byte, size int) (change.Value, error) {
	if c == '-' || c-'0' <= 9 {
		text, _, _, err := r.number()
		if err != nil {
			return change.Value{}, err
		}
		f, _ := strconv.ParseFloat(asString(text), size) // out of range is an infinity, as in Java
		return change.FloatValue(f), nil
	}
	text, err := r.skip()
	if err != nil {
		return change.Value{}, err
	}
	switch string(text) {
	case `"NaN"`:
		return change.FloatValue(math.NaN()), nil
	case `"Infinity"`:
		return change.FloatValue(math.Inf(1)), nil
	case `"-Infinity"`:
		return change.FloatValue(math.Inf(-1)), nil
	}
	return change.FloatValue(0), nil
}

// string reads a text into the arena.
func (r *reader) string() (change.Value, error) {
	p, plainText, err := r.text()
	if err != nil {
		return change.Value{}, err
	}
	if plainText {
		return r.b.TextOf(p), nil
	}
	mark := len(r.b.Arena)
	if r.b.Arena, err = r.unescape(r.b.Arena, p); err != nil {
		return change.Value{}, err
	}
	return r.b.TextFrom(mark), nil
}

// base64 reads bytes into the arena.
func (r *reader) base64(message string) (change.Value, error) {
	p, plainText, err := r.text()
	if err != nil {
		return change.Value{}, err
	}
	if !plainText {
		if r.scratch, err = r.unescape(r.scratch[:0], p); err != nil {
			return change.Value{}, err
		}
		p = r.scratch
	}
	mark := len(r.b.Arena)
	out, err := base64.StdEncoding.AppendDecode(r.b.Arena, p)
	if err != nil {
		return change.Value{}, refuse(message)
	}
	r.b.Arena = out
	return r.b.BytesFrom(mark), nil
}

// temporal reads Connect's own dates and times, which must be whole numbers.
func (r *reader) temporal(pl *plan, c byte) (change.Value, error) {
	what := [...]string{codeDate: "Date", codeTime: "Time", codeTimestamp: "Timestamp"}[pl.code]
	kind := "integer"
	if pl.code == codeTimestamp {
		kind = "integral"
	}
	wrong := func() error {
		return refuse("Invalid type for " + what + ", underlying representation should be " + kind + " but was " + nodeKind(c))
	}
	if c != '-' && c-'0' > 9 {
		if _, err := r.skip(); err != nil {
			return change.Value{}, err
		}
		return change.Value{}, wrong()
	}
	text, i, integral, err := r.number()
	switch {
	case err != nil:
		return change.Value{}, err
	case !integral, pl.code != codeTimestamp && (i != int64(int32(i)) || len(text) > 11):
		return change.Value{}, wrong()
	case pl.code == codeTime && (i < 0 || i > millisPerDay):
		return change.Value{}, refuse("Time values must use number of milliseconds greater than 0 and less than 86400000")
	}
	return change.IntValue(i), nil
}

// structure reads an object as a struct. Members are expected in the order of the fields, without blanks; others are
// looked up by name, and skipped where there is no such field.
func (r *reader) structure(pl *plan, c byte) (change.Value, error) {
	if c != '{' {
		return change.Value{}, r.wrongKind("Structs should be encoded as JSON objects, but found ", c)
	}
	if err := r.enter(); err != nil {
		return change.Value{}, err
	}
	row := r.b.NewRow(len(pl.fields))
	expected, inOrder := 0, true
	for first := true; ; first = false {
		more, err := r.next('}', first)
		if err != nil {
			return change.Value{}, err
		}
		if !more {
			break
		}
		at, err := r.fieldAt(pl, expected)
		if err != nil {
			return change.Value{}, err
		}
		if at < 0 {
			if _, err = r.skip(); err != nil {
				return change.Value{}, err
			}
			continue
		}
		inOrder = inOrder && at == expected
		expected = at + 1
		if err = r.field(pl, row, at); err != nil {
			return change.Value{}, err
		}
	}
	if !inOrder || expected != len(pl.fields) {
		if err := r.missing(pl, row); err != nil {
			return change.Value{}, err
		}
	}
	return r.b.Run(change.Struct, row), nil
}

// fieldAt reads the name of a member and its colon, and returns the index of its field, -1 for none.
func (r *reader) fieldAt(pl *plan, expected int) (int, error) {
	if expected < len(pl.fields) && r.label(pl.fields[expected].label) {
		return expected, nil
	}
	return r.member(pl)
}

// label skips an expected member name with its colon.
func (r *reader) label(label []byte) bool {
	rest := r.p[r.i:]
	if len(rest) < len(label) || string(rest[:len(label)]) != string(label) {
		return false
	}
	r.i += len(label)
	return true
}

// member is fieldAt for any name.
func (r *reader) member(pl *plan) (int, error) {
	name, plainText, err := r.text()
	if err != nil {
		return 0, err
	}
	if !plainText {
		if r.scratch, err = r.unescape(r.scratch[:0], name); err != nil {
			return 0, err
		}
		name = r.scratch
	}
	at, ok := pl.index[string(name)]
	if !ok {
		at = -1
	}
	return at, r.consume(':')
}

// field reads the value of a field.
func (r *reader) field(pl *plan, row change.Row, at int) error {
	f := &pl.fields[at]
	v, err := r.value(f.plan)
	if err != nil {
		return inField(f.name, err)
	}
	if v.IsNull() && !f.plan.optional {
		return refuse("Invalid value: null used for required field: \"" + f.name + "\", schema type: " + upper(f.plan.typ.Kind))
	}
	r.b.Set(row, at, v)
	return nil
}

// missing gives the fields that are null what they stand for. It is called where members are missing or out of order;
// nulls that were read are what they stand for already.
func (r *reader) missing(pl *plan, row change.Row) error {
	for i := range pl.fields {
		if !r.b.At(row, i).IsNull() {
			continue
		}
		below := pl.fields[i].plan
		if below.lenient && below.fallback == nil {
			continue
		}
		v, err := r.null(below)
		if err != nil {
			return inField(pl.fields[i].name, err)
		}
		r.b.Set(row, i, v)
	}
	return nil
}

// wrongKind skips a value and refuses it.
func (r *reader) wrongKind(message string, c byte) error {
	if _, err := r.skip(); err != nil {
		return err
	}
	return refuse(message + nodeKind(c))
}

// free reads a value without a schema: whole numbers are Int (modulo 2^64), others Float without the sign of -0.0, and
// objects are maps.
func (r *reader) free(c byte) (change.Value, error) {
	switch c {
	case '{':
		return r.entries(freePlan)
	case '[':
		return r.items(freePlan)
	case '"':
		return r.string()
	case 't':
		return change.BoolValue(true), r.word("true")
	case 'f':
		return change.BoolValue(false), r.word("false")
	}
	text, i, integral, err := r.number()
	if err != nil {
		return change.Value{}, err
	}
	if integral {
		return change.IntValue(i), nil
	}
	f, _ := strconv.ParseFloat(asString(text), 64)
	return change.FloatValue(f + 0), nil
}
