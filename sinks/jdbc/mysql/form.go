// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"freshet/change"
	"freshet/sinks/jdbc/dialect"
)

type formKey struct {
	set  *dialect.Set
	kind dialect.Kind
}

// form is how rows of a set are written for a kind: one statement for many rows, head row separator row ... tail, or the
// statements of each row alone.
type form struct {
	head, separator, tail string
	row                   []piece
	most                  int       // rows of a statement; 0 is as many as there is room for
	alone                 [][]piece // where there is no head
	// missing adds a row that the statements have not found, without the columns that are not known; nil where it is not added.
	missing []piece
}

// piece is a text, followed by the literal of a field of the row.
type piece struct {
	text  string
	field int // index in Set.Plan.Fields; -1 for none
}

// mostKeys is how many keys a DELETE names: above some thousands a server gives up on the index.
const mostKeys = 500

// setUpError is a table that cannot be written as it is configured, whatever the row.
type setUpError struct {
	err  error
	hint string
}

func (e *setUpError) Error() string { return e.err.Error() }
func (e *setUpError) Unwrap() error { return e.err }

// form returns the form of a kind, making it first where it is new.
func (s *Session) form(set *dialect.Set, kind dialect.Kind) (*form, error) {
	key := formKey{set, kind}
	if f := s.forms[key]; f != nil {
		return f, nil
	}
	f, err := s.dialect.newForm(set, kind)
	if err != nil {
		return nil, fmt.Errorf("table %q: %s: %w", set.Plan.Table.Name, kind, err)
	}
	s.forms[key] = f
	return f, nil
}

func (d *Dialect) newForm(set *dialect.Set, kind dialect.Kind) (*form, error) {
	x := marked{d}
	switch kind {
	case dialect.Insert, dialect.Upsert:
		f := &form{
			head: dialect.InsertInto(x, set) + " VALUES ", separator: ",",
			row: pieces("("+dialect.Placeholders(x, 1, len(set.Fields))+")", set),
		}
		if kind == dialect.Insert {
			return f, nil
		}
		keys, err := set.Keys(x)
		if err != nil {
			return nil, err
		}
		f.tail = " " + d.Upsert(keys, set.Columns(x)[set.Plan.NKeys:])
		return f, checkUnique(set.Plan)
	case dialect.Delete:
		keys, err := set.Keys(x)
		if err != nil {
			return nil, err
		}
		return deleteForm(x, set, keys), nil
	}
	texts, err := rowTexts(x, set, kind)
	if err != nil {
		return nil, err
	}
	f := &form{}
	if kind == dialect.Patch {
		f.missing = pieces(dialect.InsertRow(x, set), set)
	}
	for _, text := range texts {
		if text != "" {
			f.alone = append(f.alone, pieces(text, set))
		}
	}
	return f, nil
}

// deleteForm names many keys at once.
func deleteForm(x marked, set *dialect.Set, keys dialect.Keys) *form {
	f := &form{head: "DELETE FROM " + dialect.QuoteTable(x, set.Plan.Table.Name) + " WHERE ", most: mostKeys}
	if names := keys.Names(); len(names) == 1 {
		f.head += names[0] + " IN ("
		f.separator, f.row, f.tail = ",", pieces(x.Placeholder(1), set), ")"
		return f
	}
	f.separator, f.row = " OR ", pieces("("+equal(x, keys, 1)+")", set) // which the server finds by the index, unlike lists of rows
	return f
}

// rowTexts are the statements of a row, or of a truncate.
func rowTexts(x marked, set *dialect.Set, kind dialect.Kind) ([]string, error) {
	table := dialect.QuoteTable(x, set.Plan.Table.Name)
	if kind == dialect.Truncate { // TRUNCATE TABLE would commit what was written before it
		return []string{"DELETE FROM " + table}, nil
	}
	keys, err := set.Keys(x)
	if err != nil {
		return nil, err
	}
	update, err := dialect.UpdateRow(x, set)
	switch {
	case err != nil, kind == dialect.Update:
		return []string{update}, err
	case kind == dialect.Patch && update == "": // sets nothing, and tells whether the row is there
		update = "UPDATE " + table + " SET " + keys.Names()[0] + "=" + keys.Names()[0] + " WHERE " + equal(x, keys, 1)
		return []string{update}, checkUnique(set.Plan)
	case kind == dialect.Patch:
		return []string{update}, checkUnique(set.Plan)
	}
	remove, err := dialect.DeleteRow(x, set)
	// A table that is updated can be read in a table that is derived with a limit only.
	taken := "(SELECT 1 FROM " + table + " WHERE " + equal(x, keys, set.Plan.NKeys+1) + " LIMIT 1)"
	return []string{update + " AND NOT EXISTS (SELECT 1 FROM " + taken + " AS o)", remove}, err
}

// equal is k=? AND ... with parameters from the given one on.
func equal(x dialect.Syntax, keys dialect.Keys, from int) string {
	cond := make([]string, len(keys.Names()))
	for i, k := range keys.Names() {
		cond[i] = k + "=" + x.Placeholder(from+i)
	}
	return strings.Join(cond, " AND ")
}

// checkUnique makes sure that an upsert finds the row of its key.
func checkUnique(p *dialect.Plan) error {
	keys := make([]string, p.NKeys)
	for i := range keys {
		keys[i] = p.Fields[i].Column.Name
	}
	slices.Sort(keys)
	for _, index := range p.Table.Unique {
		index = slices.Clone(index)
		slices.Sort(index)
		if slices.Equal(index, keys) {
			return nil
		}
	}
	return &setUpError{
		err:  fmt.Errorf("no unique index on the key columns %s", strings.Join(keys, ", ")),
		hint: "create a unique index on the key columns in the target, or name the columns of an existing one in primary.key.fields",
	}
}

// marked writes parameters so that pieces finds them: no name holds a NUL.
type marked struct{ *Dialect }

// Placeholder is the parameter's number between NULs.
func (marked) Placeholder(n int) string { return "\x00" + itoa(n) + "\x00" }

// pieces cuts a statement at its parameters, which are fields in the order of a set.
func pieces(sql string, set *dialect.Set) []piece {
	parts := strings.Split(sql, "\x00")
	var out []piece
	for i := 0; i < len(parts); i += 2 {
		p := piece{text: parts[i], field: -1}
		if i+1 < len(parts) {
			n, _ := strconv.Atoi(parts[i+1]) // our own number
			p.field = set.Fields[n-1]
		}
		out = append(out, p)
	}
	return out
}

// appendPieces appends a statement, or a part of one, with the literals of a row.
func appendPieces(dst []byte, parts []piece, plan *dialect.Plan, row []change.Value, data *change.Batch) ([]byte, error) {
	for i := range parts {
		p := &parts[i]
		dst = append(dst, p.text...)
		if p.field < 0 {
			continue
		}
		v := row[p.field]
		if v.IsNull() {
			dst = append(dst, "NULL"...)
			continue
		}
		var err error
		if dst, err = plan.Fields[p.field].Encode(dst, data, v); err != nil {
			return nil, err
		}
	}
	return dst, nil
}
