// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"unsafe"

	"freshet/change"
	"freshet/internal/failpoint"
	"freshet/sinks/jdbc/dialect"
)

const (
	// maxParams is the most parameters of a statement.
	maxParams = 32_766
	// maxRows is how many rows a statement inserts at most: more make it no faster.
	maxRows = 64
)

// statementKey tells prepared statements apart: a statement of many rows is another one than that of one row.
type statementKey struct {
	set  *dialect.Set
	kind dialect.Kind
	rows int
}

// statement is what rows of a kind run: one prepared statement, or two. A kind that has nothing to do (an update of a table
// that is all key) has none.
type statement struct {
	parts []part
}

type part struct {
	stmt   driver.Stmt
	exec   driver.StmtExecContext
	params int
	// inserts says that it adds a row of which columns are unknown.
	inserts bool
}

// Apply applies groups in order and commits.
func (s *Session) Apply(ctx context.Context, groups []dialect.Group, data *change.Batch) error {
	if len(s.statements) > maxStatements {
		if err := s.Reset(ctx); err != nil {
			return err
		}
	}
	if err := s.run(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	for i := range groups {
		if err := s.applyGroup(ctx, &groups[i], data); err != nil {
			return s.rollback(ctx, &dialect.GroupError{Group: i, Err: err})
		}
	}
	failpoint.Hit("sink.commit.before")
	if err := s.run(ctx, "COMMIT"); err != nil {
		return s.rollback(ctx, err)
	}
	failpoint.Hit("sink.commit.after")
	return nil
}

func (s *Session) applyGroup(ctx context.Context, g *dialect.Group, data *change.Batch) error {
	if g.Kind == dialect.Truncate {
		return s.run(ctx, "DELETE FROM "+dialect.QuoteTable(s.dialect, g.Set.Plan.Table.Name))
	}
	many := 1
	if g.Kind == dialect.Insert || g.Kind == dialect.Upsert {
		many = max(1, min(maxRows, maxParams/len(g.Set.Fields)))
	}
	for at := 0; at < len(g.Rows); {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := 1
		if len(g.Rows)-at >= many {
			n = many
		}
		st, err := s.prepared(ctx, statementKey{g.Set, g.Kind, n})
		if err != nil {
			return err
		}
		if err := s.bind(g, at, n, data); err != nil {
			return &valueError{err}
		}
		if err := s.execute(ctx, st, g); err != nil {
			return err
		}
		at += n
	}
	return nil
}

// execute runs a statement with what is bound. Single statements are short: they are not interrupted, but the next one
// is not begun.
func (s *Session) execute(ctx context.Context, st *statement, g *dialect.Group) error {
	for _, p := range st.parts {
		result, err := p.exec.ExecContext(context.WithoutCancel(ctx), s.args[:p.params])
		if err != nil {
			return err
		}
		if !p.inserts {
			continue
		}
		added, err := result.RowsAffected()
		if err != nil {
			return err
		}
		if added > 0 {
			s.log.Warn("rows were added without the columns whose unchanged values the source did not send; take a new snapshot of the table or set REPLICA IDENTITY FULL",
				"table", g.Set.Plan.Table.Name.String(), "rows", added)
		}
	}
	return nil
}

// bind fills args with the values of n rows from a given one on. Texts and blobs are spans of buf.
func (s *Session) bind(g *dialect.Group, from, n int, data *change.Batch) error {
	fields := g.Set.Fields
	if g.Kind == dialect.Delete {
		fields = fields[:g.Set.Plan.NKeys]
	}
	s.args, s.buf = s.args[:0], s.buf[:0]
	for i := from; i < from+n; i++ {
		row := g.Row(i)
		for _, f := range fields {
			arg := driver.NamedValue{Ordinal: len(s.args) + 1}
			if v := row[f]; !v.IsNull() {
				mark := len(s.buf)
				var err error
				if s.buf, err = g.Set.Plan.Fields[f].Encode(s.buf, data, v); err != nil {
					return err
				}
				arg.Value = valueOf(s.buf[mark:len(s.buf):len(s.buf)])
			}
			s.args = append(s.args, arg)
		}
	}
	return nil
}

// valueOf is an encoded value for the driver, which copies it. It is valid while the bytes are.
func valueOf(p []byte) driver.Value {
	switch body := p[1:]; p[0] {
	case asInteger:
		return int64(binary.LittleEndian.Uint64(body))
	case asReal:
		return math.Float64frombits(binary.LittleEndian.Uint64(body))
	case asBlob:
		return body
	default:
		return unsafe.String(unsafe.SliceData(body), len(body))
	}
}

// prepared returns a statement, preparing it first where it is new.
func (s *Session) prepared(ctx context.Context, key statementKey) (*statement, error) {
	if st := s.statements[key]; st != nil {
		return st, nil
	}
	texts, err := s.texts(key)
	if err != nil {
		return nil, fmt.Errorf("table %q: %s: %w", key.set.Plan.Table.Name, key.kind, err)
	}
	st := &statement{}
	s.statements[key] = st
	for _, t := range texts {
		p, err := s.conn.PrepareContext(ctx, t.sql)
		if err != nil {
			delete(s.statements, key)
			return nil, errors.Join(fmt.Errorf("table %q: prepare %s: %w", key.set.Plan.Table.Name, key.kind, err), st.close())
		}
		exec, ok := p.(driver.StmtExecContext)
		if !ok {
			return nil, fmt.Errorf("the driver's statement %T lacks ExecContext", p)
		}
		st.parts = append(st.parts, part{stmt: p, exec: exec, params: t.params, inserts: t.inserts})
	}
	return st, nil
}

type statementText struct {
	sql     string
	params  int
	inserts bool
}

func (s *Session) texts(key statementKey) ([]statementText, error) {
	set, all := key.set, len(key.set.Fields)
	var first, second statementText
	var err, err2 error
	switch key.kind {
	case dialect.Insert:
		first = statementText{sql: s.insertRows(set, key.rows), params: all * key.rows}
	case dialect.Upsert:
		var keys dialect.Keys
		if keys, err = set.Keys(s.dialect); err == nil {
			first = statementText{sql: s.insertRows(set, key.rows) + " " + s.dialect.Upsert(keys, set.Columns(s.dialect)[set.Plan.NKeys:]), params: all * key.rows}
		}
	case dialect.Update:
		first.params = all
		first.sql, err = dialect.UpdateRow(s.dialect, set)
	case dialect.Patch:
		first.params, second.params, second.inserts = all, all, true
		first.sql, err = dialect.UpdateRow(s.dialect, set)
		second.sql, err2 = dialect.InsertMissingRow(s.dialect, set)
	case dialect.Delete:
		first.params = set.Plan.NKeys
		first.sql, err = dialect.DeleteRow(s.dialect, set)
	case dialect.Move:
		first.params, second.params = all, set.Plan.NKeys
		first.sql, err = dialect.MoveRow(s.dialect, set)
		second.sql, err2 = dialect.DeleteRow(s.dialect, set)
	}
	if err = errors.Join(err, err2); err != nil {
		return nil, err
	}
	var texts []statementText
	for _, t := range []statementText{first, second} {
		if t.sql != "" {
			texts = append(texts, t)
		}
	}
	return texts, nil
}

// insertRows inserts n rows by parameters in the order of the set, row by row. They have no numbers: SQLite looks for those
// from the first one on, each time that one is bound.
func (s *Session) insertRows(set *dialect.Set, n int) string {
	row := "(" + strings.Repeat("?,", len(set.Fields)-1) + "?)"
	return dialect.InsertInto(s.dialect, set) + " VALUES " + strings.Repeat(row+",", n-1) + row
}

func (st *statement) close() error {
	var err error
	for _, p := range st.parts {
		err = errors.Join(err, p.stmt.Close())
	}
	return err
}

// Reset drops all statements.
func (s *Session) Reset(context.Context) error { return s.dropStatements() }

func (s *Session) dropStatements() error {
	var err error
	for _, st := range s.statements {
		err = errors.Join(err, st.close())
	}
	clear(s.statements)
	return err
}
