// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/change"
	"freshet/sinks/jdbc/dialect"
)

// freshPause is the number of groups of a table that are merged after a row thought new was found to exist, before
// copying straight into the table is tried again.
const freshPause = 64

// stage creates the staging table of a set: the set's columns with their types, without their constraints. It is
// emptied by the end of each transaction.
func (s *Session) stage(ctx context.Context, set *dialect.Set) error {
	if s.staging[set] != "" || s.noStaging {
		return nil
	}
	s.serial++
	name := "pg_temp." + s.dialect.Quote("freshet_stage_"+itoa(s.serial))
	err := s.Exec(ctx, "CREATE TEMPORARY TABLE "+s.dialect.Quote("freshet_stage_"+itoa(s.serial))+" ON COMMIT DELETE ROWS AS SELECT "+
		strings.Join(set.Columns(s.dialect), ",")+" FROM "+dialect.QuoteTable(s.dialect, set.Plan.Table.Name)+" WITH NO DATA")
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42501" {
		s.noStaging = true
		s.log.Warn("the role may not create temporary tables; rows are written one by one: GRANT TEMPORARY ON DATABASE would speed this up", "table", set.Plan.Table.Name.String())
		return nil
	}
	if err != nil {
		return fmt.Errorf("create a staging table for %q: %w", set.Plan.Table.Name, err)
	}
	s.staging[set] = name
	return nil
}

// copyGroup copies a group's rows to the server and applies them.
func (s *Session) copyGroup(ctx context.Context, g *dialect.Group, w way, data *change.Batch) error {
	if err := s.render(g, data); err != nil {
		return &valueError{err}
	}
	table := dialect.QuoteTable(s.dialect, g.Set.Plan.Table.Name)
	if w == straight && g.Kind == dialect.Insert {
		return s.copyInto(ctx, table, g.Set)
	}
	if w == straight {
		if done, err := s.copyFresh(ctx, table, g.Set); done || err != nil {
			return err
		}
		if err := s.stageInTransaction(ctx, g.Set); err != nil {
			return err
		}
	}
	if err := s.copyInto(ctx, s.staging[g.Set], g.Set); err != nil {
		return err
	}
	return s.merge(ctx, g, table)
}

// stageInTransaction makes a staging table that a rollback takes away. Where the role may not, the transaction is lost:
// its rows are applied one by one instead, and none is staged any more.
func (s *Session) stageInTransaction(ctx context.Context, set *dialect.Set) error {
	if s.staging[set] != "" {
		return nil
	}
	if err := s.stage(ctx, set); err != nil {
		return err
	}
	if s.noStaging {
		return &valueError{errors.New("no staging table")}
	}
	s.stagedInTx = append(s.stagedInTx, set)
	return nil
}

// copyFresh copies rows that are most likely new straight into the table, which is twice as fast as merging them. Any
// refusal is undone, and the rows are merged after all.
func (s *Session) copyFresh(ctx context.Context, table string, set *dialect.Set) (done bool, err error) {
	if err := s.Exec(ctx, "SAVEPOINT fresh"); err != nil {
		return false, err
	}
	refused := s.copyInto(ctx, table, set)
	if refused == nil {
		return true, s.Exec(ctx, "RELEASE SAVEPOINT fresh")
	}
	var pg *pgconn.PgError
	if !errors.As(refused, &pg) || s.conn.IsClosed() {
		return false, refused
	}
	s.notFresh[set.Plan.Table] = freshPause
	return false, s.Exec(ctx, "ROLLBACK TO SAVEPOINT fresh; RELEASE SAVEPOINT fresh")
}

func (s *Session) copyInto(ctx context.Context, table string, set *dialect.Set) error {
	_, err := s.conn.CopyFrom(ctx, bytes.NewReader(s.copyBuf), "COPY "+table+" ("+strings.Join(set.Columns(s.dialect), ",")+") FROM STDIN")
	return err
}

