// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/change"
	"freshet/schema"
	"freshet/snapshot"
)

// copier is the snapshot.Querier of PostgreSQL: it reads tables with COPY, on connections that all see one state of the
// database. See begin in copy_begin.go for which state that is.
type copier struct {
	c     dialer
	types *Registry
	log   *slog.Logger
	state snapshotState

	anchor *pgconn.PgConn // connection of the first transaction; the first session takes it over
	holder *pgconn.PgConn // replication connection of a temporary slot, nil for none
	// exported is the snapshot that further sessions import, seen what pg_current_snapshot tells of it: "" where every
	// statement sees a state of its own.
	exported, seen string
	position       position // of the snapshot; its text is made by Position
	tables         map[*schema.Table]*copyTable
	tally          tally // of what was handed out
	block          int64 // bytes of a block, with what is stored out of line
}

var _ snapshot.Querier = (*copier)(nil)

// copyTable is a table to be copied. But for its last fields it is not changed once Tables has returned.
type copyTable struct {
	*catalogTable
	relation *relation
	// inherited says that other tables inherit from it: their rows are rows of it, as a plain SELECT sees it.
	inherited bool
	file      string // the relation's file when the snapshot was taken, "" for none
	// pages is the size of that file, bytes that of the whole table; 0 where rows are not in a file of the table's own.
	pages, bytes int64
	// override is the statement to read instead of the table, "" for none.
	override string

	blocks map[string]pageSpan // by the condition of the chunk; nil where it is not divided
	left   int                 // chunks that are not finished, and done the pages of those that are: the tally's
	done   []pageSpan
}

// newCopier makes the Querier of one snapshot. It connects when Tables is called.
func newCopier(c dialer, types *Registry, state snapshotState, log *slog.Logger) *copier {
	return &copier{c: c, types: types, state: state, log: log, tables: map[*schema.Table]*copyTable{}, block: blockBytes}
}

// Tables begins the transaction of the snapshot, and lists the captured tables that are part of it.
func (q *copier) Tables(ctx context.Context) (_ []snapshot.Table, err error) {
	defer func() { err = q.c.o.pass(err) }()
	if err := q.begin(ctx); err != nil {
		return nil, err
	}
	catalog, err := capturedTables(ctx, q.anchor, q.c.o)
	if err != nil {
		return nil, err
	}
	q.tally.order = snapshotTables(catalog, q.c.o)
	var out []snapshot.Table
	for _, t := range q.tally.order {
		t.relation = newRelation(t.ID, t.Columns, t.Key, q.types, q.c.o)
		q.tables[t.relation.table] = t
		out = append(out, snapshot.Table{Table: t.relation.table, Estimated: t.estimated(), Multiplier: q.c.o.SnapshotMultipliers[t.ID.String()]})
	}
	if err := q.lock(ctx, out); err != nil {
		return nil, err
	}
	return out, readFiles(ctx, q.anchor, q.tally.order)
}

// snapshotTables are the tables of a snapshot, in its order.
func snapshotTables(catalog []*catalogTable, o *options) []*copyTable {
	var out []*copyTable
	for _, t := range catalog {
		if o.snapshots(t.ID) {
			out = append(out, &copyTable{catalogTable: t, override: o.SnapshotSelects[t.ID.String()], left: 1})
		}
	}
	orderTables(out, o.SnapshotOrder)
	return out
}

// estimated is the number of rows, -1 where it is unknown.
func (t *copyTable) estimated() int64 {
	if t.Partitioned {
		return -1 // the planner's figure is that of the partitions, and often old
	}
	return max(int64(t.Rows), -1)
}

// Session opens a session. The first one takes over the connection that listed the tables.
func (q *copier) Session(ctx context.Context) (snapshot.Session, error) {
	if q.anchor != nil {
		s := &copySession{q: q, conn: q.anchor}
		q.anchor = nil
		return s, nil
	}
	conn, err := q.importing(ctx)
	if err != nil {
		return nil, err
	}
	return &copySession{q: q, conn: conn}, nil
}

// Position is the place in the log that belongs to the snapshot's state, for all of its rows. As long as it runs, it also
// says what is finished.
func (q *copier) Position(completed bool) change.Position {
	p := q.position
	p.Last, p.Completed = completed, completed
	if !completed {
		p.Finished = q.tally.member(q.seen)
	}
	return p.Position()
}

// Close ends what the sessions did not take over.
func (q *copier) Close(ctx context.Context) error {
	var errs []error
	for _, conn := range []*pgconn.PgConn{q.anchor, q.holder} {
		if conn != nil {
			errs = append(errs, conn.Close(ctx))
		}
	}
	q.anchor, q.holder = nil, nil
	return errors.Join(errs...)
}

