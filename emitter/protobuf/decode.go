// SPDX-License-Identifier: Apache-2.0

package protobuf

import (
	"math"
	"math/big"
	"strconv"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"freshet/change"
	"freshet/change/java"
	"freshet/emitter"
	"freshet/schema"
)

// maxDepth bounds nested messages.
const maxDepth = 200

// reader decodes messages into a batch. It belongs to one goroutine. lists holds the items of repeated fields until their
// number is known, those of a message behind those of the messages around it; it keeps its memory.
type reader struct {
	b     *change.Batch
	lists [][]change.Value
	depth int
}

var errShort = emitter.Refuse("the message is not well-formed")

// value decodes what has a length, without it.
func (r *reader) value(p *plan, wire []byte) (change.Value, error) {
	switch p.kind {
	case kindString:
		if !utf8.Valid(wire) {
			return change.Value{}, emitter.Refuse("Protocol message had invalid UTF-8.")
		}
		return r.b.TextOf(wire), nil
	case kindBytes:
		return r.b.BytesOf(wire), nil
	case kindMessage:
		row, err := r.message(p, wire)
		return r.b.Run(change.Struct, row), err
	case kindWrapper:
		return r.wrapped(p.elem, wire)
	}
	return r.logical(p, wire)
}

// wrapped is the value in a wrapper; without one the default.
func (r *reader) wrapped(p *plan, wire []byte) (change.Value, error) {
	out := r.zero(p)
	err := r.each(wire, func(num protowire.Number, typ protowire.Type, wire []byte) error {
		if num != 1 || typ != p.kind.wire() {
			return nil
		}
		var err error
		out, err = r.one(p, wire)
		return err
	})
	return out, err
}

// each calls f with each field; wire are its value's bytes, without their length.
func (r *reader) each(wire []byte, f func(num protowire.Number, typ protowire.Type, wire []byte) error) error {
	for len(wire) > 0 {
		num, typ, n := protowire.ConsumeTag(wire)
		if n < 0 {
			return errShort
		}
		wire = wire[n:]
		size := protowire.ConsumeFieldValue(num, typ, wire)
		if size < 0 {
			return errShort
		}
		value := wire[:size]
		if typ == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(value)
		}
		if err := f(num, typ, value); err != nil {
			return err
		}
		wire = wire[size:]
	}
	return nil
}

// message decodes a message into a row.
func (r *reader) message(p *plan, wire []byte) (change.Row, error) {
	if r.depth++; r.depth > maxDepth {
		return change.Row{}, emitter.Refuse("the message is too deep")
	}
	defer func() { r.depth-- }()
	row := r.b.NewRow(max(len(p.typ.Fields), len(p.slots)))
	base := len(r.lists)
	for range p.lists {
		if len(r.lists) < cap(r.lists) {
			r.lists = r.lists[:len(r.lists)+1]
			r.lists[len(r.lists)-1] = r.lists[len(r.lists)-1][:0]
		} else {
			r.lists = append(r.lists, nil)
		}
	}
	err := r.each(wire, func(num protowire.Number, typ protowire.Type, wire []byte) error {
		s := p.fields[num]
		if s == nil {
			return nil
		}
		return r.field(row, base, s, typ, wire)
	})
	if err == nil {
		err = r.finish(row, base, p)
	}
	r.lists = r.lists[:base]
	return row, err
}

// field decodes one field. One of another wire type is unknown.
func (r *reader) field(row change.Row, base int, s *slot, typ protowire.Type, wire []byte) error {
	p := s.plan
	switch {
	case s.list >= 0:
		return r.item(base+s.list, p, typ, wire)
	case typ != p.kind.wire():
		return nil
	}
	v, err := r.one(p, wire)
	if err != nil {
		return err
	}
	if s.inner >= 0 {
		inner := r.b.NewRow(s.width)
		r.b.Set(inner, s.inner, v)
		v = r.b.Run(change.Struct, inner)
	}
	r.b.Set(row, s.place, v)
	return nil
}

