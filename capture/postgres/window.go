// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/change"
	"freshet/schema"
	"freshet/snapshot"
)

// dbWindow is the snapshot.Window of PostgreSQL: a transaction that reads one state.
type dbWindow struct {
	w      *windows
	conn   *pgconn.PgConn // that has the transaction; a new one would read another state
	id     string         // of the watermarks, "" where none are written
	opened time.Time
	state  visibleSet
	high   lsn // the high watermark where none is written
}

// begin takes a state that has every transaction the stream has brought.
func (d *dbWindow) begin(ctx context.Context) error {
	subject := d.w.subject()
	until := time.Now().Add(visibleTimeout)
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		var text string
		err := d.w.do(ctx, func(conn *pgconn.PgConn) error {
			err := exec(ctx, conn, `BEGIN TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = '10s'`)
			if err != nil {
				return err
			}
			rows, err := query(ctx, conn, `SELECT pg_current_snapshot()`)
			if err == nil {
				text, d.conn = string(rows[0][0]), conn
			}
			return err
		})
		if err != nil {
			return wrapError("begin a window on", subject, err)
		}
		if d.state, err = parseVisibleSet(text); err != nil {
			return err
		}
		if d.w.recent.all(d.state) {
			return nil
		}
		if err := d.rollback(ctx); err != nil {
			return err
		}
		if time.Now().After(until) { // commits that wait for a synchronous standby, which may be down
			return wrapError("begin a window on", subject, fmt.Errorf("transactions that the stream has brought are not yet to be seen after %s", visibleTimeout))
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

func (d *dbWindow) rollback(ctx context.Context) error {
	return wrapError("end a window on", d.w.subject(), exec(ctx, d.conn, "ROLLBACK"))
}

// Sees says whether the state has the transaction of a change.
func (d *dbWindow) Sees(b *change.Batch, c *change.Change) bool {
	v := b.At(c.Source, sourceTxID)
	return v.Kind() == change.Int && d.state.has(uint32(v.Int()))
}

// Close ends the transaction and sets the high watermark.
func (d *dbWindow) Close(ctx context.Context) error {
	if err := d.rollback(ctx); err != nil {
		return err
	}
	w := d.w
	if d.id == "" {
		err := w.do(ctx, func(conn *pgconn.PgConn) (err error) {
			d.high, err = currentLSN(ctx, conn)
			return err
		})
		if err == nil {
			w.chase(d.high)
		}
		return err
	}
	if w.o.InsertDelete {
		return w.mark(ctx, `DELETE FROM `+w.o.SignalTable.Quoted()+` WHERE `+schema.QuoteName(w.o.SignalColumn)+` = $1`, d.id+"-open")
	}
	return w.mark(ctx, `INSERT INTO `+w.o.SignalTable.Quoted()+` VALUES ($1, $2, $3)`, d.id+"-close", "snapshot-window-close",
		fmt.Sprintf(`{"openWindowTimestamp": %q, "closeWindowTimestamp": %q}`, watermarkTime(d.opened), watermarkTime(w.clock().UTC())))
}

// Passed looks for the high watermark in the stream.
func (d *dbWindow) Passed(b *change.Batch) bool {
	if d.id == "" {
		p, err := parsePosition(b.End)
		return err == nil && !p.inTransaction() && p.start() >= d.high
	}
	for i := range b.Changes {
		c := &b.Changes[i]
		if c.Table == nil || !d.w.o.isSignalTable(c.Table.ID) {
			continue
		}
		row, want := c.After, d.id+"-close"
		if d.w.o.InsertDelete {
			row, want = c.Before, d.id+"-open"
			if c.Op != change.Delete {
				continue
			}
		}
		if row.Present() && row.Len() > 0 && b.At(row, 0).Kind() == change.Text && string(b.Bytes(b.At(row, 0))) == want {
			return true
		}
	}
	return false
}

// Read reads the next rows of a part. What is wrong with its statement, or its rows, concerns this part alone.
func (d *dbWindow) Read(ctx context.Context, p *snapshot.Part, limit int, b *change.Batch) (snapshot.Piece, error) {
	piece, err := d.read(ctx, d.conn, p, limit, b)
	state := sqlState(err)
	if !strings.HasPrefix(state, "42") && !strings.HasPrefix(state, "22") {
		return piece, wrapError("read table", strconv.Quote(p.Table.String()), err)
	}
	// The transaction is of no more use, the others of the job go on in a new one.
	if again := d.rollback(ctx); again != nil {
		return piece, again
	}
	if again := d.begin(ctx); again != nil {
		return piece, again
	}
	return piece, &snapshot.PartError{Err: err}
}

// windowTable is a table as the window's state has it.
type windowTable struct {
	*relation
	id   schema.ID
	keys []pageColumn
}

// pageColumn is a column that a table is paged by.
type pageColumn struct {
	name     string
	nullable bool
}

func (d *dbWindow) table(ctx context.Context, conn *pgconn.PgConn, p *snapshot.Part) (*windowTable, error) {
	rows, err := query(ctx, conn, `SELECT to_regclass($1)::oid`, p.Table.Quoted())
	if err != nil {
		return nil, err
	}
	if rows[0][0] == nil {
		return nil, &snapshot.PartError{Err: fmt.Errorf("table %q does not exist", p.Table)}
	}
	oid, err := parseOID(rows[0][0])
	if err != nil {
		return nil, err
	}
	live, err := describeTable(ctx, conn, d.w.o.Database, oid)
	if err != nil || live == nil {
		return nil, err
	}
	// The stream does not have generated columns, so rows that stand beside its changes do not either.
	columns := slices.DeleteFunc(slices.Clone(live.Columns), func(c ColumnInfo) bool { return c.Generated })
	for i, c := range columns {
		columns[i].Serial, columns[i].Streamed = false, true
		if !d.w.types.Known(c.TypeOID) {
			if err := d.w.types.Refresh(ctx, conn); err != nil {
				return nil, err
			}
		}
	}
	t := &windowTable{relation: newRelation(live.ID, columns, live.Key, d.w.types, d.w.o), id: live.ID}
	names := d.w.o.keyNames(live.ID, columns, live.Key)
	if p.Surrogate != "" {
		names = []string{p.Surrogate}
	}
	for _, name := range names {
		i := slices.IndexFunc(columns, func(c ColumnInfo) bool { return c.Name == name })
		if i < 0 {
			return nil, &snapshot.PartError{Err: fmt.Errorf("table %q has no column %q", p.Table, name)}
		}
		t.keys = append(t.keys, pageColumn{name, !columns[i].NotNull})
	}
	return t, nil
}

func (d *dbWindow) read(ctx context.Context, conn *pgconn.PgConn, p *snapshot.Part, limit int, b *change.Batch) (snapshot.Piece, error) {
	t, err := d.table(ctx, conn, p)
	if err != nil || t == nil {
		return snapshot.Piece{}, err
	}
	if p.Whole {
		rows, err := query(ctx, conn, t.selectSQL(nil)+orNothing(" WHERE ", p.Condition))
		if err != nil {
			return snapshot.Piece{}, err
		}
		return snapshot.Piece{Rows: len(rows)}, d.decode(t, rows, b)
	}
	if len(t.keys) == 0 {
		return snapshot.Piece{Keyless: true}, nil
	}
	piece := snapshot.Piece{Max: p.Max}
	if p.Max == "" {
		if piece.Max, err = d.maximum(ctx, conn, t, p); err != nil || piece.Max == "" {
			return snapshot.Piece{}, err
		}
	}
	rows, err := query(ctx, conn, t.pageSQL(p, piece.Max, limit))
	if err != nil || len(rows) == 0 {
		return snapshot.Piece{}, err
	}
	piece.Rows, piece.Last = len(rows), t.key(rows[len(rows)-1])
	piece.FirstText, piece.LastText, piece.MaxText = keyText(t.key(rows[0])), keyText(piece.Last), keyText(piece.Max)
	return piece, d.decode(t, rows, b)
}

// key is the key of a row of a page, which has it behind its columns.
func (t *windowTable) key(row [][]byte) string {
	key := make([]*string, len(t.keys))
	for i := range key {
		key[i] = textOf(row[len(row)-len(t.keys)+i])
	}
	return writeKey(key)
}

// maximum reads the highest key of a table, "" where it has no rows.
func (d *dbWindow) maximum(ctx context.Context, conn *pgconn.PgConn, t *windowTable, p *snapshot.Part) (string, error) {
	names := t.keyList("")
	sql := "SELECT " + names + " FROM " + t.id.Quoted() + orNothing(" WHERE ", p.Condition) +
		" ORDER BY " + t.keyList(" DESC NULLS FIRST") + " LIMIT 1"
	rows, err := query(ctx, conn, sql)
	if err != nil || len(rows) == 0 {
		return "", err
	}
	key := make([]*string, len(t.keys))
	for i := range key {
		key[i] = textOf(rows[0][i])
	}
	return writeKey(key), nil
}

// decode makes changes of rows, whose first fields are those of the relation that are wanted.
func (d *dbWindow) decode(t *windowTable, rows [][][]byte, b *change.Batch) error {
	source := b.NewRow(sourceFields)
	b.Set(source, sourceSequence, sequenceText(b, 0, d.high))
	now := d.w.clock().UnixMicro()
	for _, row := range rows {
		slots := t.newSlots(b)
		field := 0
		for i := range t.columns {
			c := &t.columns[i]
			if !c.wanted() {
				continue
			}
			text := row[field]
			field++
			if text == nil {
				continue
			}
			v, err := c.codec.Decode(b, text)
			if err != nil {
				if d.w.o.ConvertFailure == "fail" {
					return permanentf("convert", strconv.Quote(t.id.String()+"."+c.name), "mend the row, exclude the column, or set event.converting.failure.handling.mode=warn", "%w", err)
				}
				v = change.NullValue()
			}
			c.put(b, slots, v)
		}
		b.Changes = append(b.Changes, change.Change{
			Table: t.relation.table, Op: change.Read, Snapshot: change.SnapshotIncremental,
			Key: slots.key, After: slots.values, Source: source, SourceMicros: now,
		})
	}
	return nil
}

// selectSQL lists the wanted columns, then the key's.
func (t *windowTable) selectSQL(keys []pageColumn) string {
	var names []string
	for i := range t.columns {
		if t.columns[i].wanted() {
			names = append(names, schema.QuoteName(t.columns[i].name))
		}
	}
	for _, k := range keys {
		names = append(names, schema.QuoteName(k.name))
	}
	if len(names) == 0 {
		names = []string{"NULL"}
	}
	return "SELECT " + strings.Join(names, ", ") + " FROM " + t.id.Quoted()
}

// pageSQL selects the rows behind the last key, up to the highest one. The first page has no bounds.
func (t *windowTable) pageSQL(p *snapshot.Part, highest string, limit int) string {
	var where []string
	if p.After != "" {
		where = append(where, t.after(readKey(p.After)))
		if top := readKey(highest); !slices.Contains(top, nil) {
			where = append(where, t.atMost(top))
		}
	}
	if p.Condition != "" {
		where = append(where, "("+p.Condition+")")
	}
	return t.selectSQL(t.keys) + orNothing(" WHERE ", strings.Join(where, " AND ")) +
		" ORDER BY " + t.keyList("") + " FETCH FIRST " + strconv.Itoa(limit) + " ROWS WITH TIES" // a surrogate need not be unique
}

// keyList lists the key's columns.
func (t *windowTable) keyList(suffix string) string {
	names := make([]string, len(t.keys))
	for i, k := range t.keys {
		names[i] = schema.QuoteName(k.name) + suffix
	}
	return strings.Join(names, ", ")
}

// after is the condition of rows behind a key, in an order where nulls come last.
func (t *windowTable) after(key []*string) string {
	if !slices.ContainsFunc(t.keys, func(k pageColumn) bool { return k.nullable }) {
		return "ROW(" + t.keyList("") + ") > ROW(" + literals(key) + ")"
	}
	var alternatives []string
	equal := ""
	for i, k := range t.keys {
		name := schema.QuoteName(k.name)
		v := key[i]
		if v == nil {
			equal += name + " IS NULL AND "
			continue // nothing comes behind a null
		}
		alternatives = append(alternatives, "("+equal+"("+name+" > "+quoteLiteral(*v)+" OR "+name+" IS NULL))")
		equal += name + " = " + quoteLiteral(*v) + " AND "
	}
	if len(alternatives) == 0 {
		return "false"
	}
	return "(" + strings.Join(alternatives, " OR ") + ")"
}

// atMost is the condition of rows up to a key without nulls.
func (t *windowTable) atMost(key []*string) string {
	if !slices.ContainsFunc(t.keys, func(k pageColumn) bool { return k.nullable }) {
		return "ROW(" + t.keyList("") + ") <= ROW(" + literals(key) + ")"
	}
	return "NOT " + t.after(key)
}

func literals(key []*string) string {
	out := make([]string, len(key))
	for i, v := range key {
		out[i] = "NULL"
		if v != nil {
			out[i] = quoteLiteral(*v)
		}
	}
	return strings.Join(out, ", ")
}

func orNothing(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

func textOf(p []byte) *string {
	if p == nil {
		return nil
	}
	s := string(p)
	return &s
}

// writeKey is the form of keys in Part: a JSON array of the server's texts.
func writeKey(key []*string) string {
	out, err := json.Marshal(key)
	if err != nil {
		return "" // texts always have a form
	}
	return string(out)
}

func readKey(text string) []*string {
	var key []*string
	if json.Unmarshal([]byte(text), &key) != nil {
		return nil
	}
	return key
}

// keyText is a key for people.
func keyText(text string) string {
	var out []string
	for _, v := range readKey(text) {
		if v == nil {
			out = append(out, "null")
		} else {
			out = append(out, *v)
		}
	}
	return strings.Join(out, ",")
}
