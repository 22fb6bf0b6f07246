// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"freshet/capture"
	"freshet/change"
	"freshet/internal/failpoint"
	"freshet/schema"
)

// window is rows that were read and wait for the stream to pass their high watermark.
type window struct {
	Window
	job    *Job
	part   *Part // nil where nothing was left to be read
	piece  Piece
	rows   change.Batch
	keys   map[string][]int // indexes of rows by key, or by the whole row where there is none
	gone   []bool           // by row: a newer change of its key has come
	again  bool             // it has to be read again
	passed bool
	buf    []byte
}

// openWindow reads the next rows of a job. A table that has none left is followed by the next one in the same window.
func (r *onDemand) openWindow(ctx context.Context, j *Job) error {
	if !j.Begun {
		j.Begun = true
		r.notify(j, "STARTED", dataCollections(j.tables()))
		r.o.Log.Info("incremental snapshot begins", "id", j.ID, "tables", j.tables())
	}
	r.track(j, StateRunning, "")
	at, err := r.q.Open(ctx)
	if err != nil {
		return fmt.Errorf("open a window of snapshot %q: %w", j.ID, err)
	}
	w := &window{Window: at, job: j, keys: map[string][]int{}}
	failpoint.Hit("snapshot.window.opened")
	for len(j.Parts) > 0 {
		p := j.Parts[0]
		if p.began.IsZero() {
			p.began, p.base = time.Now(), p.Rows
		}
		w.rows.Reset()
		piece, err := at.Read(ctx, p, r.limit, &w.rows)
		var part *PartError
		switch {
		case errors.As(err, &part):
			r.o.Log.Error("table cannot be read and is left out of the snapshot", "id", j.ID, "table", p.Table.String(), "error", err)
			r.finishPart(j, p, "SQL_EXCEPTION", fmt.Sprintf("table %q: %v", p.Table, err))
			continue
		case err != nil:
			return fmt.Errorf("read table %q for snapshot %q: %w", p.Table, j.ID, err)
		case piece.Keyless:
			r.o.Log.Warn("table has no key to be paged by and is left out of the snapshot; name a surrogate-key", "id", j.ID, "table", p.Table.String())
			r.finishPart(j, p, "NO_PRIMARY_KEY", fmt.Sprintf("table %q has no key to be paged by", p.Table))
			continue
		case piece.Rows == 0:
			status := "SUCCEEDED"
			if p.After == "" && p.Rows == 0 && !j.Initial {
				status = "EMPTY"
			}
			r.finishPart(j, p, status, "")
			continue
		}
		w.part, w.piece = p, piece
		w.index()
		r.inProgress(j, p, piece)
		r.track(j, StateRunning, "")
		break
	}
	failpoint.Hit("snapshot.window.read")
	if err := at.Close(ctx); err != nil {
		return fmt.Errorf("close a window of snapshot %q: %w", j.ID, err)
	}
	failpoint.Hit("snapshot.window.closed")
	w.passed = w.Passed(&change.Batch{End: r.end}) // the stream may be there already
	r.win = w
	return nil
}

// inProgress tells of a piece that was read: of every one, or of the first of a table where the snapshot is an initial one.
func (r *onDemand) inProgress(j *Job, p *Part, piece Piece) {
	if p.After == "" {
		p.first = piece.FirstText
	}
	c := &capture.SnapshotChunk{Number: 1, Table: p.Table.String(), From: piece.FirstText, To: piece.LastText, TableFrom: p.first, TableTo: piece.MaxText}
	if j.chunk != nil {
		c.Number = j.chunk.Number + 1
	}
	j.chunk = c
	current := schema.Param{Name: "current_collection_in_progress", Value: p.Table.String()}
	switch {
	case !j.Initial:
		r.notify(j, "IN_PROGRESS", current, schema.Param{Name: "maximum_key", Value: piece.MaxText},
			schema.Param{Name: "last_processed_key", Value: piece.LastText}, dataCollections(j.tables()))
	case p.Rows == 0:
		r.notify(j, "IN_PROGRESS", current, dataCollections(j.tables()))
	}
}

// finishPart takes a part off its job.
func (r *onDemand) finishPart(j *Job, p *Part, status, problem string) {
	r.notify(j, "TABLE_SCAN_COMPLETED", schema.Param{Name: "scanned_collection", Value: p.Table.String()},
		schema.Param{Name: "total_rows_scanned", Value: strconv.FormatInt(p.Rows, 10)}, schema.Param{Name: "status", Value: status},
		dataCollections(j.tables()))
	j.scanned = append(j.scanned, p.progress(true))
	j.Parts = j.Parts[1:]
	if problem != "" {
		j.problem = problem
	}
}

