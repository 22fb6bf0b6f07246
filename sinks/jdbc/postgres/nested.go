// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"freshet/change"
	"freshet/schema"
	"freshet/sinks/jdbc/dialect"
	"freshet/sinks/jdbc/render"
)

// arrayEncoder renders an array literal. Items are quoted unless they are numbers or truth values, so that neither the
// word NULL nor an empty text is misread.
func (d Dialect) arrayEncoder(t *schema.Type, c *dialect.Column) (dialect.Encode, error) {
	if c.Base != 0 && c.Elem == 0 && refusesText(c.Base) {
		return nil, typeMismatch(c, "array")
	}
	item := *c
	item.Base, item.ID, item.Modifier = c.Elem, c.Elem, c.Modifier
	if t.Elem.Kind == schema.Array {
		item = *c // one type for all dimensions
	}
	encode, err := d.Encoder(t.Elem, &item)
	if err != nil {
		return nil, err
	}
	quoted := needsQuotes(t.Elem)
	return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
		dst = append(dst, '{')
		row := b.RowOf(v)
		for i := range row.Len() {
			if i > 0 {
				dst = append(dst, ',')
			}
			e := b.At(row, i)
			if e.IsNull() {
				dst = append(dst, "NULL"...)
				continue
			}
			mark := len(dst)
			if dst, err = encode(dst, b, e); err != nil {
				return nil, err
			}
			if quoted {
				dst = quoteFrom(dst, mark)
			}
		}
		return append(dst, '}'), nil
	}, nil
}

func needsQuotes(t *schema.Type) bool {
	switch t.Kind {
	case schema.String, schema.Bytes, schema.Struct, schema.Map:
		return t.Name != schema.Decimal && t.Name != schema.VariableScaleDecimal
	case schema.Array:
		return false
	}
	return t.Name != ""
}

// quoteFrom puts what was appended since mark into double quotes, with quotes and backslashes escaped: the form of
// array items and of hstore.
func quoteFrom(dst []byte, mark int) []byte {
	extra := 2
	for _, c := range dst[mark:] {
		if c == '"' || c == '\\' {
			extra++
		}
	}
	from := len(dst) - 1
	for range extra {
		dst = append(dst, 0)
	}
	to := len(dst) - 1
	dst[to] = '"'
	to--
	for ; from >= mark; from-- {
		dst[to] = dst[from]
		to--
		if dst[from] == '"' || dst[from] == '\\' {
			dst[to] = '\\'
			to--
		}
	}
	dst[mark] = '"'
	return dst
}

// mapEncoder renders hstore. A null value becomes the text null, as in the original.
func (d Dialect) mapEncoder(t *schema.Type) (dialect.Encode, error) {
	key, err := d.Encoder(t.Key, &dialect.Column{})
	if err != nil {
		return nil, err
	}
	value, err := d.Encoder(t.Elem, &dialect.Column{})
	if err != nil {
		return nil, err
	}
	return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
		row := b.RowOf(v)
		for i := 0; i < row.Len(); i += 2 {
			if i > 0 {
				dst = append(dst, ',')
			}
			mark := len(dst)
			if dst, err = key(dst, b, b.At(row, i)); err != nil {
				return nil, err
			}
			dst = append(quoteFrom(dst, mark), "=>"...)
			mark = len(dst)
			if e := b.At(row, i+1); e.IsNull() {
				dst = append(dst, "null"...)
			} else if dst, err = value(dst, b, e); err != nil {
				return nil, err
			}
			dst = quoteFrom(dst, mark)
		}
		return dst, nil
	}, nil
}

// appendHstoreOfJSON renders the JSON object that a source made of an hstore.
func appendHstoreOfJSON(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
	dec := json.NewDecoder(bytes.NewReader(b.Bytes(v)))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil, fmt.Errorf("hstore: not a JSON object: %.40q", b.Bytes(v))
	}
	for first := true; dec.More(); first = false {
		if !first {
			dst = append(dst, ',')
		}
		name, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("hstore: %w", err)
		}
		var value *string
		if err := dec.Decode(&value); err != nil {
			return nil, fmt.Errorf("hstore: %w", err)
		}
		mark := len(dst)
		dst = append(dst, name.(string)...)
		dst = append(quoteFrom(dst, mark), "=>"...)
		if value == nil {
			dst = append(dst, "NULL"...)
			continue
		}
		mark = len(dst)
		dst = quoteFrom(append(dst, *value...), mark)
	}
	return dst, nil
}

// vectorEncoder renders pgvector's dense form.
func vectorEncoder(t *schema.Type) (dialect.Encode, error) {
	if t.Kind != schema.Array {
		return nil, fmt.Errorf("schema %s is not an array", t.Name)
	}
	bits := 64
	if t.Elem.Kind == schema.Float32 {
		bits = 32
	}
	return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
		dst = append(dst, '[')
		row := b.RowOf(v)
		for i := range row.Len() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = render.Float(dst, b.At(row, i).Float(), bits)
		}
		return append(dst, ']'), nil
	}, nil
}

// sparseVectorEncoder renders pgvector's sparse form, {index:value,...}/dimensions.
func sparseVectorEncoder(t *schema.Type) (dialect.Encode, error) {
	dimensions, vector := t.FieldIndex("dimensions"), t.FieldIndex("vector")
	if dimensions < 0 || vector < 0 {
		return nil, fmt.Errorf("schema %s has no fields dimensions and vector", t.Name)
	}
	return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
		dst = append(dst, '{')
		row := b.RowOf(v)
		entries := b.RowOf(b.At(row, vector))
		for i := 0; i < entries.Len(); i += 2 {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(strconv.AppendInt(dst, b.At(entries, i).Int(), 10), ':')
			dst = render.Float(dst, b.At(entries, i+1).Float(), 64)
		}
		return strconv.AppendInt(append(dst, "}/"...), b.At(row, dimensions).Int(), 10), nil
	}, nil
}

// jsonEncoder renders a struct, map or array as JSON, for columns that hold no such type.
func jsonEncoder(t *schema.Type) dialect.Encode {
	return func(dst []byte, b *change.Batch, v change.Value) ([]byte, error) {
		return render.JSON(dst, b, t, v)
	}
}
