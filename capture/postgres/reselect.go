// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/change"
	"freshet/schema"
)

// rereadsPerBatch bounds how many rows of one batch are read again: each may be much larger than what the stream brought.
const rereadsPerBatch = 64

// reselection says which columns of a table are read again where the stream has no value of them, and by which key. It is
// immutable but for texts, which belongs to the goroutine that calls Next.
type reselection struct {
	o       *reselectOptions
	id      schema.ID
	wire    []relationColumn
	columns []int // in wire
	key     []int // in wire, empty for none
	texts   map[string]string
}

// reread is a row of a batch that is to be completed.
type reread struct {
	from    *reselection
	xid     uint32
	row     change.Row // of the batch
	columns []int      // in from.wire
	key     [][]byte   // values of from.key; an element is nil where the stream did not tell it, or it is null
}

// newReselection returns nil where nothing of the table is ever read again. key names the columns of the table's own key.
func (o *options) newReselection(r *relation, key []string) *reselection {
	if o.Reselect == nil || o.isSignalTable(r.table.ID) || !r.keyed {
		return nil
	}
	re := &reselection{o: o.Reselect, id: r.table.ID, wire: r.columns, texts: map[string]string{}}
	for i := range r.columns {
		if c := &r.columns[i]; c.value >= 0 && selects(o.Reselect.Include, o.Reselect.Exclude, re.id.String()+":"+c.name) {
			re.columns = append(re.columns, i)
		}
	}
	if re.columns == nil {
		return nil
	}
	if o.Reselect.UseEventKey {
		for i := range r.columns {
			if r.columns[i].key >= 0 {
				re.key = append(re.key, i)
			}
		}
		return re
	}
	for _, name := range key {
		for i := range r.columns {
			if r.columns[i].name == name {
				re.key = append(re.key, i)
			}
		}
	}
	return re
}

// missing are the columns of a row that are to be read again.
func (re *reselection) missing(b *change.Batch, row change.Row) (columns []int) {
	for _, i := range re.columns {
		v := b.At(row, re.wire[i].value)
		if re.o.Unavailable && v.Kind() == change.Unavailable || re.o.Nulls && v.IsNull() {
			columns = append(columns, i)
		}
	}
	return columns
}

// keyTexts reads the key of a tuple once more. What an update did not send of it stands in the tuple before, if there is one.
func (re *reselection) keyTexts(tuple, before cursor) [][]byte {
	texts := make([][]byte, len(re.key))
	for _, c := range []*cursor{&before, &tuple} {
		if len(c.p) == 0 {
			continue
		}
		for i := range int(c.uint16()) {
			kind, text := c.column()
			for k, at := range re.key {
				switch {
				case at != i || kind == columnUnchanged:
				case kind == columnNull:
					texts[k] = nil
				default:
					texts[k] = append([]byte{}, text...)
				}
			}
		}
	}
	return texts
}

// reselect notes what is to be read again of a row that was decoded of tuple.
func (d *decoder) reselect(b *change.Batch, s *streamed, row change.Row, tuple, before cursor) {
	if columns := s.reselect.missing(b, row); columns != nil {
		d.rereads = append(d.rereads, reread{s.reselect, d.tx.XID, row, columns, s.reselect.keyTexts(tuple, before)})
	}
}

// statement selects the columns of one row; a second one is asked for to see that the key is one.
func (re *reselection) statement(columns []int) string {
	var id []byte
	for _, i := range columns {
		id = append(strconv.AppendInt(id, int64(i), 10), ',')
	}
	if sql := re.texts[string(id)]; sql != "" {
		return sql
	}
	var names, conditions []string
	for _, i := range columns {
		names = append(names, schema.QuoteName(re.wire[i].name))
	}
	for n, i := range re.key {
		conditions = append(conditions, schema.QuoteName(re.wire[i].name)+" = $"+strconv.Itoa(n+1))
	}
	sql := "SELECT " + strings.Join(names, ", ") + " FROM " + re.id.Quoted() + " WHERE " + strings.Join(conditions, " AND ") + " LIMIT 2"
	re.texts[string(id)] = sql
	return sql
}

// complete reads what is missing in a batch that has left the stream. Where ctx ends before that is done, the batch is kept
// for the next Next, which goes on with it: the stream does not bring it again.
func (r *Reader) complete(ctx context.Context, b *change.Batch, todo []reread) error {
	if len(todo) == 0 {
		return nil
	}
	err := r.again.do(ctx, func(conn *pgconn.PgConn) error { return r.reread(ctx, conn, b, todo) })
	if err == nil {
		return nil
	}
	*b, r.again.held = r.again.held, *b
	r.again.todo = todo
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return wrapError("read again", "columns of changed rows", err)
}

// rereads is what Next needs to complete batches.
type rereads struct {
	side
	held change.Batch // has left the stream and is not complete yet, where todo is not empty
	todo []reread
	// failed counts rows that stay as they came; said are the tables whose first one was told.
	failed int64
	said   map[schema.ID]bool
}

// resume goes on with the batch that is held.
func (r *Reader) resume(ctx context.Context, b *change.Batch) error {
	todo := r.again.todo
	*b, r.again.held, r.again.todo = r.again.held, *b, nil
	return r.complete(ctx, b, todo)
}