// handOut hands out the rows of the window that the stream has passed. It returns false where the window has to be read
// again, or was one without rows that ended nothing.
func (r *onDemand) handOut(b *change.Batch) bool {
	w := r.win
	r.win = nil
	if w.again {
		r.limit = max(1, r.limit/4) // a smaller window is passed sooner
		return false
	}
	r.limit = min(r.o.Rows, 2*r.limit)
	kept := w.rows.Changes[:0]
	for i := range w.rows.Changes {
		if !w.gone[i] {
			c := w.rows.Changes[i]
			c.Op, c.Snapshot = change.Read, change.SnapshotIncremental
			kept = append(kept, c)
		}
	}
	w.rows.Changes = kept
	seq := b.Seq
	*b, w.rows = w.rows, *b
	b.Seq = seq
	r.at = len(b.Changes)
	if p := w.part; p != nil {
		p.After, p.Max = w.piece.Last, w.piece.Max
		p.Rows += int64(w.piece.Rows)
		w.job.count(w.piece.Rows)
		if p.Whole && len(w.job.Parts) > 0 && w.job.Parts[0] == p {
			w.job.scanned = append(w.job.scanned, p.progress(true))
			w.job.Parts = w.job.Parts[1:]
		}
	}
	if len(w.job.Parts) == 0 {
		r.finish(w.job)
	} else {
		r.track(w.job, StateRunning, "")
	}
	r.attach(b)
	b.End = r.mark()
	failpoint.Hit("snapshot.window.passed")
	return true
}

// finish ends a job all of whose parts are read.
func (r *onDemand) finish(j *Job) {
	r.remove(j)
	r.notify(j, "COMPLETED")
	if j.stopped != "" {
		r.say(change.Notice{Type: "ABORTED", Aggregate: aggregateIncremental}, dataCollections(j.stopped))
		r.track(j, StateCancelled, "")
		return
	}
	state := StateCompleted
	if j.problem != "" && j.rows == 0 {
		state = StateFailed
	}
	r.track(j, state, j.problem)
	r.o.Log.Info("incremental snapshot is complete", "id", j.ID, "rows", j.rows)
}

// index notes the keys of the rows.
func (w *window) index() {
	w.gone = make([]bool, len(w.rows.Changes))
	for i := range w.rows.Changes {
		c := &w.rows.Changes[i]
		key := c.Key
		if !key.Present() {
			key = c.After
		}
		w.buf = appendKey(w.buf[:0], &w.rows, key)
		w.keys[string(w.buf)] = append(w.keys[string(w.buf)], i)
	}
}

// changed takes the rows that a change of the stream replaces out of the window.
func (w *window) changed(b *change.Batch, c *change.Change) {
	if w.part == nil || c.Table.ID != w.part.Table || c.Snapshot != change.NoSnapshot || w.Sees(b, c) {
		return
	}
	if len(w.rows.Changes) > 0 && !sameColumns(c.Table, w.rows.Changes[0].Table) {
		w.again = true // it was altered meanwhile: rows are emitted as their table is when they are
		return
	}
	if c.Op == change.Truncate {
		for i := range w.gone {
			w.gone[i] = true
		}
		return
	}
	if !c.Key.Present() {
		w.drop(b, c.Before, 1)
		return
	}
	all := math.MaxInt
	hit := w.drop(b, c.Key, all)
	if c.OldKey.Present() {
		hit = w.drop(b, c.OldKey, all) || hit
	}
	if hit && c.Op == change.Update && incomplete(b, c.After) {
		w.again = true
	}
}

// drop takes at most n rows of a key out.
func (w *window) drop(b *change.Batch, key change.Row, n int) (hit bool) {
	if !key.Present() {
		return false
	}
	w.buf = appendKey(w.buf[:0], b, key)
	for _, i := range w.keys[string(w.buf)] {
		if n > 0 && !w.gone[i] {
			w.gone[i], hit = true, true
			n--
		}
	}
	return hit
}

// incomplete says whether a row lacks values that the database did not send.
func incomplete(b *change.Batch, row change.Row) bool {
	if !row.Present() {
		return false
	}
	for _, v := range b.Values(row) {
		if v.Kind() == change.Unavailable {
			return true
		}
	}
	return false
}

func sameColumns(x, y *schema.Table) bool {
	if x == y {
		return true
	}
	// A generated column is in rows that are read, and not in those of the stream.
	names := map[string]schema.Kind{}
	for i := range y.Columns {
		names[y.Columns[i].Name] = y.Columns[i].Type.Kind
	}
	for i := range x.Columns {
		if kind, ok := names[x.Columns[i].Name]; !ok || kind != x.Columns[i].Type.Kind {
			return false
		}
	}
	return true
}

// appendKey appends the values of a row in a form that is the same for equal rows of all batches.
func appendKey(dst []byte, b *change.Batch, row change.Row) []byte {
	for i := range row.Len() {
		v := b.At(row, i)
		dst = append(dst, byte(v.Kind()))
		switch v.Kind() {
		case change.Bool:
			dst = strconv.AppendBool(dst, v.Bool())
		case change.Int:
			dst = binary.LittleEndian.AppendUint64(dst, uint64(v.Int()))
		case change.Float:
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(v.Float()))
		case change.Text, change.Bytes:
			p := b.Bytes(v)
			dst = binary.AppendUvarint(dst, uint64(len(p)))
			dst = append(dst, p...)
		case change.Struct, change.Array, change.Map:
			inner := b.RowOf(v)
			dst = binary.AppendUvarint(dst, uint64(inner.Len()))
			dst = appendKey(dst, b, inner)
		}
	}
	return dst
}
