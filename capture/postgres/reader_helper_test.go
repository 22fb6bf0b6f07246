// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/change"
	"freshet/config"
	"freshet/internal/testdb"
	"freshet/schema"
)

// deadline is how long a test waits for what must come.
const deadline = 20 * time.Second

// fixture is a database, a configuration of the connector, and its log.
type fixture struct {
	*testdb.Server
	t   testing.TB
	raw map[string]string
	log *logBuffer
	// spool is where the stream goes during a snapshot; nil for none.
	spool *capture.Spool
	// signals, if not nil, reach the Reader as those of REST do.
	signals chan capture.Signal
	// notices asks for them.
	notices bool
	// jobs, if not nil, is told of snapshots on demand.
	jobs func([]capture.SnapshotJob)
}

// logBuffer keeps what was logged.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// newFixture uses a database of the shared server. Properties are pairs of name and value.
func newFixture(t testing.TB, properties ...string) *fixture {
	t.Helper()
	return fixtureOn(t, testdb.Postgres(t), properties...)
}

func fixtureOn(t testing.TB, db *testdb.Server, properties ...string) *fixture {
	t.Helper()
	f := &fixture{Server: db, t: t, log: &logBuffer{}, raw: map[string]string{
		"name": "src", "topic.prefix": "p", "plugin.name": "pgoutput",
		"database.hostname": db.Host, "database.port": strconv.Itoa(db.Port), "database.dbname": db.Database,
		"database.user": db.User, "database.password": db.Password, "slot.name": db.Database, "publication.name": "pub_" + db.Database,
		"slot.max.retries": "20", "slot.retry.delay.ms": "500", "status.update.interval.ms": "1000",
	}}
	for i := 0; i < len(properties); i += 2 {
		f.raw[properties[i]] = properties[i+1]
	}
	return f
}

// with is the fixture with other properties.
func (f *fixture) with(properties ...string) *fixture {
	g := *f
	g.raw = maps.Clone(f.raw)
	for i := 0; i < len(properties); i += 2 {
		g.raw[properties[i]] = properties[i+1]
	}
	return &g
}

func (f *fixture) values() config.Values {
	f.t.Helper()
	def := New().Describe().Def
	v, problems := def.Parse(f.raw)
	require.Empty(f.t, config.Errors(problems))
	return v
}

// newFixtureless parses properties without looking for problems.
func newFixtureless(raw map[string]string) config.Values {
	def := New().Describe().Def
	v, _ := def.Parse(raw)
	return v
}

func (f *fixture) tryOpen(from change.Position) (capture.Reader, error) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), deadline)
	defer cancel()
	return New().Open(ctx, capture.Env{
		Connector: "src", From: from, Spool: f.spool, Signals: f.signals, Notices: f.notices, Jobs: f.jobs, Log: slog.New(slog.NewTextHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}, f.values())
}

// open opens a Reader, closed at the end of the test if not before.
func (f *fixture) open(from change.Position) *session {
	f.t.Helper()
	r, err := f.tryOpen(from)
	require.NoError(f.t, err)
	s := &session{t: f.t, r: r}
	f.t.Cleanup(s.close)
	return s
}

// session reads with one Reader.
type session struct {
	t      testing.TB
	r      capture.Reader
	end    change.Position // of the last batch
	closed bool
	// notices are all that have come.
	notices []change.Notice
}

func (s *session) close() {
	if s.closed {
		return
	}
	s.closed = true
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	require.NoError(s.t, s.r.Close(ctx))
}

// event is a change as text.
type event struct {
	op, table, key, oldKey, before, after string
	snapshot                              string
	source                                string
	micros                                int64
	schema                                *schema.Table
}

// String is short: op table key before -> after.
func (e event) String() string {
	s := e.op + " " + e.table + " " + e.key
	if e.oldKey != "" {
		s += " was " + e.oldKey
	}
	if e.before != "" {
		s += " " + e.before
	}
	if e.after != "" {
		s += " -> " + e.after
	}
	return s
}

// next reads one batch.
func (s *session) next() ([]event, change.Position) {
	s.t.Helper()
	events, end, err := s.tryNext(deadline)
	require.NoError(s.t, err)
	return events, end
}

func (s *session) tryNext(d time.Duration) ([]event, change.Position, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), d)
	defer cancel()
	var b change.Batch
	if err := s.r.Next(ctx, &b); err != nil {
		return nil, "", err
	}
	if len(b.Changes) > 0 || len(b.Notices) == 0 {
		require.NotEmpty(s.t, b.End, "every batch has an end")
	}
	if b.End != "" {
		s.end = b.End
	}
	s.notices = append(s.notices, b.Notices...)
	events := make([]event, len(b.Changes))
	for i := range b.Changes {
		events[i] = eventOf(&b, &b.Changes[i])
	}
	return events, b.End, nil
}