// reread asks for all rows at once, each in a transaction of its own, so that one that fails fails alone. An error is one
// of the connection, or of a row where those are to end the task.
func (r *Reader) reread(ctx context.Context, conn *pgconn.PgConn, b *change.Batch, todo []reread) error {
	unseen, err := awaitAll(ctx, conn, todo)
	if err != nil {
		return err
	}
	p := conn.StartPipeline(ctx)
	for i := range todo {
		if t := &todo[i]; t.reason(unseen) == nil {
			p.SendQueryParams(t.from.statement(t.columns), t.key, nil, nil, nil)
			p.SendPipelineSync()
		}
	}
	err = p.Flush()
	for i := range todo {
		if err != nil {
			break
		}
		t := &todo[i]
		if why := t.reason(unseen); why != nil {
			err = r.unread(t, why)
			continue
		}
		var rows [][][]byte
		var refused error
		if rows, refused, err = rereadAnswer(p); err == nil && refused == nil {
			refused = t.put(b, rows)
		}
		if err == nil && refused != nil {
			err = r.unread(t, refused)
		}
	}
	return errors.Join(err, p.Close())
}

// awaitAll waits until the transactions of the rows are to be seen: before that the table has the rows of before them. It
// returns those that are not to be seen in time.
func awaitAll(ctx context.Context, conn *pgconn.PgConn, todo []reread) (unseen []uint32, err error) {
	for i := range todo {
		unseen = append(unseen, todo[i].xid)
	}
	unseen = slices.Compact(unseen)
	until := time.Now().Add(visibleTimeout)
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		if unseen, err = invisible(ctx, conn, unseen); err != nil || len(unseen) == 0 || time.Now().After(until) {
			return unseen, err
		}
		if err := pause(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// reason says why a row cannot be asked for; nil if it can.
func (t *reread) reason(unseen []uint32) error {
	switch {
	case slices.Contains(unseen, t.xid):
		return errUnseen
	case len(t.key) == 0 || slices.ContainsFunc(t.key, func(k []byte) bool { return k == nil }):
		return errNoKey
	}
	return nil
}

// rereadAnswer is the answer to one statement. refused is the server's refusal of it, err that of the connection.
func rereadAnswer(p *pgconn.Pipeline) (rows [][][]byte, refused, err error) {
	for {
		answer, err := p.GetResults()
		var pg *pgconn.PgError
		switch a := answer.(type) {
		case *pgconn.ResultReader:
			got := a.Read()
			rows, err = got.Rows, got.Err
		case *pgconn.PipelineSync:
			return rows, refused, nil
		case nil:
			if err == nil {
				return nil, nil, errors.New("the server answers fewer statements than it got")
			}
		}
		switch {
		case errors.As(err, &pg) && pg.Severity == "ERROR":
			refused = pg
		case err != nil:
			return nil, nil, err
		}
	}
}

var (
	errUnseen  = errors.New("its transaction is in the log, but not yet to be seen by others")
	errNoKey   = errors.New("there is no key, or a part of it is null or unknown")
	errNoRow   = errors.New("there is no row with the key any more")
	errTwoRows = errors.New("the key is not unique")
)

// put sets the columns of the row to what was read.
func (t *reread) put(b *change.Batch, rows [][][]byte) error {
	switch {
	case len(rows) == 0:
		return errNoRow
	case len(rows) > 1:
		return errTwoRows
	case len(rows[0]) != len(t.columns):
		return fmt.Errorf("%d columns came instead of %d", len(rows[0]), len(t.columns))
	}
	values := make([]change.Value, len(t.columns))
	for n, text := range rows[0] {
		c := &t.from.wire[t.columns[n]]
		if text == nil {
			if c.rule != nil && c.rule.null != nil {
				values[n] = b.TextOf(c.rule.null)
			}
			continue
		}
		var err error
		if values[n], err = c.codec.Decode(b, text); err != nil {
			return err
		}
	}
	for n, i := range t.columns {
		t.from.wire[i].put(b, rowSlots{values: t.row}, values[n])
	}
	return nil
}

// unread follows reselect.error.handling.mode for a row that cannot be read again. nil means that it stays as it came.
func (r *Reader) unread(t *reread, why error) error {
	if t.from.o.Fail {
		const op = "read again"
		subject := "columns of a row of " + strconv.Quote(t.from.id.String())
		if errors.Is(why, errUnseen) || errors.As(why, new(*pgconn.PgError)) {
			return wrapError(op, subject, why)
		}
		return permanentf(op, subject, "set reselect.error.handling.mode=warn, which leaves the row as it came", "key (%s): %w", t.keyText(), why)
	}
	r.again.failed++
	if !r.again.said[t.from.id] {
		r.again.said[t.from.id] = true
		r.log.Warn("a row cannot be read again, so that values of it stay as they came; said once per table",
			"table", t.from.id.String(), "key", t.keyText(), "error", why)
	}
	return nil
}

// keyText shows the key for messages.
func (t *reread) keyText() string {
	var parts []string
	for n, i := range t.from.key {
		value := "null or unknown"
		if k := t.key[n]; k != nil {
			value = string(k[:min(len(k), maxShownBytes)])
		}
		parts = append(parts, t.from.wire[i].name+"="+value)
	}
	return strings.Join(parts, ", ")
}