// item decodes an item, or a packed run of them.
func (r *reader) item(list int, p *plan, typ protowire.Type, wire []byte) error {
	if p.kind == kindMap {
		if typ != protowire.BytesType {
			return nil
		}
		entry, err := r.message(p.elem, wire)
		if err == nil {
			r.lists[list] = append(r.lists[list], r.b.At(entry, 0), r.b.At(entry, 1))
		}
		return err
	}
	elem := p.elem
	if typ == elem.kind.wire() {
		v, err := r.one(elem, wire)
		r.lists[list] = append(r.lists[list], v)
		return err
	}
	if typ != protowire.BytesType || !elem.kind.packable() {
		return nil
	}
	for len(wire) > 0 {
		n := protowire.ConsumeFieldValue(1, elem.kind.wire(), wire)
		if n < 0 {
			return errShort
		}
		v, err := r.one(elem, wire[:n])
		if err != nil {
			return err
		}
		r.lists[list] = append(r.lists[list], v)
		wire = wire[n:]
	}
	return nil
}

// finish sets the repeated fields, and what is not there.
func (r *reader) finish(row change.Row, base int, p *plan) error {
	for _, s := range p.slots {
		if s.list >= 0 {
			r.b.Set(row, s.place, r.list(base+s.list, s.plan))
			continue
		}
		if !r.b.At(row, s.place).IsNull() {
			continue
		}
		switch s.unset {
		case unsetDefault:
			r.b.Set(row, s.place, r.fallback(s))
		case unsetStruct:
			v, err := r.value(s.plan, nil)
			if err != nil {
				return err
			}
			r.b.Set(row, s.place, v)
		}
	}
	return nil
}

// list makes a run of the items of a list. Of entries with one key the last counts.
func (r *reader) list(at int, p *plan) change.Value {
	items := r.lists[at]
	kind := change.Array
	if p.kind == kindMap {
		kind = change.Map
		items = r.lastOfKeys(items)
	}
	row := r.b.NewRow(len(items))
	copy(r.b.Values(row), items)
	return r.b.Run(kind, row)
}

func (r *reader) lastOfKeys(items []change.Value) []change.Value {
	seen := make(map[string]int, len(items)/2)
	kept := items[:0]
	for i := 0; i < len(items); i += 2 {
		key := r.keyText(items[i])
		if at, ok := seen[key]; ok {
			kept[at] = items[i+1]
			continue
		}
		seen[key] = len(kept) + 1
		kept = append(kept, items[i], items[i+1])
	}
	return kept
}

func (r *reader) keyText(v change.Value) string {
	switch v.Kind() {
	case change.Text, change.Bytes:
		return string(r.b.Bytes(v))
	case change.Int:
		return strconv.FormatInt(v.Int(), 10)
	case change.Bool:
		return strconv.FormatBool(v.Bool())
	}
	return strconv.FormatUint(math.Float64bits(v.Float()), 16)
}

// zero is the default of a type.
func (r *reader) zero(p *plan) change.Value {
	switch p.typ.Kind {
	case schema.Boolean:
		return change.BoolValue(false)
	case schema.Float32, schema.Float64:
		return change.FloatValue(0)
	case schema.String:
		if p.kind == kindEnum {
			return r.symbol(p, 0)
		}
		return r.b.TextOf(nil)
	case schema.Bytes:
		return r.b.BytesOf(nil)
	}
	return change.IntValue(0)
}

// fallback is what a field that is not there is read as.
func (r *reader) fallback(s *slot) change.Value {
	switch f := s.fallback.(type) {
	case nil:
		return r.zero(s.plan)
	case string:
		return r.b.Text(f)
	case []byte:
		return r.b.BytesOf(f)
	case bool:
		return change.BoolValue(f)
	case float32:
		return change.FloatValue(float64(f))
	case float64:
		return change.FloatValue(f)
	case int32:
		return change.IntValue(int64(f))
	case int64:
		return change.IntValue(f)
	case uint32:
		return change.IntValue(int64(f))
	case uint64:
		return change.IntValue(int64(f))
	}
	return change.NullValue()
}

func (r *reader) symbol(p *plan, i int64) change.Value {
	if text, ok := p.texts[i]; ok {
		return r.b.Text(text)
	}
	return r.b.Text("UNKNOWN_ENUM_VALUE_" + p.typ.Name + "_" + strconv.FormatInt(i, 10))
}

