// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"freshet/change"
)

// Field is a column that a record writes.
type Field struct {
	Column *Column
	Encode Encode
}

// Plan is what records of one schema write in one version of one table. Key fields are first.
type Plan struct {
	Table  *Table
	Fields []Field
	NKeys  int
	// Full has all fields, Keys has the key fields only.
	Full, Keys *Set
	partial    map[string]*Set // by the bits of the fields that are there
}

// NewPlan makes a plan; the first nkeys fields are the key.
func NewPlan(t *Table, fields []Field, nkeys int) *Plan {
	p := &Plan{Table: t, Fields: fields, NKeys: nkeys, partial: map[string]*Set{}}
	all := make([]int, len(fields))
	for i := range all {
		all[i] = i
	}
	p.Full = &Set{Plan: p, Fields: all}
	p.Keys = &Set{Plan: p, Fields: all[:nkeys:nkeys]}
	return p
}

// Present is the Set of the fields of a row that are available. bits is scratch space of at least Width()/8+1 bytes.
func (p *Plan) Present(row []change.Value, bits []byte) *Set {
	missing := 0
	clear(bits)
	for i, v := range row {
		if v.Kind() == change.Unavailable {
			missing++
			continue
		}
		bits[i/8] |= 1 << (i % 8)
	}
	if missing == 0 {
		return p.Full
	}
	if s := p.partial[string(bits)]; s != nil {
		return s
	}
	s := &Set{Plan: p}
	for i, v := range row {
		if v.Kind() != change.Unavailable {
			s.Fields = append(s.Fields, i)
		}
	}
	p.partial[string(bits)] = s
	return s
}

// Sets calls f for every Set of the plan.
func (p *Plan) Sets(f func(*Set)) {
	f(p.Full)
	f(p.Keys)
	for _, s := range p.partial {
		f(s)
	}
}

// Set is a choice of a plan's fields, in their order. The key fields are always in it. There is one pointer for one
// choice, so that statements can be cached by it.
type Set struct {
	Plan   *Plan
	Fields []int
}

// Columns are the quoted names of the set's columns.
func (s *Set) Columns(x Syntax) []string {
	out := make([]string, len(s.Fields))
	for i, f := range s.Fields {
		out[i] = x.Quote(s.Plan.Fields[f].Column.Name)
	}
	return out
}

// Keys are the quoted names of the key columns; ErrNoKey where there is none.
func (s *Set) Keys(x Syntax) (Keys, error) {
	return NewKeys(s.Columns(x)[:s.Plan.NKeys])
}

// Kind is what is done with the rows of a group.
type Kind uint8

// The kinds.
const (
	Insert   Kind = iota // rows are new; an existing key is an error
	Upsert               // insert, or set all columns of the set
	Patch                // as Upsert, for rows that lack columns: those of an existing row stay as they are
	Update               // set the columns where the key exists
	Delete               // by key
	Move                 // give the row another key: the plan has the key's fields twice, the old key first
	Truncate             // no rows: empty the table
)

var kindNames = [...]string{"insert", "upsert", "patch", "update", "delete", "move", "truncate"}

// String is the name of the kind.
func (k Kind) String() string { return kindNames[k] }

// Group is rows of one table that take the same form. Row i is Slab[Rows[i]:][:len(Set.Plan.Fields)].
type Group struct {
	Kind Kind
	Set  *Set
	Slab []change.Value
	Rows []int32
	// Fresh says that the rows are most likely new (creates and snapshot reads).
	Fresh bool
}

// Row is the values of a row, one for each field of the plan.
func (g *Group) Row(i int) []change.Value {
	at := int(g.Rows[i])
	return g.Slab[at : at+len(g.Set.Plan.Fields) : at+len(g.Set.Plan.Fields)]
}
