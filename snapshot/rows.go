// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"context"

	"freshet/change"
)

// Rows takes the rows of a session and makes batches of them. It is used by the goroutine of its session only.
//
// A full batch is handed on when the next row comes, not before: so the last row of a chunk is always still here to be
// marked when the chunk ends.
type Rows struct {
	run     *run
	current *change.Batch // nil until the first row
	chunk   *task         // being read
	any     bool          // whether the chunk had a row
	unsaid  int64         // rows of the chunk that Progress was not told of
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
	r.unsaid++
	r.current.Changes = append(r.current.Changes, c)
}

// begin starts a chunk.
func (r *Rows) begin(t *task) {
	r.chunk, r.any = t, false
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
	r.chunk.table.report(r.run, r.unsaid, true)
	r.unsaid = 0
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
	r.current.End = r.run.position
	select {
	case r.run.full <- r.current:
		r.current = nil
	case <-ctx.Done():
		return ctx.Err()
	}
	if r.unsaid > 0 {
		r.chunk.table.report(r.run, r.unsaid, false)
		r.unsaid = 0
	}
	return nil
}
