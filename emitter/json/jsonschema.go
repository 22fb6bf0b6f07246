// SPDX-License-Identifier: Apache-2.0

package json

import (
	"bytes"

	"freshet/change"
	"freshet/schema"
)

// What payloads of JsonSchemaConverter have beyond, or in place of, what JsonConverter's have: maps with other keys are arrays
// of {"key":…,"value":…}, unions are the value of their one member, and a null that may not be is left out.

// OneOf is the name of Structs that stand for unions.
const OneOf = "io.confluent.connect.json.OneOf"

// Payload decodes values of one type that come without their schema. It is immutable.
type Payload struct{ plan *plan }

// NewPayload compiles a Payload.
func NewPayload(t *schema.Type, o Options) *Payload { return &Payload{compilePlan(t, o, false)} }

// PayloadReader has the scratch space for decoding. It belongs to one goroutine.
type PayloadReader struct{ reader reader }

// Decode decodes a value into b.
func (p *PayloadReader) Decode(b *change.Batch, of *Payload, body []byte) (change.Value, error) {
	p.reader.b, p.reader.stack = b, p.reader.stack[:0]
	p.reader.start(body)
	return p.reader.value(of.plan)
}

// ParseLiteral reads the text of a default.
func ParseLiteral(t *schema.Type, o Options, text []byte) (any, error) {
	c := *t
	err := parseDefault(&c, text, o)
	return c.Default, err
}

// AppendLiteral appends the text of a default, fallback or placeholder.
func AppendLiteral(dst []byte, t *schema.Type, o Options, lit any) ([]byte, error) {
	n, err := compile(t, o)
	if err != nil {
		return dst, err
	}
	text, err := n.literal(lit)
	return append(dst, text...), err
}

// appendEntries appends a map as an array of objects.
func (n *node) appendEntries(dst []byte, b *change.Batch, values []change.Value) ([]byte, error) {
	dst = append(dst, '[')
	var err error
	for i := 0; i+1 < len(values); i += 2 {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = n.key.append(append(dst, `{"key":`...), b, values[i]); err != nil {
			return dst, err
		}
		if dst, err = n.elem.append(append(dst, `,"value":`...), b, values[i+1]); err != nil {
			return dst, err
		}
		dst = append(dst, '}')
	}
	return append(dst, ']'), nil
}

// appendUnion appends the member that is set; without one it is null.
func (n *node) appendUnion(dst []byte, b *change.Batch, values []change.Value) ([]byte, error) {
	for i, v := range values {
		if i < len(n.members) && !v.IsNull() {
			return n.members[i].node.append(dst, b, v)
		}
	}
	return n.append(dst, b, change.NullValue())
}

// mapEntries reads a map from an array of objects.
func (r *reader) mapEntries(pl *plan, c byte) (change.Value, error) {
	return r.listed(pl, c, "Maps with non-string fields should be encoded as JSON array of objects, but found ", (*reader).mapEntry)
}

// mapEntry reads one {"key":…,"value":…} onto the stack.
func (r *reader) mapEntry(pl *plan) error {
	if c := r.peek(); c != '{' {
		return r.wrongKind("Found invalid map entry instead of object: ", c)
	}
	if err := r.enter(); err != nil {
		return err
	}
	var key, value change.Value
	seen := 0
	for first := true; ; first = false {
		more, err := r.next('}', first)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		name, _, err := r.text()
		if err == nil {
			err = r.consume(':')
		}
		if err != nil {
			return err
		}
		switch string(name) {
		case "key":
			key, err = r.value(pl.key)
		case "value":
			value, err = r.value(pl.elem)
		default:
			_, err = r.skip()
		}
		if err != nil {
			return err
		}
		seen++
	}
	if seen != 2 {
		return refuse("Found invalid map entry, expected length 2 but found another")
	}
	r.stack = append(r.stack, key, value)
	return nil
}

// union reads a value as the first member that takes its kind; an object as the one that has most of its names.
func (r *reader) union(pl *plan, c byte) (change.Value, error) {
	start, depth := r.i, r.depth
	text, err := r.skip()
	if err != nil {
		return change.Value{}, err
	}
	at := unionMember(pl, c, text)
	if at < 0 {
		return change.Value{}, refuse("Did not find matching oneof field for data")
	}
	r.i, r.depth = start, depth
	v, err := r.value(pl.fields[at].plan)
	if err != nil {
		return change.Value{}, err
	}
	row := r.b.NewRow(len(pl.fields))
	r.b.Set(row, at, v)
	return r.b.Run(change.Struct, row), nil
}

func unionMember(pl *plan, c byte, text []byte) int {
	best, most, blob := -1, -1, -1
	for i := range pl.fields {
		below := pl.fields[i].plan
		switch {
		case takes(below.typ.Kind, c, text):
			return i
		case below.typ.Kind == schema.Struct && c == '{':
			if n := sharedNames(below, text); n > most {
				best, most = i, n
			}
		case below.typ.Kind == schema.Bytes && (c == '"' || beginsNumber(c)) && blob < 0:
			blob = i
		}
	}
	if best < 0 {
		best = blob
	}
	return best
}

func beginsNumber(c byte) bool { return c == '-' || c-'0' <= 9 }

// takes says whether a value that begins with c is of a kind.
func takes(k schema.Kind, c byte, text []byte) bool {
	switch k {
	case schema.Int8, schema.Int16, schema.Int32, schema.Int64:
		return beginsNumber(c) && !bytes.ContainsAny(text, ".eE")
	case schema.Float32, schema.Float64:
		return beginsNumber(c)
	case schema.Boolean:
		return c == 't' || c == 'f'
	case schema.String:
		return c == '"'
	case schema.Array:
		return c == '['
	case schema.Map:
		return c == '[' || c == '{'
	}
	return false
}

// sharedNames is the number of members of an object that are fields of a struct.
func sharedNames(pl *plan, text []byte) int {
	n := 0
	_ = eachMember(text, func(name string, _ []byte) error { // it has passed the scanner
		if _, ok := pl.index[name]; ok {
			n++
		}
		return nil
	})
	return n
}
