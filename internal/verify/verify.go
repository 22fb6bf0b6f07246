// SPDX-License-Identifier: Apache-2.0

// Package verify compares the tables of two PostgreSQL databases row by row, in their text form.
//
// Both sides are read in the order of the primary key's text, each in one repeatable-read transaction, and merged, so
// that neither side has to fit into memory. It is used by the verify command, the demo and the kill tests.
package verify

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"freshet/schema"
)

// Table says what to compare: a table of the source and its copy.
type Table struct{ Source, Target schema.ID }

// Difference is one row that is not the same on both sides.
type Difference struct {
	Table  schema.ID // of the source
	Key    string
	Kind   string // missing, surplus or different
	Column string // the first column that differs, for different
	Source string
	Target string
}

// String is a line for people.
func (d Difference) String() string {
	switch d.Kind {
	case "different":
		return fmt.Sprintf("%s key %s: column %q is %s in the source and %s in the target", d.Table, d.Key, d.Column, d.Source, d.Target)
	case "missing":
		return fmt.Sprintf("%s key %s: missing in the target", d.Table, d.Key)
	}
	return fmt.Sprintf("%s key %s: in the target only", d.Table, d.Key)
}

// Result is what a comparison found.
type Result struct {
	Table       Table
	Rows        int64 // rows of the source
	Differences int64
	First       []Difference // at most as many as asked for
}

// Equal says whether both sides are the same.
func (r Result) Equal() bool { return r.Differences == 0 }

// Compare compares one table. Columns that only the target has are not looked at; a column that the target lacks is an
// error. It keeps at most keep differences.
func Compare(ctx context.Context, source, target *pgx.Conn, t Table, keep int) (Result, error) {
	res := Result{Table: t}
	columns, key, err := describe(ctx, source, t.Source)
	if err != nil {
		return res, fmt.Errorf("describe table %q of the source: %w", t.Source, err)
	}
	a, err := open(ctx, source, t.Source, columns, key)
	if err != nil {
		return res, fmt.Errorf("read table %q of the source: %w", t.Source, err)
	}
	defer a.close(ctx)
	b, err := open(ctx, target, t.Target, columns, key)
	if err != nil {
		return res, fmt.Errorf("read table %q of the target: %w", t.Target, err)
	}
	defer b.close(ctx)
	if err := merge(a, b, func(d Difference) {
		d.Table = t.Source
		if res.Differences++; len(res.First) < keep {
			res.First = append(res.First, d)
		}
	}, columns); err != nil {
		return res, err
	}
	res.Rows = a.count
	return res, nil
}

// merge walks both sides in key order.
func merge(a, b *side, report func(Difference), columns []string) error {
	moreA, errA := a.next()
	moreB, errB := b.next()
	for {
		switch {
		case errA != nil:
			return errA
		case errB != nil:
			return errB
		case !moreA && !moreB:
			return nil
		case !moreB || moreA && a.key < b.key:
			report(Difference{Key: a.key, Kind: "missing"})
			moreA, errA = a.next()
		case !moreA || a.key > b.key:
			report(Difference{Key: b.key, Kind: "surplus"})
			moreB, errB = b.next()
		default:
			for i := range columns {
				if x, y := a.text(i), b.text(i); x != y {
					report(Difference{Key: a.key, Kind: "different", Column: columns[i], Source: x, Target: y})
					break
				}
			}
			moreA, errA = a.next()
			moreB, errB = b.next()
		}
	}
}

// describe returns the columns of a table and those of its primary key; all columns where there is none.
func describe(ctx context.Context, c *pgx.Conn, id schema.ID) (columns, key []string, err error) {
	rows, err := c.Query(ctx, `select a.attname, coalesce(a.attnum = any(i.indkey), false)
from pg_attribute a left join pg_index i on i.indrelid = a.attrelid and i.indisprimary
where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped
order by array_position(i.indkey::int2[], a.attnum), a.attnum`, id.Quoted())
	if err != nil {
		return nil, nil, err
	}
	var name string
	var inKey bool
	_, err = pgx.ForEachRow(rows, []any{&name, &inKey}, func() error {
		columns = append(columns, name)
		if inKey {
			key = append(key, name)
		}
		return nil
	})
	if len(key) == 0 {
		key = columns
	}
	return columns, key, err
}

// side is one of the two tables being read.
type side struct {
	tx    pgx.Tx
	rows  pgx.Rows
	key   string
	count int64
}

func open(ctx context.Context, c *pgx.Conn, id schema.ID, columns, key []string) (*side, error) {
	tx, err := c.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, err
	}
	for _, s := range []string{"set local timezone to 'UTC'", "set local datestyle to 'ISO'", "set local bytea_output to 'hex'", "set local intervalstyle to 'postgres'", "set local extra_float_digits to 1"} {
		if _, err := tx.Exec(ctx, s); err != nil {
			return nil, err
		}
	}
	var q strings.Builder
	q.WriteString("select ")
	keyText := keyExpression(key)
	q.WriteString(keyText)
	for _, name := range columns {
		q.WriteString(", " + schema.QuoteName(name) + "::text")
	}
	q.WriteString(" from " + id.Quoted() + " order by (" + keyText + ") collate \"C\"")
	rows, err := tx.Query(ctx, q.String())
	if err != nil {
		return nil, err
	}
	return &side{tx: tx, rows: rows}, nil
}

// keyExpression is the key as one text; \x01 keeps parts apart.
func keyExpression(key []string) string {
	parts := make([]string, len(key))
	for i, name := range key {
		parts[i] = "coalesce(" + schema.QuoteName(name) + "::text, '')"
	}
	return strings.Join(parts, ` || e'\x01' || `)
}

func (s *side) next() (bool, error) {
	if !s.rows.Next() {
		return false, s.rows.Err()
	}
	s.count++
	s.key = string(s.rows.RawValues()[0])
	return true, nil
}

// text is a column of the current row for comparison and for people.
func (s *side) text(i int) string {
	v := s.rows.RawValues()[i+1]
	if v == nil {
		return "NULL"
	}
	return "'" + string(v) + "'"
}

func (s *side) close(ctx context.Context) {
	s.rows.Close()
	_ = s.tx.Rollback(ctx) // read only
}
