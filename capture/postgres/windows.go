// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/capture"
	"freshet/change"
	"freshet/schema"
	"freshet/snapshot"
)

// windows is the snapshot.Windows of PostgreSQL.
//
// With a signal table, watermarks are rows of it, as Debezium writes them. Without one (read.only, or a snapshot that is
// asked for in another way), nothing is written: the high watermark is the end of the log once the rows are read.
type windows struct {
	side
	types   *Registry
	log     *slog.Logger
	recent  *recentXIDs
	chase   func(lsn) // makes the stream come to a place in the log soon
	notices bool      // asked for, of blocking snapshots
	// clock stamps rows, which have no place in the log of their own.
	clock func() time.Time
}

var _ snapshot.Windows = (*windows)(nil)

// watermarks says whether watermarks are written to the signal table.
func (w *windows) watermarks() bool {
	return !w.o.ReadOnly && w.o.SignalTable != (schema.ID{}) && w.o.SourceSignals
}

// Match lists the captured tables that an expression matches.
func (w *windows) Match(ctx context.Context, pattern string) ([]schema.ID, error) {
	re, err := compileFilter(strings.TrimSpace(pattern))
	if err != nil {
		w.log.Warn("data collection is no regular expression and is taken as a name", "collection", pattern, "error", err)
		re = regexp.MustCompile("(?i)^" + regexp.QuoteMeta(pattern) + "$")
	}
	var out []schema.ID
	err = w.do(ctx, func(conn *pgconn.PgConn) error {
		tables, err := listTables(ctx, conn, w.o.Database, "")
		for _, t := range tables {
			if w.o.captures(t.ID) && (re.MatchString(t.ID.String()) || re.MatchString(t.ID.Quoted())) {
				out = append(out, t.ID)
			}
		}
		return err
	})
	return out, err
}

// Signal reads a row that was inserted into the signal table: id, type and data, by their places.
func (w *windows) Signal(b *change.Batch, c *change.Change) (capture.Signal, bool) {
	if c.Op != change.Create || !w.o.SourceSignals || !w.o.isSignalTable(c.Table.ID) || c.After.Len() < 3 {
		return capture.Signal{}, false
	}
	text := func(i int) string {
		if v := b.At(c.After, i); v.Kind() == change.Text {
			return string(b.Bytes(v))
		}
		return ""
	}
	return capture.Signal{ID: text(0), Type: text(1), Data: text(2)}, true
}

// Blocking makes an ordinary snapshot of some tables. A condition is the whole statement to be read instead of a table.
func (w *windows) Blocking(_ context.Context, parts []*snapshot.Part, progress func(capture.Progress)) (capture.Reader, error) {
	o := *w.o
	o.SnapshotInclude, o.SnapshotSelects = nil, map[string]string{}
	for _, p := range parts {
		o.SnapshotInclude = append(o.SnapshotInclude, regexp.MustCompile("^"+regexp.QuoteMeta(p.Table.String())+"$"))
		if p.Condition != "" {
			o.SnapshotSelects[p.Table.String()] = strings.TrimRight(p.Condition, "; \t\r\n")
		}
	}
	d := w.dialer
	d.o = &o
	return snapshot.Initial(newCopier(d, w.types, snapshotState{}, w.log), nil, snapshot.Options{
		Threads: o.SnapshotThreads, Multiplier: o.SnapshotMultiplier, WholeTables: o.LegacyThreads,
		BatchRows: o.MaxBatchSize, BatchBytes: batchBytes, Progress: progress,
		Notices: w.notices, Connector: o.TopicPrefix,
	}), nil
}

// Open sets the low watermark and begins a transaction whose state has all that the stream has brought.
func (w *windows) Open(ctx context.Context) (snapshot.Window, error) {
	win := &dbWindow{w: w}
	if w.watermarks() {
		win.id, win.opened = newWatermark(), w.clock().UTC()
		err := w.mark(ctx, `INSERT INTO `+w.o.SignalTable.Quoted()+` VALUES ($1, $2, $3)`,
			win.id+"-open", "snapshot-window-open", fmt.Sprintf(`{"openWindowTimestamp": %q}`, watermarkTime(win.opened)))
		if err != nil {
			return nil, err
		}
	}
	return win, win.begin(ctx)
}

// mark writes a watermark, again where that fails, as often as signal.emit.failure.max.retries says.
func (w *windows) mark(ctx context.Context, sql string, args ...string) error {
	for attempt := 0; ; attempt++ {
		err := w.do(ctx, func(conn *pgconn.PgConn) error {
			_, err := query(ctx, conn, sql, args...)
			return err
		})
		if err == nil || attempt >= w.o.SignalRetries || ctx.Err() != nil {
			return wrapError("write a watermark to the signal table", w.o.SignalTable.String(), err)
		}
		w.log.Warn("watermark could not be written and is tried again", "attempt", attempt+1, "error", err)
		if err := pause(ctx, w.o.SignalBackoff); err != nil {
			return err
		}
	}
}

// Close closes the connection.
func (w *windows) Close(ctx context.Context) error { return w.close(ctx) }

func watermarkTime(t time.Time) string { return t.Format("2006-01-02T15:04:05.999999999Z") }

func newWatermark() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	h := hex.EncodeToString(id[:])
	return strings.Join([]string{h[:8], h[8:12], h[12:16], h[16:20], h[20:]}, "-")
}

// isSignalTable says whether a table is signal.data.collection, which may name the database too.
func (o *options) isSignalTable(id schema.ID) bool {
	return o.SignalTable.Name != "" && id.Schema == o.SignalTable.Schema && id.Name == o.SignalTable.Name
}

// parseSignalTable reads schema.table, or database.schema.table.
func parseSignalTable(text string) schema.ID {
	parts := strings.Split(strings.TrimSpace(text), ".")
	if len(parts) > 2 {
		parts = parts[len(parts)-2:]
	}
	if len(parts) == 1 && parts[0] != "" {
		parts = []string{"public", parts[0]}
	}
	if len(parts) != 2 {
		return schema.ID{}
	}
	return schema.ID{Schema: strings.Trim(parts[0], `"`), Name: strings.Trim(parts[1], `"`)}
}

// recentXIDs are the transactions whose ends the stream has brought last. A commit is in the stream a moment before other
// sessions see it: who reads rows and says that they are newer than the stream must look for these. It is safe for
// concurrent use.
type recentXIDs struct {
	mu   sync.Mutex
	ring [4096]uint32
	n    int
}

// count is how many were ever added.
func (r *recentXIDs) count() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return int64(r.n)
}

func (r *recentXIDs) add(xid uint32) {
	r.mu.Lock()
	r.ring[r.n%len(r.ring)] = xid
	r.n++
	r.mu.Unlock()
}

// all says whether a state has all of them.
func (r *recentXIDs) all(s visibleSet) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !slices.ContainsFunc(r.ring[:min(r.n, len(r.ring))], func(xid uint32) bool { return !s.has(xid) })
}
