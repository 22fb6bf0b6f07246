// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"reflect"
	"slices"

	"freshet/schema"
)

// streamed is a table as the stream knows it now: what its last RELATION message and the catalog said.
type streamed struct {
	id schema.ID
	// relation is nil for a table that is not captured; its rows are counted and passed over.
	relation *relation
	key      []string // names of the key's columns, kept where the catalog no longer has any
	warned   []bool   // by column: a conversion failure was logged
	reselect *reselection
}

// lookup asks the live catalog for a table; nil if it is gone.
type lookup func(ctx context.Context, oid uint32) (*catalogTable, error)

// relation takes a RELATION message: names, order, types and modifiers of the columns are the message's, what else there
// is to know is the catalog's, which may be ahead of the stream.
func (d *decoder) relation(ctx context.Context, m relationMessage) error {
	s := &streamed{id: schema.ID{Catalog: d.o.Database, Schema: m.Schema, Name: m.Name}}
	old := d.relations[m.OID]
	d.relations[m.OID] = s
	if !d.o.captures(s.id) {
		return nil
	}
	live, err := d.lookup(ctx, m.OID)
	if err != nil {
		return err
	}
	columns := make([]ColumnInfo, len(m.Columns))
	for i, c := range m.Columns {
		columns[i] = ColumnInfo{Name: c.Name, TypeOID: c.Type, Typmod: c.Typmod, Streamed: true}
		if live != nil {
			merge(&columns[i], live.Columns)
		}
		if !d.types.Known(c.Type) {
			if err := d.refresh(ctx); err != nil {
				return err
			}
		}
	}
	s.key = keyOf(m, live, old)
	s.relation = newRelation(s.id, columns, s.key, d.types, d.o)
	s.reselect = d.o.newReselection(s.relation, s.key)
	s.warned = make([]bool, len(columns))
	before := d.snapshotted[s.id]
	delete(d.snapshotted, s.id)
	if old != nil && old.relation != nil {
		before = old.relation.table
	}
	if before != nil && reflect.DeepEqual(before, s.relation.table) {
		s.relation.table = before // plans are cached by pointer
	}
	return nil
}

// merge adds what the catalog says of a column of that name. Where the type has changed since, its default is of another
// type and left out. A column that is not there any more counts as optional.
func merge(c *ColumnInfo, live []ColumnInfo) {
	i := slices.IndexFunc(live, func(l ColumnInfo) bool { return l.Name == c.Name })
	if i < 0 {
		return
	}
	l := live[i]
	c.NotNull, c.Identity, c.Generated, c.Comment = l.NotNull, l.Identity, l.Generated, l.Comment
	if l.TypeOID == c.TypeOID {
		c.Default, c.HasDefault = l.Default, l.HasDefault
	}
}

// keyOf chooses the key's columns: the catalog's, else those of the version before, else for a table that is gone the
// columns that the message marks, which are the primary key's under the default identity.
func keyOf(m relationMessage, live *catalogTable, old *streamed) []string {
	switch {
	case live != nil && len(live.Key) > 0:
		return live.Key
	case old != nil:
		return old.key
	case live != nil || m.Identity == 'f':
		return nil
	}
	var key []string
	for _, c := range m.Columns {
		if c.Key {
			key = append(key, c.Name)
		}
	}
	return key
}
