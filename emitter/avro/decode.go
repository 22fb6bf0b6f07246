// SPDX-License-Identifier: Apache-2.0

package avro

import (
	stdbinary "encoding/binary"
	"math"

	"freshet/change"
	"freshet/emitter"
	"freshet/schema"
)

// reader decodes a message into a batch. It belongs to one goroutine.
type reader struct {
	b     *change.Batch
	p     []byte
	stack []change.Value
	depth int
}

var errShort = emitter.Refuse("the message ends before its value does")

func (r *reader) long() (int64, error) {
	v, n := stdbinary.Varint(r.p)
	if n <= 0 {
		return 0, errShort
	}
	r.p = r.p[n:]
	return v, nil
}

func (r *reader) take(n int64) ([]byte, error) {
	if n < 0 || n > int64(len(r.p)) {
		return nil, errShort
	}
	out := r.p[:n]
	r.p = r.p[n:]
	return out, nil
}

func (r *reader) value(p *plan) (change.Value, error) {
	if r.depth++; r.depth > maxDepth {
		return change.Value{}, emitter.Refuse("the value is too deep")
	}
	defer func() { r.depth-- }()
	if p.typ == nil {
		return r.anything()
	}
	switch p.kind {
	case boolean:
		c, err := r.take(1)
		return change.BoolValue(err == nil && c[0] != 0), err
	case integer, long:
		i, err := r.long()
		switch p.bits {
		case 8:
			i = int64(int8(i))
		case 16:
			i = int64(int16(i))
		}
		return change.IntValue(i), err
	case float:
		c, err := r.take(4)
		if err != nil {
			return change.Value{}, err
		}
		return change.FloatValue(float64(math.Float32frombits(stdbinary.LittleEndian.Uint32(c)))), nil
	case double:
		c, err := r.take(8)
		if err != nil {
			return change.Value{}, err
		}
		return change.FloatValue(math.Float64frombits(stdbinary.LittleEndian.Uint64(c))), nil
	case binary, text:
		return r.span(p)
	case fixed:
		c, err := r.take(int64(p.size))
		return r.b.BytesOf(c), err
	case enum:
		i, err := r.long()
		if err != nil || i < 0 || i >= int64(len(p.texts)) {
			return change.Value{}, emitter.Refuse("the enum has no such symbol")
		}
		return r.b.TextOf(p.texts[i]), nil
	case union:
		return r.union(p)
	case record:
		mark := len(r.stack)
		for _, f := range p.fields {
			v, err := r.value(f)
			if err != nil {
				return change.Value{}, err
			}
			r.stack = append(r.stack, v)
		}
		return r.pop(change.Struct, mark), nil
	}
	return r.blocks(p)
}

func (r *reader) span(p *plan) (change.Value, error) {
	n, err := r.long()
	if err != nil {
		return change.Value{}, err
	}
	c, err := r.take(n)
	if err != nil {
		return change.Value{}, err
	}
	if p.kind == text {
		return r.b.TextOf(c), nil
	}
	return r.b.BytesOf(c), nil
}

func (r *reader) union(p *plan) (change.Value, error) {
	i, err := r.long()
	if err != nil {
		return change.Value{}, err
	}
	if i < 0 || i >= int64(len(p.branches)) {
		return change.Value{}, emitter.Refuse("the union has no such branch")
	}
	branch := p.branches[i]
	if branch == nil {
		return change.NullValue(), nil
	}
	v, err := r.value(branch)
	if err != nil || !p.inStruct {
		return v, err
	}
	row := r.b.NewRow(len(p.typ.Fields))
	r.b.Set(row, p.places[i], v)
	return r.b.Run(change.Struct, row), nil
}

// pop makes a run of what is on the stack above mark.
func (r *reader) pop(k change.Kind, mark int) change.Value {
	items := r.stack[mark:]
	row := r.b.NewRow(len(items))
	copy(r.b.Values(row), items)
	r.stack = r.stack[:mark]
	return r.b.Run(k, row)
}

// blocks reads the blocks of an array or map: a count, negative where the size in bytes follows, and the items; 0 ends it.
func (r *reader) blocks(p *plan) (change.Value, error) {
	mark := len(r.stack)
	kind := change.Array
	if p.typ.Kind == schema.Map {
		kind = change.Map
	}
	for {
		n, err := r.long()
		if err != nil {
			return change.Value{}, err
		}
		if n == 0 {
			return r.pop(kind, mark), nil
		}
		if n < 0 {
			if n == math.MinInt64 {
				return change.Value{}, errShort
			}
			n = -n
			if _, err := r.long(); err != nil {
				return change.Value{}, err
			}
		}
		if n > maxItems && n > int64(len(r.p)) {
			return change.Value{}, emitter.Refuse("a block has more items than there can be")
		}
		for range n {
			if err := r.item(p, kind); err != nil {
				return change.Value{}, err
			}
		}
	}
}

// maxItems bounds blocks whose items take no bytes; all others are bounded by the message.
const maxItems = 1 << 16

func (r *reader) item(p *plan, k change.Kind) error {
	if k == change.Map {
		var key change.Value
		var err error
		if p.key != nil {
			key, err = r.value(p.key)
		} else {
			key, err = r.span(&plan{kind: text})
		}
		if err != nil {
			return err
		}
		r.stack = append(r.stack, key)
	}
	v, err := r.value(p.elem)
	if err == nil {
		r.stack = append(r.stack, v)
	}
	return err
}

// anything reads a value without a schema: the member that is set.
func (r *reader) anything() (change.Value, error) {
	if r.depth > maxDepth {
		return change.Value{}, emitter.Refuse("the value is too deep")
	}
	out := change.NullValue()
	for i := range anyMembers {
		set, err := r.long()
		if err != nil {
			return out, err
		}
		if set == 0 {
			continue
		}
		if out, err = r.value(anythingPlans[i]); err != nil {
			return out, err
		}
	}
	return out, nil
}

// anythingPlans are the plans of the members of anything.
var anythingPlans = newAnythingPlans()

func newAnythingPlans() []*plan {
	out := make([]*plan, anyMembers)
	for i, k := range []kind{boolean, binary, double, float, integer, long, text, array, array} {
		out[i] = &plan{kind: k, typ: &schema.Type{Kind: connectKinds[k]}}
	}
	free := &plan{kind: record}
	out[anyArray].elem = free
	out[anyMap].typ = &schema.Type{Kind: schema.Map}
	out[anyMap].key, out[anyMap].elem = free, free
	return out
}
