// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"errors"
	"slices"
	"strconv"

	"freshet/change"
	"freshet/schema"
)

// relation is how the rows of one version of a table are decoded. Snapshot and stream both build it with newRelation,
// so that they cannot differ. It is immutable: connections of a snapshot share it.
type relation struct {
	table *schema.Table
	// columns stand in the order of the wire: of the RELATION message, or of the catalog in a snapshot.
	columns []relationColumn
	// keyed says whether changes have a key. It may be one without columns, where their types are unknown.
	keyed bool
	// masks are texts that stand for null, by their index in Table.Columns.
	masks []mask
}

// mask is a constant value of a column, also where there is none.
type mask struct {
	value int
	text  []byte
}

// relationColumn says where a column's value goes.
type relationColumn struct {
	name     string // the server's
	typeName string
	codec    Codec // Decode is nil where nothing of the column is emitted
	value    int   // index in Table.Columns, -1 for none
	key      int   // index in Table.Key, -1 for none
	rule     *ruled
}

// wanted says whether the column's value is emitted at all; a snapshot need not read the others.
func (c *relationColumn) wanted() bool { return c.value >= 0 || c.key >= 0 }

// newRelation makes the emitted version of a table. key names the columns of its own key in order, which
// message.key.columns may replace; those that are not among the columns are left out. Columns of types that cannot be emitted are left out, of the key too. Key columns always have a
// value in the key: column filters are for values.
func newRelation(id schema.ID, columns []ColumnInfo, key []string, types *Registry, o *options) *relation {
	key = o.keyNames(id, columns, key)
	r := &relation{
		table:   &schema.Table{ID: id, Columns: make([]schema.Column, 0, len(columns))},
		columns: make([]relationColumn, len(columns)),
	}
	for i, info := range columns {
		c := &r.columns[i]
		*c = relationColumn{name: info.Name, typeName: typeName(types, info.TypeOID), value: -1, key: -1}
		inValue, inKey := o.capturesColumn(id, info.Name), slices.Contains(key, info.Name)
		if !inValue && !inKey {
			continue
		}
		codec, ok := types.Codec(info, &o.Types)
		if !ok {
			continue
		}
		c.codec = codec
		if inValue {
			c.value = len(r.table.Columns)
			column := emitted(info.Name, codec, o)
			if o.ColumnRules != nil {
				r.rule(c, &column, useOf(types, info), o)
			}
			r.table.Columns = append(r.table.Columns, column)
		}
	}
	for _, name := range key {
		i := slices.IndexFunc(columns, func(c ColumnInfo) bool { return c.Name == name })
		if i < 0 {
			continue
		}
		r.keyed = true
		if c := &r.columns[i]; c.codec.Decode != nil && c.key < 0 {
			c.key = len(r.table.Key)
			r.table.Key = append(r.table.Key, emitted(name, c.codec, o))
		}
	}
	if r.keyed && r.table.Key == nil {
		r.table.Key = []schema.Column{} // a key without fields, which is not the same as none
	}
	return r
}

// rule applies the rule of a column, if it has one.
func (r *relation) rule(c *relationColumn, column *schema.Column, u *columnUse, o *options) {
	c.rule = o.ruleColumn(r.table.ID, column, u)
	if c.rule == nil {
		return
	}
	if c.rule.null != nil {
		r.masks = append(r.masks, mask{c.value, c.rule.null})
	}
	if decode := c.codec.Decode; c.rule.secret {
		c.codec.Decode = func(b *change.Batch, text []byte) (change.Value, error) {
			v, err := decode(b, text)
			if err != nil {
				err = errors.New("its value cannot be converted, and is not told because a rule masks it")
			}
			return v, err
		}
	}
}

// typeName is the server's name of a type, for messages.
func typeName(types *Registry, oid uint32) string {
	if t := types.lookup(oid); t != nil {
		return t.name
	}
	return "oid " + strconv.FormatUint(uint64(oid), 10)
}

// emitted is a column as it is emitted.
func emitted(name string, c Codec, o *options) schema.Column {
	return schema.Column{
		Name: schema.AdjustName(o.FieldAdjust, name, false), Type: c.Type, Fallback: c.Fallback, Unavailable: c.Unavailable,
	}
}

// rowSlots are the rows of a Batch that the values of one tuple go to. Absent rows take none.
type rowSlots struct{ values, key change.Row }

// newSlots reserves the rows of one tuple: all Null.
func (r *relation) newSlots(b *change.Batch) rowSlots {
	s := rowSlots{values: b.NewRow(len(r.table.Columns))}
	for _, m := range r.masks {
		b.Set(s.values, m.value, b.TextOf(m.text))
	}
	if r.keyed {
		s.key = b.NewRow(len(r.table.Key))
	}
	return s
}

// put stores the value of the column in the rows that hold it.
func (c *relationColumn) put(b *change.Batch, s rowSlots, v change.Value) {
	if c.value >= 0 && s.values.Present() {
		shown := v
		if c.rule != nil && (v.Kind() == change.Text || v.Kind() == change.Bytes) {
			shown = c.rule.apply(b, v)
		}
		b.Set(s.values, c.value, shown)
	}
	if c.key >= 0 && s.key.Present() {
		b.Set(s.key, c.key, v)
	}
}