// read reads until there are n events and returns them as text.
func (s *session) read(n int) []string {
	s.t.Helper()
	var out []string
	for _, e := range s.events(n) {
		out = append(out, e.String())
	}
	return out
}

func (s *session) events(n int) []event {
	s.t.Helper()
	var out []event
	for len(out) < n {
		events, _ := s.next()
		out = append(out, events...)
	}
	require.Len(s.t, out, n, "%v", out)
	return out
}

// untilCommit reads on until the last position is that of a commit, and wants no more events.
func (s *session) untilCommit() change.Position {
	s.t.Helper()
	for {
		p, err := parsePosition(s.end)
		require.NoError(s.t, err)
		if !p.inTransaction() {
			return s.end
		}
		events, _ := s.next()
		require.Empty(s.t, events)
	}
}

// connect waits until the stream is open, which the first Next does.
func (s *session) connect(f *fixture) {
	s.t.Helper()
	waitFor(s.t, "a walsender", func() bool {
		s.nothing(50 * time.Millisecond)
		return f.Text(s.t, `select count(*) from pg_replication_slots where active and slot_name = '`+f.raw["slot.name"]+`'`) == "1"
	})
}

// nothing wants no event for a while.
func (s *session) nothing(d time.Duration) {
	s.t.Helper()
	until := time.Now().Add(d)
	for left := d; left > 0; left = time.Until(until) {
		events, _, err := s.tryNext(left)
		if err != nil {
			require.ErrorIs(s.t, err, context.DeadlineExceeded)
			return
		}
		require.Empty(s.t, events)
	}
}

func (s *session) commit(p change.Position) {
	s.t.Helper()
	require.NoError(s.t, s.r.Commit(s.t.Context(), p))
}

func eventOf(b *change.Batch, c *change.Change) event {
	return event{
		op: string(rune(c.Op)), table: c.Table.ID.Name, schema: c.Table, snapshot: c.Snapshot.String(), micros: c.SourceMicros,
		key: rowText(b, c.Key, c.Table.Key), oldKey: rowText(b, c.OldKey, c.Table.Key),
		before: rowText(b, c.Before, c.Table.Columns), after: rowText(b, c.After, c.Table.Columns),
		source: valuesText(b, c.Source),
	}
}

func rowText(b *change.Batch, r change.Row, columns []schema.Column) string {
	if !r.Present() {
		return ""
	}
	var out []string
	for i, c := range columns {
		out = append(out, c.Name+"="+valueText(b, b.At(r, i)))
	}
	return "{" + strings.Join(out, " ") + "}"
}

func valuesText(b *change.Batch, r change.Row) string {
	var out []string
	for _, v := range b.Values(r) {
		out = append(out, valueText(b, v))
	}
	return strings.Join(out, " ")
}

func valueText(b *change.Batch, v change.Value) string {
	switch v.Kind() {
	case change.Null:
		return "null"
	case change.Unavailable:
		return "unavailable"
	case change.Bool:
		return strconv.FormatBool(v.Bool())
	case change.Int:
		return strconv.FormatInt(v.Int(), 10)
	case change.Float:
		return fmt.Sprint(v.Float())
	case change.Text:
		return string(b.Bytes(v))
	case change.Bytes:
		return fmt.Sprintf("%x", b.Bytes(v))
	}
	var out []string
	for _, e := range b.Elems(v) {
		out = append(out, valueText(b, e))
	}
	return "[" + strings.Join(out, ",") + "]"
}

// waitFor polls a condition and says what it waited for.
func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(deadline)
	for !cond() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// confirmed is the slot's confirmed_flush_lsn.
func (f *fixture) confirmed() lsn {
	f.t.Helper()
	at, err := parseLSN([]byte(f.Text(f.t, `select confirmed_flush_lsn from pg_replication_slots where slot_name = '`+f.raw["slot.name"]+`'`)))
	require.NoError(f.t, err)
	return at
}

// sqlConn runs statements on one connection.
type sqlConn struct {
	t testing.TB
	c *pgx.Conn
}

func (c sqlConn) run(sql string) {
	c.t.Helper()
	_, err := c.c.PgConn().Exec(c.t.Context(), sql).ReadAll()
	require.NoError(c.t, err, "run %s", sql)
}

// walsender is the process that serves the slot, once there is one.
func (f *fixture) walsender(t *testing.T) string {
	t.Helper()
	const query = `select active_pid from pg_replication_slots where slot_name = '%s' and active_pid is not null`
	var pid string
	waitFor(t, "a walsender", func() bool {
		rows := f.Rows(t, fmt.Sprintf(query, f.Database))
		if len(rows) == 1 {
			pid = rows[0][0]
		}
		return len(rows) == 1
	})
	return pid
}
