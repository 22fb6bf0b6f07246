// SPDX-License-Identifier: Apache-2.0

package jdbc

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"unicode/utf8"

	"freshet/change"
	"freshet/schema"
)

// detector says whether a value is what a source emits for one that the database did not send.
type detector func(b *change.Batch, v change.Value) bool

// placeholder knows the forms that the source's unavailable.value.placeholder takes, by type.
type placeholder struct {
	raw  []byte // for bytes
	text []byte // for texts: raw, with U+FFFD for what is no UTF-8
	uuid []byte // for uuids: Java's name-based UUID of raw
}

func newPlaceholder(raw []byte) placeholder {
	p := placeholder{raw: raw, text: bytes.ToValidUTF8(raw, []byte(string(utf8.RuneError)))}
	sum := md5.Sum(raw)
	sum[6] = sum[6]&0x0f | 0x30 // version 3
	sum[8] = sum[8]&0x3f | 0x80
	digits := hex.EncodeToString(sum[:])
	p.uuid = []byte(digits[:8] + "-" + digits[8:12] + "-" + digits[12:16] + "-" + digits[16:20] + "-" + digits[20:])
	return p
}

// detector returns the test for a field's type; nil where no form of the placeholder fits it.
func (p placeholder) detector(t *schema.Type) detector {
	switch t.Kind {
	case schema.String:
		if t.Name == schema.JSON {
			object := []byte(`{"` + string(p.text) + `":"` + string(p.text) + `"}`)
			return func(b *change.Batch, v change.Value) bool { return is(b, v, p.text) || is(b, v, object) }
		}
		return func(b *change.Batch, v change.Value) bool { return is(b, v, p.text) }
	case schema.Bytes:
		if t.Name != "" {
			return nil
		}
		return func(b *change.Batch, v change.Value) bool { return is(b, v, p.raw) }
	case schema.Array:
		return p.arrayDetector(t.Elem)
	case schema.Map:
		return func(b *change.Batch, v change.Value) bool {
			row := b.RowOf(v)
			return v.Kind() == change.Map && row.Len() == 2 && is(b, b.At(row, 0), p.text) && is(b, b.At(row, 1), p.text)
		}
	}
	return nil
}

// arrayDetector: arrays of texts, bytes and uuids hold the placeholder as their one item, arrays of numbers and dates its
// bytes, signed.
func (p placeholder) arrayDetector(elem *schema.Type) detector {
	want := p.text
	switch {
	case elem.Name == schema.UUID:
		want = p.uuid
	case elem.Kind == schema.Bytes && elem.Name == "":
		want = p.raw
	case elem.Kind == schema.Int32, elem.Kind == schema.Int64:
		return func(b *change.Batch, v change.Value) bool {
			row := b.RowOf(v)
			if v.Kind() != change.Array || row.Len() != len(p.raw) {
				return false
			}
			for i, c := range p.raw {
				if e := b.At(row, i); e.Kind() != change.Int || e.Int() != int64(int8(c)) {
					return false
				}
			}
			return len(p.raw) > 0
		}
	case elem.Kind != schema.String:
		return nil
	}
	return func(b *change.Batch, v change.Value) bool {
		if v.Kind() != change.Array {
			return false
		}
		row := b.RowOf(v)
		return row.Len() == 1 && is(b, b.At(row, 0), want)
	}
}

func is(b *change.Batch, v change.Value, want []byte) bool {
	if v.Kind() != change.Text && v.Kind() != change.Bytes {
		return false
	}
	p := b.Bytes(v)
	return len(p) == len(want) && bytes.Equal(p, want)
}