// one decodes one value of the right wire type.
func (r *reader) one(p *plan, wire []byte) (change.Value, error) {
	var bits uint64
	switch p.kind.wire() {
	case protowire.VarintType:
		bits, _ = protowire.ConsumeVarint(wire)
	case protowire.Fixed32Type:
		u, _ := protowire.ConsumeFixed32(wire)
		bits = uint64(u)
	case protowire.Fixed64Type:
		bits, _ = protowire.ConsumeFixed64(wire)
	default:
		return r.value(p, wire)
	}
	switch p.kind {
	case kindFloat:
		return change.FloatValue(float64(math.Float32frombits(uint32(bits)))), nil
	case kindDouble:
		return change.FloatValue(math.Float64frombits(bits)), nil
	case kindBool:
		return change.BoolValue(bits != 0), nil
	case kindEnum:
		if p.texts == nil {
			return change.IntValue(int64(int32(bits))), nil
		}
		return r.symbol(p, int64(int32(bits))), nil
	case kindZigzag32, kindZigzag64:
		bits = uint64(protowire.DecodeZigZag(bits))
	}
	switch p.typ.Kind {
	case schema.Int8:
		return change.IntValue(int64(int8(bits))), nil
	case schema.Int16:
		return change.IntValue(int64(int16(bits))), nil
	case schema.Int32:
		return change.IntValue(int64(int32(bits))), nil
	}
	if p.proto == "uint32" || p.proto == "fixed32" {
		bits = uint64(uint32(bits))
	}
	return change.IntValue(int64(bits)), nil
}

// logical decodes a message of a Connect type.
func (r *reader) logical(p *plan, wire []byte) (change.Value, error) {
	var ints [5]int64
	var unscaled []byte
	err := r.each(wire, func(num protowire.Number, typ protowire.Type, wire []byte) error {
		switch {
		case num < 5 && typ == protowire.VarintType:
			u, _ := protowire.ConsumeVarint(wire)
			ints[num] = int64(u)
		case num == 1 && typ == protowire.BytesType:
			unscaled = wire
		}
		return nil
	})
	if err != nil {
		return change.Value{}, err
	}
	switch p.kind {
	case kindDecimal:
		return r.decimal(p, unscaled, int(int32(ints[3])))
	case kindDate:
		t := time.Date(int(int32(ints[1])), time.Month(int32(ints[2])), int(int32(ints[3])), 0, 0, 0, 0, time.UTC)
		if y, m, d := t.Date(); int64(y) != ints[1] || int64(m) != ints[2] || int64(d) != ints[3] || t.Unix()/86400 != int64(int32(t.Unix()/86400)) {
			return change.Value{}, emitter.Refuse("Invalid Date: there is no such day")
		}
		return change.IntValue(t.Unix() / 86400), nil
	case kindTime:
		if ints == [5]int64{1: 24} { // the end of the day, which the original writes as its beginning
			return change.IntValue(millisPerDay), nil
		}
		if ints[1] < 0 || ints[1] > 23 || ints[2] < 0 || ints[2] > 59 || ints[3] < 0 || ints[3] > 59 || ints[4] < 0 || ints[4] > 999_999_999 {
			return change.Value{}, emitter.Refuse("Invalid TimeOfDay: there is no such time")
		}
		return change.IntValue(((ints[1]*60+ints[2])*60+ints[3])*1000 + ints[4]/1e6), nil
	}
	if s := ints[1]; s < math.MinInt64/1000-1 || s > math.MaxInt64/1000 || ints[2] < 0 || ints[2] > 999_999_999 {
		return change.Value{}, emitter.Refuse("Invalid Timestamp: it is out of range")
	}
	return change.IntValue(ints[1]*1000 + ints[2]/1e6), nil
}

// decimal brings a decimal to the scale of its schema. One with more digits behind the point is refused: cutting them off would
// change it.
func (r *reader) decimal(p *plan, unscaled []byte, scale int) (change.Value, error) {
	if len(unscaled) == 0 {
		unscaled = []byte{0}
	}
	if scale == p.scale {
		return r.b.BytesOf(unscaled), nil
	}
	const maxZeros = 10_000
	more := p.scale - scale
	if more > maxZeros || more < -maxZeros {
		return change.Value{}, emitter.Refuse("a decimal of another scale than its schema's")
	}
	x := java.BigFromTwos(unscaled)
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(more, -more))), nil)
	if more > 0 {
		x.Mul(x, power)
	} else {
		rest := new(big.Int)
		if x.QuoRem(x, power, rest); rest.Sign() != 0 {
			return change.Value{}, emitter.Refuse("a decimal of scale " + strconv.Itoa(scale) + " where the schema says scale " + strconv.Itoa(p.scale))
		}
	}
	mark := len(r.b.Arena)
	r.b.Arena = java.AppendBigTwos(r.b.Arena, x)
	return r.b.BytesFrom(mark), nil
}
