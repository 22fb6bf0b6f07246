// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"freshet/capture"
	"freshet/change"
	"freshet/internal/failpoint"
)

// closeTimeout bounds how long a session that is no longer needed may take to close.
const closeTimeout = 5 * time.Second

// run is the reading of one snapshot: sessions fill batches from free and hand them on through full. It ends with full
// closed; then err says how. One goroutine runs it, and it waits for those of its sessions.
type run struct {
	q    Querier
	told notices
	o    Options

	free chan *change.Batch // room for every batch there is
	full chan filled
	err  error // valid once full is closed

	mu    sync.Mutex // guards rows, left of all tables, calls of o.Progress, and what follows
	spare []mark     // of chunks without rows that no batch came behind
}

// filled is a batch on its way to Next, with the beginnings and ends of chunks in it. Without a batch it says that the
// snapshot has begun.
type filled struct {
	batch *change.Batch
	marks []mark
}

// mark is the place in a batch where a chunk begins or ends. A chunk is read to its end once the batch is handed out.
type mark struct {
	*task
	at  int // index of the next change
	end bool
}

// tableState is a table while it is read.
type tableState struct {
	Table
	firstMark change.Snapshot // of the first row of its first chunk
	rows      int64           // read so far
	chunks    int             // that it was divided into
	left      int             // those not yet read
	begun     bool            // a row or the end of it was handed out; it belongs to the caller of Next, as does the next
	unhanded  int             // chunks not yet handed out
}

// task is a chunk to be read.
type task struct {
	Chunk
	table       *tableState
	first, last bool // it may hold the first, the last row of its table
}

func newRun(q Querier, o Options) *run {
	n := 2*o.Threads + 2 // each session fills one and has one waiting; one is held back, one is being taken
	r := &run{q: q, o: o, told: notices{connector: o.Connector}, free: make(chan *change.Batch, n), full: make(chan filled, o.Threads)}
	for range n {
		r.free <- &change.Batch{}
	}
	return r
}

// read reads the whole snapshot. It closes sessions and Querier as soon as their last row is read, so that the database
// holds nothing for a slow consumer.
func (r *run) read(ctx context.Context) {
	defer close(r.full)
	err := pause(ctx, r.o.Delay)
	if err == nil && r.o.Notices {
		select {
		case r.full <- filled{}:
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	if err == nil {
		err = r.readTables(ctx)
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if closeErr := r.q.Close(closing); err == nil && closeErr != nil {
		err = fmt.Errorf("end the snapshot: %w", closeErr)
	}
	r.err = err
}

func (r *run) readTables(ctx context.Context) error {
	tables, err := r.q.Tables(ctx)
	if err != nil {
		return fmt.Errorf("begin the snapshot: %w", err)
	}
	r.told.tables(tables)
	tasks, err := r.divide(ctx, tables)
	if err != nil {
		return err
	}
	r.announce(tasks)
	queue := make(chan *task, len(tasks))
	for _, t := range tasks {
		queue <- t
	}
	close(queue)
	sessions, err := r.openSessions(ctx, min(r.o.Threads, len(tasks)))
	group, groupCtx := errgroup.WithContext(ctx)
	for _, s := range sessions {
		group.Go(func() error { return r.readTasks(groupCtx, s, queue, err) })
	}
	return errors.Join(err, group.Wait())
}

// divide makes the tasks, in order.
func (r *run) divide(ctx context.Context, tables []Table) ([]*task, error) {
	var tasks []*task
	for i, t := range tables {
		chunks := []Chunk{{Table: t.Table}}
		if !r.o.WholeTables {
			var err error
			if chunks, err = r.q.Chunks(ctx, t, r.o.parts(t)); err != nil {
				return nil, fmt.Errorf("divide table %q for the snapshot: %w", t.ID, err)
			}
		}
		state := &tableState{Table: t, firstMark: change.SnapshotFirstInCollection, chunks: len(chunks), left: len(chunks), unhanded: len(chunks)}
		if i == 0 && (r.o.Threads == 1 || !r.o.WholeTables) {
			state.firstMark = change.SnapshotFirst
		}
		for j, c := range chunks {
			tasks = append(tasks, &task{Chunk: c, table: state, first: j == 0 || r.o.Threads == 1, last: j == len(chunks)-1})
		}
	}
	return tasks, nil
}

// announce tells Progress of all tables before the first row.
func (r *run) announce(tasks []*task) {
	var last *tableState
	for _, t := range tasks {
		if t.table != last {
			last = t.table
			last.report(r, 0, false)
		}
	}
}

// openSessions opens all sessions before the first row is read: what holds the state for late ones need not stay.
func (r *run) openSessions(ctx context.Context, n int) ([]Session, error) {
	var sessions []Session
	for range n {
		s, err := r.q.Session(ctx)
		if err != nil {
			return sessions, fmt.Errorf("open a session of the snapshot: %w", err)
		}
		sessions = append(sessions, s)
	}
	return sessions, nil
}

// readTasks reads chunks until there is none left, and closes the session. With failed set it only closes.
func (r *run) readTasks(ctx context.Context, s Session, queue <-chan *task, failed error) (err error) {
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if closeErr := s.Close(closing); err == nil && closeErr != nil {
			err = fmt.Errorf("close a session of the snapshot: %w", closeErr)
		}
	}()
	if failed != nil {
		return nil
	}
	rows := &Rows{run: r}
	for t := range queue {
		rows.begin(t)
		failpoint.Hit("snapshot.block.begun")
		if err := s.Read(ctx, t.Chunk, rows); err != nil {
			return fmt.Errorf("snapshot of table %q: %w", t.Table.ID, err)
		}
		rows.end()
		failpoint.Hit("snapshot.block.read")
	}
	return rows.finish(ctx)
}

// seen is the number of rows that were read.
func (t *tableState) seen(r *run) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return t.rows
}

// report tells Progress of more rows of the table, and of the end of a chunk.
func (t *tableState) report(r *run, rows int64, chunkDone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t.rows += rows
	if chunkDone {
		t.left--
	}
	if r.o.Progress != nil {
		r.o.Progress(capture.Progress{
			Table: t.ID, Rows: t.rows, Estimated: t.Estimated, Blocks: t.chunks, BlocksDone: t.chunks - t.left, Done: t.left == 0,
		})
	}
}

// pause waits; it returns early with the cause when ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
