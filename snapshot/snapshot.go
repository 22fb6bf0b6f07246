// SPDX-License-Identifier: Apache-2.0

// Package snapshot reads the rows that are already in a database before its changes are streamed.
//
// Initial is a capture.Reader around another one: it yields every row of the tables of a Querier, then hands over to the
// stream. The hand-over is decided by positions alone (I7): the Querier reads one fixed state of the database, the stream
// begins where that state was taken, and nothing waits for what happens downstream. A Querier is all that a database has
// to supply; order, markers, batches, threads and progress are here.
//
// A Batch is owned by the session that fills it, then by Initial, then by the caller of Next; see DESIGN.md.
package snapshot

import (
	"context"
	"time"

	"freshet/capture"
	"freshet/change"
	"freshet/schema"
)

// Querier reads one fixed state of a database. Tables is called first and once; then Chunks and Session, from one
// goroutine; Close last, after all sessions are closed, and also when Tables failed or was never called.
type Querier interface {
	// Tables fixes the state that is read, and lists the tables in the order they are read in.
	Tables(ctx context.Context) ([]Table, error)
	// Chunks divides a table into parts that together hold each row once; at least one, in order. There are n of them, or
	// more where the table is large, or fewer where it is too small for n.
	Chunks(ctx context.Context, t Table, n int) ([]Chunk, error)
	// Session opens a session on that state.
	Session(ctx context.Context) (Session, error)
	// Finished tells that every row of c has been handed out: a position from now on may say so. It is called only after
	// Tables, by the goroutine that calls Position.
	Finished(c Chunk)
	// Position is what batches end at: while the snapshot runs, and once it is completed. Resuming at the first reads what
	// is not finished again, resuming at the second begins the stream. It is called only after Tables.
	Position(completed bool) change.Position
	Close(ctx context.Context) error
}

// Session reads chunks, one after the other. Sessions of one Querier are used concurrently.
type Session interface {
	// Read adds every row of c to rows. It returns soon after ctx ends.
	Read(ctx context.Context, c Chunk, rows *Rows) error
	Close(ctx context.Context) error
}

// Table is a table to be read.
type Table struct {
	*schema.Table
	Estimated  int64 // rows; -1 when unknown
	Multiplier int   // of this table, instead of Options.Multiplier; 0 for none
}

// Chunk is a part of a table.
type Chunk struct {
	Table *schema.Table
	// Part says which rows, in words of the Querier; "" is all of them.
	Part string
}

// Options say how a snapshot is read.
type Options struct {
	// Threads is the number of sessions. Tables are divided into at least Threads*Multiplier chunks, or into none with
	// WholeTables. With one session chunks are read in order, with more there is no order between them.
	Threads     int
	Multiplier  int
	WholeTables bool
	// BatchRows and BatchBytes bound a batch; whichever comes first. One row may be larger than BatchBytes.
	BatchRows  int
	BatchBytes int
	// Delay is waited before the snapshot, StreamDelay between it and the stream.
	Delay, StreamDelay time.Duration
	// Progress, if not nil, is told how the tables go on. It is not called concurrently and must not block.
	Progress func(capture.Progress)
	// Notices asks for batches with notices of what happens to the snapshot, in the name of Connector, the topic prefix.
	Notices   bool
	Connector string
}

// ensureDefaults fills in what was left out.
func (o *Options) ensureDefaults() {
	o.Threads = max(o.Threads, 1)
	o.Multiplier = max(o.Multiplier, 1)
	if o.BatchRows <= 0 {
		o.BatchRows = 2048
	}
	if o.BatchBytes <= 0 {
		o.BatchBytes = 1 << 20
	}
}

// parts is how many chunks a table is divided into at least.
func (o *Options) parts(t Table) int {
	if t.Multiplier > 0 {
		return o.Threads * t.Multiplier
	}
	return o.Threads * o.Multiplier
}
