// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"context"

	"freshet/change"
)

// Rows takes the rows of a session and makes batches of them. It is used by the goroutine of its session only.
//
// A full batch is handed on when the next row comes, not before: so the last row of a chunk is always still here to be
// marked when the chunk ends, and a chunk ends with the batch that has its last row.
type Rows struct {
	run     *run
	current *change.Batch // nil until the first row
	marks   []mark        // in current, or in the batch that comes next
	chunk   *task         // being read
	any     bool          // whether the chunk had a row; on one thread, whether its table had one
	read    int64         // rows of the chunk
	said    int64         // those that Progress was told of
}

// Batch returns the batch that the values of the next row go to. It blocks while too many batches are unread. A batch
// without changes is a new one: what rows share in a batch, such as their source block, is put into it then. It is valid
// until the next call.
func (r *Rows) Batch(ctx context.Context) (*change.Batch, error) {
	if b := r.current; b != nil && len(b.Changes) < r.run.o.BatchRows && b.Size() < r.run.o.BatchBytes {
		return b, nil
	}
	if err := r.flush(ctx); err != nil {
		return nil, err
	}
	select {
	case r.current = <-r.run.free:
		return r.current, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Add appends a row to the batch that Batch returned last. Op and Snapshot are set here.
func (r *Rows) Add(c change.Change) {
	c.Op, c.Snapshot = change.Read, change.SnapshotInner
	if !r.any {
		r.any = true
		if r.chunk.first {
			c.Snapshot = r.chunk.table.firstMark
		}
	}
	r.read++
	r.current.Changes = append(r.current.Changes, c)
}

// Again tells that the chunk is read from its beginning once more: the rows so far come again.
func (r *Rows) Again() { r.read = 0 }

// begin starts a chunk.
func (r *Rows) begin(t *task) {
	if r.run.o.Threads > 1 || r.chunk == nil || r.chunk.table != t.table {
		r.any = false
	}
	r.chunk, r.read, r.said = t, 0, 0
	r.mark(false)
}

// mark notes that the chunk begins or ends at this place.
func (r *Rows) mark(end bool) {
	m := mark{task: r.chunk, end: end}
	if r.current != nil {
		m.at = len(r.current.Changes)
	}
	r.marks = append(r.marks, m)
}

// end marks the last row of the chunk that was begun. The first row of the snapshot stays first even where it is the only
// one of its table.
func (r *Rows) end() {
	if r.any && r.chunk.last {
		c := &r.current.Changes[len(r.current.Changes)-1]
		if c.Snapshot != change.SnapshotFirst {
			c.Snapshot = change.SnapshotLastInCollection
		}
	}
	r.mark(true)
	r.report(true)
}

// report tells Progress what it does not know of the chunk. Rows that come again are not counted again.
func (r *Rows) report(chunkDone bool) {
	news := max(r.read-r.said, 0)
	if news == 0 && !chunkDone {
		return
	}
	r.said += news
	r.chunk.table.report(r.run, news, chunkDone)
}

// finish hands on what is left when no chunk comes any more.
func (r *Rows) finish(ctx context.Context) error {
	if err := r.flush(ctx); err != nil {
		return err
	}
	r.run.mu.Lock()
	defer r.run.mu.Unlock()
	r.run.spare = append(r.run.spare, r.marks...)
	return nil
}

// flush hands the current batch on. An empty one is kept: its memory is used again.
func (r *Rows) flush(ctx context.Context) error {
	if r.current == nil {
		return nil
	}
	if len(r.current.Changes) == 0 {
		r.current.Reset()
		r.run.free <- r.current // never blocks: free has room for every batch
		r.current = nil
		return nil
	}
	select {
	case r.run.full <- filled{r.current, r.marks}:
		r.current, r.marks = nil, nil
	case <-ctx.Done():
		return ctx.Err()
	}
	r.report(false)
	return nil
}
