// SPDX-License-Identifier: Apache-2.0

package jdbc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"freshet/change"
	"freshet/schema"
	"freshet/sinks/jdbc/dialect"
)

// target is a table in the database, as the writer knows it.
type target struct {
	shown string // the name as messages show it: not folded
	name  dialect.Name
	id    uint64         // tells targets apart in keys of a segment
	table *dialect.Table // nil while it does not exist
	// columns are those of columnsOf, by their keys.
	columns   map[string]*dialect.Column
	columnsOf *dialect.Table
	// keys are the plans of deletes, by the type of the record key.
	keys map[*schema.Type]*rowPlan
	// whole is the plan of a truncate: no fields.
	whole   *rowPlan
	segment segmentTarget
}

// rowPlan is how records of one shape become rows of one table: a dialect.Plan, and where each of its values stands.
type rowPlan struct {
	target *target
	plan   *dialect.Plan
	// sources are in the order of the plan's fields.
	sources []source
	// move is the plan of moves, of a plan of deletes: the old key's fields, then the new one's.
	move *dialect.Plan
	// canonical are the key fields in the order of their column names, so that plans of one table agree on it.
	canonical []int
}

// source is where a field's value stands.
type source struct {
	inKey       bool
	index       int
	unavailable detector // nil where the field cannot be the placeholder
}

// wanted is a field that records have, before it is matched with a column.
type wanted struct {
	field  string
	column string // as the catalogue has it
	typ    *schema.Type
	key    bool
	source source
}

// targetOf finds a table, asking the catalogue the first time.
func (w *writer) targetOf(ctx context.Context, collection string) (*target, error) {
	if t := w.collections[collection]; t != nil {
		return t, nil
	}
	name, err := w.tableName(collection)
	if err != nil {
		return nil, err
	}
	t := w.targets[name]
	if t == nil {
		table, err := w.session.Table(ctx, name)
		if err != nil {
			return nil, w.targetProblem(err)
		}
		t = &target{shown: strings.TrimPrefix(withDots(collection), "public."), name: name, id: uint64(len(w.targets)), table: table, keys: map[*schema.Type]*rowPlan{}}
		w.targets[name] = t
	}
	w.collections[collection] = t
	return t, nil
}

// planRows makes the plan of a shape's rows in a table, creating or altering the table where that is allowed.
func (w *writer) planRows(ctx context.Context, s *shape, topic, collection string, keyType *schema.Type) (*rowPlan, error) {
	t, err := w.targetOf(ctx, collection)
	if err != nil {
		return nil, err
	}
	if s.image == nil || s.image.Kind != schema.Struct {
		return nil, refuse(errors.New("the value has no schema of a row"),
			"the sink needs records with a schema: check value.converter and its schemas.enable")
	}
	fields, err := w.wantedFields(s.image, topic, keyType)
	if errors.Is(err, dialect.ErrNoKey) {
		return nil, refuse(fmt.Errorf("Cannot write to table %s with no key fields defined: %w", t.shown, err), "name fields that the record has in primary.key.fields")
	}
	if err != nil {
		return nil, err
	}
	if err := w.evolve(ctx, t, fields); err != nil {
		return nil, err
	}
	return w.match(t, fields)
}

// planKeys makes the plan of deletes by record key; nil where the table does not exist: there is nothing to delete.
func (w *writer) planKeys(t *target, keyType *schema.Type) (*rowPlan, error) {
	if p := t.keys[keyType]; p != nil || t.table == nil {
		return p, nil
	}
	fields, err := w.keyFields(keyType)
	if err != nil {
		return nil, err
	}
	for _, f := range fields {
		if t.column(w, f.column) == nil {
			return nil, refuse(fmt.Errorf("table %q has no column %q for the key field %q", t.shown, f.column, f.field), "check primary.key.fields and quote.identifiers")
		}
	}
	p, err := w.match(t, fields)
	if err == nil {
		t.keys[keyType] = p
	}
	return p, err
}

// wantedFields lists what is written: the key's fields, then the row's others in schema order. A field of both is bound
// from the key.
func (w *writer) wantedFields(image *schema.Type, topic string, keyType *schema.Type) ([]wanted, error) {
	var fields []wanted
	var err error
	switch {
	case keyType != nil:
		if fields, err = w.keyFields(keyType); err != nil {
			return nil, err
		}
	case w.opt.keyMode == keyValue:
		if fields, err = w.valueKeyFields(image); err != nil {
			return nil, err
		}
	}
	for i := range image.Fields {
		f := &image.Fields[i]
		if slices.ContainsFunc(fields, func(k wanted) bool { return k.key && k.field == f.Name }) || !w.opt.writes(topic, f.Name) {
			continue
		}
		fields = append(fields, wanted{field: f.Name, typ: f.Type, source: source{index: i, unavailable: w.placeholder.detector(f.Type)}})
	}
	return fields, w.nameColumns(fields)
}