// Finished notes a chunk for the positions that follow.
func (q *copier) Finished(c snapshot.Chunk) { q.tally.add(q.tables[c.Table], c.Part) }

// rowWriter takes the messages of COPY: the server sends one for each row.
type rowWriter func(line []byte) error

var _ io.Writer = rowWriter(nil)

func (w rowWriter) Write(line []byte) (int, error) { return len(line), w(line) }

// copySQL is the statement that reads a chunk. COPY of the table itself is the fastest, but it takes neither conditions nor
// generated columns, nor does it see rows of inheriting tables.
func copySQL(t *copyTable, part string) string {
	names := make([]string, 0, len(t.relation.columns))
	simple := part == "" && !t.Partitioned && !t.inherited && t.override == ""
	for i, c := range t.relation.columns {
		if c.wanted() {
			names = append(names, schema.QuoteName(c.name))
			simple = simple && !t.Columns[i].Generated
		}
	}
	list := strings.Join(names, ", ")
	if simple && len(names) > 0 {
		return "COPY " + t.ID.Quoted() + " (" + list + ") TO STDOUT"
	}
	sql := "COPY (SELECT " + list + " FROM " + t.ID.Quoted()
	if t.override != "" {
		sql = "COPY (SELECT " + list + " FROM (" + t.override + "\n) AS overridden" // a comment may end the statement
	}
	if part != "" {
		sql += " WHERE " + part
	}
	return sql + ") TO STDOUT"
}

// add makes a change of one row: fields between tabs, ended by a line feed.
func (s *copySession) add(ctx context.Context, t *copyTable, line []byte, rows *snapshot.Rows) error {
	b, err := rows.Batch(ctx)
	if err != nil {
		return err
	}
	if len(b.Changes) == 0 {
		s.source = s.q.sourceRow(b)
	}
	r := t.relation
	slots := r.newSlots(b)
	rest, more := bytes.TrimSuffix(line, []byte{'\n'}), true
	for i := range r.columns {
		c := &r.columns[i]
		if !c.wanted() {
			continue
		}
		if !more {
			return fmt.Errorf("row has fewer than %d fields", i+1)
		}
		field := rest
		if before, after, ok := bytes.Cut(rest, []byte{'\t'}); ok {
			field, rest = before, after
		} else {
			more = false
		}
		if bytes.IndexByte(field, '\\') >= 0 {
			if len(field) == 2 && field[1] == 'N' {
				continue // slots are null
			}
			s.unescaped = appendCopyText(s.unescaped[:0], field)
			field = s.unescaped
		}
		v, err := c.codec.Decode(b, field)
		if err != nil {
			if err = s.convertFailed(t, c, err); err != nil {
				return err
			}
			v = change.NullValue()
		}
		c.put(b, slots, v)
	}
	rows.Add(change.Change{Table: r.table, Key: slots.key, After: slots.values, Source: s.source, SourceMicros: s.q.position.Micros})
	return nil
}

// appendCopyText appends a field of COPY's text form without its escapes. The server makes no others than these.
func appendCopyText(dst, field []byte) []byte {
	for {
		i := bytes.IndexByte(field, '\\')
		if i < 0 || i+1 == len(field) {
			return append(dst, field...)
		}
		dst = append(dst, field[:i]...)
		c := field[i+1]
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'v':
			c = '\v'
		}
		dst = append(dst, c)
		field = field[i+2:]
	}
}

// convertFailed follows event.converting.failure.handling.mode, as the stream does. nil means that the value becomes null.
func (s *copySession) convertFailed(t *copyTable, c *relationColumn, err error) error {
	name := t.ID.String() + "." + c.name
	switch s.q.c.o.ConvertFailure {
	case "fail":
		return permanentf("convert", strconv.Quote(name), "mend the row, exclude the column, or set event.converting.failure.handling.mode=warn",
			"Failed to properly convert data value for '%s' of type %s: %w", name, c.typeName, err)
	case "skip":
		return nil
	}
	if !s.warned[c] {
		if s.warned == nil {
			s.warned = map[*relationColumn]bool{}
		}
		s.warned[c] = true
		s.q.log.Warn("value cannot be converted and becomes null; said once per column", "column", name, "type", c.typeName, "error", err)
	}
	return nil
}

// sourceRow is the row of the source block's own fields, in the order of sourceBlock: the same for every row of the
// snapshot, so the rows of a batch share one.
func (q *copier) sourceRow(b *change.Batch) change.Row {
	r := b.NewRow(sourceFields)
	b.Set(r, sourceSequence, sequenceText(b, 0, q.position.LSN))
	if q.position.TxID != 0 {
		b.Set(r, sourceTxID, change.IntValue(q.position.TxID))
	}
	b.Set(r, sourceLSN, change.IntValue(int64(q.position.LSN)))
	return r
}