// merge applies the staged rows to the table.
func (s *Session) merge(ctx context.Context, g *dialect.Group, table string) error {
	set := g.Set
	keys, err := set.Keys(s.dialect)
	if err != nil && g.Kind != dialect.Insert {
		return err
	}
	columns := set.Columns(s.dialect)
	stage := s.staging[set]
	rest := columns[set.Plan.NKeys:]
	insert := dialect.InsertInto(s.dialect, set) + " SELECT " + strings.Join(columns, ",") + " FROM " + stage + " AS s"
	switch g.Kind {
	case dialect.Insert:
		_, err = s.exec(ctx, insert)
	case dialect.Upsert:
		_, err = s.exec(ctx, insert+" "+s.dialect.Upsert(keys, rest))
	case dialect.Delete:
		_, err = s.exec(ctx, "DELETE FROM "+table+" AS t USING "+stage+" AS s WHERE "+dialect.Matching(keys, "t", "s"))
	case dialect.Update, dialect.Patch:
		if len(rest) > 0 {
			_, err = s.exec(ctx, "UPDATE "+table+" AS t SET "+assignments(rest)+" FROM "+stage+" AS s WHERE "+dialect.Matching(keys, "t", "s"))
		}
		if err != nil || g.Kind == dialect.Update {
			return err
		}
		// The row may not satisfy NOT NULL, which is checked before a conflict is: rows that exist are left out here.
		var added int64
		added, err = s.exec(ctx, insert+" WHERE NOT EXISTS (SELECT 1 FROM "+table+" AS t WHERE "+dialect.Matching(keys, "t", "s")+")")
		if added > 0 {
			s.warnIncomplete(set.Plan.Table, added)
		}
	}
	return err
}

func assignments(columns []string) string {
	set := make([]string, len(columns))
	for i, c := range columns {
		set[i] = c + "=s." + c
	}
	return strings.Join(set, ",")
}

// exec runs one statement and returns the number of rows it affected.
func (s *Session) exec(ctx context.Context, sql string) (int64, error) {
	results, err := s.conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return 0, err
	}
	var n int64
	for _, r := range results {
		n += r.CommandTag.RowsAffected()
	}
	return n, nil
}

// render fills copyBuf with the group's rows in COPY's text format.
func (s *Session) render(g *dialect.Group, data *change.Batch) (err error) {
	buf := s.copyBuf[:0]
	fields := g.Set.Plan.Fields
	for i := range g.Rows {
		row := g.Row(i)
		for n, f := range g.Set.Fields {
			if n > 0 {
				buf = append(buf, '\t')
			}
			v := row[f]
			if v.IsNull() {
				buf = append(buf, '\\', 'N')
				continue
			}
			mark := len(buf)
			if buf, err = fields[f].Encode(buf, data, v); err != nil {
				return err
			}
			switch v.Kind() {
			case change.Int, change.Float, change.Bool: // their text has nothing to escape
			default:
				buf = escapeFrom(buf, mark)
			}
		}
		buf = append(buf, '\n')
	}
	s.copyBuf = buf
	return nil
}

// copyEscapes are the characters that COPY's text format cannot have as they are, and what follows the backslash.
var copyEscapes = [256]byte{'\\': '\\', '\n': 'n', '\r': 'r', '\t': 't', '\b': 'b', '\f': 'f', '\v': 'v'}

// escapeFrom escapes what was appended since mark, in place, from its end.
func escapeFrom(buf []byte, mark int) []byte {
	extra := 0
	for _, c := range buf[mark:] {
		if copyEscapes[c] != 0 {
			extra++
		}
	}
	if extra == 0 {
		return buf
	}
	from := len(buf) - 1
	for range extra {
		buf = append(buf, 0)
	}
	for to := len(buf) - 1; from >= mark; from-- {
		if e := copyEscapes[buf[from]]; e != 0 {
			buf[to], buf[to-1] = e, '\\'
			to -= 2
			continue
		}
		buf[to] = buf[from]
		to--
	}
	return buf
}