// keyFields are the fields of a key struct that primary.key.fields chooses; all of them without a choice.
func (w *writer) keyFields(keyType *schema.Type) ([]wanted, error) {
	var fields []wanted
	chosen := w.opt.keyFields
	if w.opt.keyMode != keyRecord {
		chosen = nil
	}
	for i := range keyType.Fields {
		f := &keyType.Fields[i]
		if len(chosen) == 0 || slices.Contains(chosen, f.Name) {
			fields = append(fields, wanted{field: f.Name, typ: f.Type, key: true, source: source{inKey: true, index: i}})
		}
	}
	if len(fields) == 0 { // H2: without key columns an update or delete would touch every row
		return nil, noKeyFields(chosen, keyType)
	}
	return fields, w.nameColumns(fields)
}

// valueKeyFields are the fields of the row that primary.key.fields chooses, in its order; all of them without a choice.
func (w *writer) valueKeyFields(image *schema.Type) ([]wanted, error) {
	var fields []wanted
	for i := range image.Fields {
		f := &image.Fields[i]
		if len(w.opt.keyFields) == 0 || slices.Contains(w.opt.keyFields, f.Name) {
			fields = append(fields, wanted{field: f.Name, typ: f.Type, key: true, source: source{index: i}})
		}
	}
	if len(fields) == 0 {
		return nil, noKeyFields(w.opt.keyFields, image)
	}
	return fields, nil
}

// noKeyError says what the key is chosen from, and that nothing of it is chosen.
type noKeyError struct {
	chosen []string
	typ    *schema.Type
}

func (e *noKeyError) Error() string {
	names := make([]string, len(e.typ.Fields))
	for i := range e.typ.Fields {
		names[i] = e.typ.Fields[i].Name
	}
	return fmt.Sprintf("primary.key.fields is %q, the record has %q", strings.Join(e.chosen, ","), strings.Join(names, ","))
}

func (e *noKeyError) Is(target error) bool { return target == dialect.ErrNoKey }

func noKeyFields(chosen []string, t *schema.Type) error {
	return refuse(&noKeyError{chosen, t}, "name fields that the record has in primary.key.fields")
}

// nameColumns gives fields their columns' names and refuses two fields for one column.
func (w *writer) nameColumns(fields []wanted) error {
	seen := make(map[string]string, len(fields))
	for i := range fields {
		f := &fields[i]
		f.column = w.storedName(f.field)
		if len(f.column) > w.opt.dialect.MaxName() {
			return refuse(fmt.Errorf("column name %q is longer than %d bytes", f.column, w.opt.dialect.MaxName()), "rename or exclude the field")
		}
		key := w.columnKey(f.column)
		if other, double := seen[key]; double {
			hint := "set quote.identifiers=true, so that names keep their case"
			if w.opt.quote || w.columnKey("A") == w.columnKey("a") {
				hint = "rename one of them by a transform, or leave it out by field.exclude.list"
			}
			return refuse(fmt.Errorf("fields %q and %q are one column %q", other, f.field, f.column), hint)
		}
		seen[key] = f.field
	}
	return nil
}

// columnKey is the same for names that are one column to the database.
func (w *writer) columnKey(name string) string {
	if x, ok := w.opt.dialect.(dialect.Caseless); ok {
		return x.ColumnKey(name)
	}
	return name
}

// column finds a column of the table by a name as the database compares it; nil where there is none.
func (t *target) column(w *writer, name string) *dialect.Column {
	if t.columnsOf != t.table {
		t.columns, t.columnsOf = make(map[string]*dialect.Column, len(t.table.Columns)), t.table
		for i := range t.table.Columns {
			c := &t.table.Columns[i]
			t.columns[w.columnKey(c.Name)] = c
		}
	}
	return t.columns[w.columnKey(name)]
}

// match finds the columns of fields, all of which the table has. Columns that the database computes are left to it.
func (w *writer) match(t *target, fields []wanted) (*rowPlan, error) {
	p := &rowPlan{target: t}
	columns := make([]dialect.Field, 0, len(fields))
	nkeys := 0
	for _, f := range fields {
		c := t.column(w, f.column)
		if c.Generated {
			continue
		}
		encode, err := w.opt.dialect.Encoder(f.typ, c)
		if err != nil {
			return nil, refuse(fmt.Errorf("table %q: %w", t.shown, err), "change the column's type in the target, or the field's at the source")
		}
		columns = append(columns, dialect.Field{Column: c, Encode: encode})
		p.sources = append(p.sources, f.source)
		if f.key {
			p.canonical = append(p.canonical, nkeys)
			nkeys++
		}
	}
	if len(columns) == 0 {
		return nil, refuse(fmt.Errorf("table %q: the record has no field to write", t.shown), "check field.include.list and field.exclude.list")
	}
	p.plan = dialect.NewPlan(t.table, columns, nkeys)
	slices.SortFunc(p.canonical, func(x, y int) int { return cmp.Compare(columns[x].Column.Name, columns[y].Column.Name) })
	return p, nil
}

// gather appends the plan's values of a record to slab: key fields from key, others from row.
func (p *rowPlan) gather(slab []change.Value, b *change.Batch, key, row change.Value) []change.Value {
	for i := range p.sources {
		s := &p.sources[i]
		if s.inKey {
			slab = append(slab, field(b, key, s.index))
			continue
		}
		v := field(b, row, s.index)
		if s.unavailable != nil && !v.IsNull() && s.unavailable(b, v) {
			v = change.UnavailableValue()
		}
		slab = append(slab, v)
	}
	return slab
}
