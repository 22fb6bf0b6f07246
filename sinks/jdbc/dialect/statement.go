// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"errors"
	"strings"
)

// Syntax is how a database writes names, parameters and upserts.
type Syntax interface {
	// Quote quotes one identifier, whatever it holds.
	Quote(name string) string
	// Placeholder is the n-th parameter, from 1.
	Placeholder(n int) string
	// Upsert is what follows an INSERT to make it an upsert: rest are the columns that are set, none for a table that is
	// all key. Names are quoted.
	Upsert(keys Keys, rest []string) string
}

// ErrNoKey refuses an update or delete without key columns: it would touch every row.
var ErrNoKey = errors.New("no key columns")

// Keys are the quoted names of key columns. There is at least one: UPDATE and DELETE take Keys, so that neither can be
// written without a condition.
type Keys struct{ names []string }

// NewKeys refuses an empty list.
func NewKeys(names []string) (Keys, error) {
	if len(names) == 0 {
		return Keys{}, ErrNoKey
	}
	return Keys{names}, nil
}

// Names are the quoted names; never empty.
func (k Keys) Names() []string {
	if len(k.names) == 0 {
		panic("dialect: Keys made without NewKeys")
	}
	return k.names
}

// QuoteTable quotes a table's name.
func QuoteTable(x Syntax, n Name) string {
	if n.Schema == "" {
		return x.Quote(n.Table)
	}
	return x.Quote(n.Schema) + "." + x.Quote(n.Table)
}

// InsertInto is INSERT INTO t (columns), to be followed by VALUES or SELECT.
func InsertInto(x Syntax, s *Set) string {
	into := "INSERT INTO " + QuoteTable(x, s.Plan.Table.Name) + " (" + strings.Join(s.Columns(x), ",") + ")"
	for _, f := range s.Fields {
		if s.Plan.Fields[f].Column.Always {
			return into + " OVERRIDING SYSTEM VALUE"
		}
	}
	return into
}

// InsertRow inserts one row by parameters in the order of the set.
func InsertRow(x Syntax, s *Set) string {
	return InsertInto(x, s) + " VALUES (" + Placeholders(x, 1, len(s.Fields)) + ")"
}

// UpsertRow upserts one row by parameters in the order of the set.
func UpsertRow(x Syntax, s *Set) (string, error) {
	keys, err := s.Keys(x)
	if err != nil {
		return "", err
	}
	return InsertRow(x, s) + " " + x.Upsert(keys, s.Columns(x)[s.Plan.NKeys:]), nil
}

// UpdateRow sets the set's other columns where the key matches, by parameters in the order of the set. It is "" for a
// set that is all key: there is nothing to set.
func UpdateRow(x Syntax, s *Set) (string, error) {
	keys, err := s.Keys(x)
	if err != nil {
		return "", err
	}
	rest := s.Columns(x)[s.Plan.NKeys:]
	if len(rest) == 0 {
		return "", nil
	}
	set := make([]string, len(rest))
	for i, c := range rest {
		set[i] = c + "=" + x.Placeholder(s.Plan.NKeys+i+1)
	}
	return "UPDATE " + QuoteTable(x, s.Plan.Table.Name) + " SET " + strings.Join(set, ",") + " WHERE " + keyCondition(x, keys), nil
}

// DeleteRow deletes by key, with the key's parameters.
func DeleteRow(x Syntax, s *Set) (string, error) {
	keys, err := s.Keys(x)
	if err != nil {
		return "", err
	}
	return "DELETE FROM " + QuoteTable(x, s.Plan.Table.Name) + " WHERE " + keyCondition(x, keys), nil
}

// InsertMissingRow inserts one row by parameters in the order of the set, unless its key exists.
func InsertMissingRow(x Syntax, s *Set) (string, error) {
	keys, err := s.Keys(x)
	if err != nil {
		return "", err
	}
	return InsertInto(x, s) + " SELECT " + Placeholders(x, 1, len(s.Fields)) + " WHERE NOT EXISTS (SELECT 1 FROM " +
		QuoteTable(x, s.Plan.Table.Name) + " WHERE " + keyCondition(x, keys) + ")", nil
}

// MoveRow gives a row another key, unless there is a row of that key: the first parameters are the old key, the others
// the new one.
func MoveRow(x Syntax, s *Set) (string, error) {
	keys, err := s.Keys(x)
	if err != nil {
		return "", err
	}
	update, err := UpdateRow(x, s)
	if err != nil {
		return "", err
	}
	taken := make([]string, s.Plan.NKeys)
	for i, k := range keys.Names() {
		taken[i] = "o." + k + "=" + x.Placeholder(s.Plan.NKeys+i+1)
	}
	return update + " AND NOT EXISTS (SELECT 1 FROM " + QuoteTable(x, s.Plan.Table.Name) + " AS o WHERE " + strings.Join(taken, " AND ") + ")", nil
}

// TruncateTable empties a table.
func TruncateTable(x Syntax, n Name) string { return "TRUNCATE TABLE " + QuoteTable(x, n) }

// Matching is t.k = s.k AND ... over the keys.
func Matching(keys Keys, t, s string) string {
	cond := make([]string, len(keys.Names()))
	for i, k := range keys.Names() {
		cond[i] = t + "." + k + "=" + s + "." + k
	}
	return strings.Join(cond, " AND ")
}

// Placeholders are n parameters from the given one, separated by commas.
func Placeholders(x Syntax, from, n int) string {
	out := make([]string, n)
	for i := range out {
		out[i] = x.Placeholder(from + i)
	}
	return strings.Join(out, ",")
}

func keyCondition(x Syntax, keys Keys) string {
	cond := make([]string, len(keys.Names()))
	for i, k := range keys.Names() {
		cond[i] = k + "=" + x.Placeholder(i+1)
	}
	return strings.Join(cond, " AND ")
}
