// SPDX-License-Identifier: Apache-2.0

package sinks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"freshet/emitter/topic"
)

// Transform changes a record between decoding and writing. It is called by one goroutine.
type Transform interface {
	// Apply changes r, whose values are in b.Data; false drops it. What it drops still counts as consumed.
	Apply(b *Batch, r *Record) (keep bool, err error)
}

// Options are what a Task is made of.
type Options struct {
	Log          topic.Log
	Subscription topic.Subscription
	Decoder      Decoder
	Transforms   []Transform
	Writer       Writer // closed by Run
	// BatchSize is the most records of a batch; 0 leaves it to the Writer, if it is a Limiter.
	BatchSize int
	// BatchBytes is about the most bytes of a batch.
	BatchBytes int
	// CommitInterval is the least time between two commits of offsets while there is more to read. What was applied waits for
	// its commit no longer than that and a batch.
	CommitInterval time.Duration
	// DrainTimeout is how long a batch that is being written may go on after the end of Run's context.
	DrainTimeout time.Duration
	// Reporter, if not nil, decides what becomes of records that fail; without one they end the task.
	Reporter Reporter
	Retry    Retry
	Logger   *slog.Logger
}

const (
	defaultBatchSize      = 2_500
	defaultBatchBytes     = 4 << 20
	defaultCommitInterval = 500 * time.Millisecond
	defaultDrainTimeout   = 10 * time.Second
	firstPoll             = 500 // records; doubled while polls come back full
	// idleCommit is how long nothing comes before what was applied is committed.
	idleCommit = 100 * time.Millisecond
)

func (o Options) withDefaults() Options {
	if l, ok := o.Writer.(Limiter); ok && o.BatchSize <= 0 {
		o.BatchSize = l.MaxRecords()
	}
	if o.BatchSize <= 0 {
		o.BatchSize = defaultBatchSize
	}
	if o.BatchBytes <= 0 {
		o.BatchBytes = defaultBatchBytes
	}
	if o.CommitInterval <= 0 {
		o.CommitInterval = defaultCommitInterval
	}
	if o.DrainTimeout <= 0 {
		o.DrainTimeout = defaultDrainTimeout
	}
	return o
}

// Task is the loop of one sink task: poll, decode, transform, write, commit. While one batch is written the next is
// polled and decoded; batches are written one after the other, in order. Offsets are committed only when everything that
// was polled is written. A Task is run once.
type Task struct {
	o      Options
	cursor topic.Cursor
	// from are the offsets that the target keeps, if it does: what is before them is in the target already.
	from map[topic.Partition]int64

	limit       int       // of the next poll
	uncommitted bool      // something was written since the last commit
	committed   time.Time // of the last commit
	idle        bool      // there was nothing to read for idleCommit
	decoded     Record    // the record at hand, here because transforms are given its address
}

// NewTask makes a task; nothing happens before Run.
func NewTask(o Options) *Task {
	o = o.withDefaults()
	return &Task{o: o, limit: min(firstPoll, o.BatchSize)}
}

// Run reads and writes until ctx ends, and then returns nil once the batches at hand are written or the drain timeout is
// over. An error of the Writer, the Decoder or a transform ends it: nothing behind the last commit is lost, it is read
// again.
func (t *Task) Run(ctx context.Context) (err error) {
	closing := context.WithoutCancel(ctx)
	defer func() { err = errors.Join(err, t.o.Writer.Close(closing)) }()
	if t.cursor, err = t.o.Log.Subscribe(ctx, t.o.Subscription); err != nil {
		return ended(ctx, err)
	}
	defer func() { err = errors.Join(err, t.cursor.Close(closing)) }()
	if err := t.position(ctx); err != nil {
		return ended(ctx, err)
	}
	write := plainly(t.o.Writer)
	if t.o.Reporter != nil {
		write = (&isolating{t.o.Writer, t.o.Reporter}).write
	}
	w := startWriting(ctx, write, t.o.DrainTimeout)
	defer w.stop()
	return t.loop(ctx, w)
}

// ended is nil where an error only says that ctx has ended.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// loop keeps at most one batch being written and one being filled. The cursor is used by this goroutine only.
func (t *Task) loop(ctx context.Context, w *writing) error {
	t.committed = time.Now()
	fill := &Batch{Next: map[topic.Partition]int64{}}
	spare := &Batch{Next: map[topic.Partition]int64{}}
	running := ctx // ends early when the batch that is being written is done
	for ctx.Err() == nil {
		due := t.uncommitted && (t.idle || time.Since(t.committed) >= t.o.CommitInterval)
		if due && !w.busy {
			if err := t.commit(ctx); err != nil {
				return err
			}
		}
		// A commit that is due waits until all that was polled is written, so nothing more is polled before it.
		if !due || !w.busy {
			if err := t.fill(ctx, running, w.busy, fill); err != nil {
				return errors.Join(err, w.wait())
			}
		}
		if err := t.written(w); err != nil {
			return err
		}
		if len(fill.Next) > 0 {
			running = w.start(ctx, fill) //nolint:fatcontext // made of ctx each time: it does not nest
			fill, spare = spare, fill
			fill.Reset()
		}
	}
	if err := t.written(w); err != nil {
		return err
	}
	return t.commit(ctx)
}

// written waits for the batch that is being written.
func (t *Task) written(w *writing) error {
	if !w.busy {
		return nil
	}
	t.uncommitted = true
	return w.wait()
}

// commit stores the offsets. Everything polled is written when it is called. The end of ctx does not keep it from that.
func (t *Task) commit(ctx context.Context) error {
	if !t.uncommitted {
		return nil
	}
	committing, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.o.DrainTimeout)
	defer cancel()
	if err := t.cursor.Commit(committing); err != nil {
		return fmt.Errorf("commit offsets: %w", err)
	}
	t.uncommitted, t.idle, t.committed = false, false, time.Now()
	return nil
}

// fill polls into b until there is a record or a commit is due; while a batch is being written, until b is full or that
// batch is done, which ends running. It returns nil when ctx ends.
func (t *Task) fill(ctx, running context.Context, writing bool, b *Batch) error {
	polling := running
	if !writing {
		polling = ctx
		if t.uncommitted {
			var cancel context.CancelFunc
			polling, cancel = context.WithTimeout(ctx, min(idleCommit, t.o.CommitInterval-time.Since(t.committed)))
			defer cancel()
		}
	}
	for polling.Err() == nil {
		limit := max(1, t.limit-len(b.Records))
		records, err := t.cursor.Poll(polling, limit)
		if err != nil {
			if polling.Err() != nil && errors.Is(err, polling.Err()) {
				t.idle = !writing && len(b.Next) == 0
				return nil
			}
			return ended(ctx, fmt.Errorf("poll: %w", err))
		}
		if err := t.decode(ctx, b, records); err != nil {
			return err
		}
		t.adapt(len(records) >= limit, b)
		if !writing || len(b.Records) >= t.limit {
			return nil
		}
	}
	return nil
}

// adapt lets batches grow while polls come back full, as far as records and bytes allow.
func (t *Task) adapt(full bool, b *Batch) {
	if full {
		t.limit = min(2*t.limit, t.o.BatchSize)
	}
	if n := len(b.Records); n > 0 {
		t.limit = max(1, min(t.limit, t.o.BatchBytes/(b.Data.Size()/n+1)))
	}
}

// decode appends records to b, without those that the target has, those that a transform drops and those that are skipped
// because they failed.
func (t *Task) decode(ctx context.Context, b *Batch, records []topic.Record) error {
	isolates := t.o.Reporter != nil && t.o.Reporter.Isolates()
	for i := range records {
		raw := &records[i]
		p := topic.Partition{Topic: raw.Topic, Partition: raw.Partition}
		if at, ok := t.from[p]; ok && raw.Offset < at {
			b.Next[p] = at
			continue
		}
		keep, err := t.record(ctx, b, raw)
		if err != nil {
			if err := t.report(ctx, raw, err); err != nil {
				return recordError(raw, err)
			}
			keep = false
		}
		b.Next[p] = raw.Offset + 1
		if keep {
			r := t.decoded
			r.Source = p
			r.Headers = b.own(r.Headers)
			if isolates {
				r.raw = b.keep(raw)
			}
			b.Records = append(b.Records, r)
		}
	}
	return nil
}

// record decodes and transforms a record into t.decoded; keep is false for one that a transform drops.
func (t *Task) record(ctx context.Context, b *Batch, raw *topic.Record) (keep bool, err error) {
	if err = t.o.Retry.do(ctx, func() (err error) {
		t.decoded, err = t.o.Decoder.Decode(b, raw)
		return err
	}); err != nil {
		return false, err
	}
	t.decoded.Source = topic.Partition{Topic: raw.Topic, Partition: raw.Partition}
	for _, transform := range t.o.Transforms {
		if err = t.o.Retry.do(ctx, func() (err error) {
			keep, err = transform.Apply(b, &t.decoded)
			return err
		}); err != nil || !keep {
			return false, err
		}
	}
	return true, nil
}

// recordError is the error of one record, unless it is one that may pass by itself.
func recordError(r *topic.Record, err error) error {
	if temporary(err) {
		return fmt.Errorf("record %s-%d@%d: %w", r.Topic, r.Partition, r.Offset, err)
	}
	return &RowError{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: KeyText(r.Key), Err: err}
}

// KeyText shows a key in messages, shortened.
func KeyText(key topic.Data) string {
	const shown = 120
	if key.IsNull() {
		return "null"
	}
	return string(key.Body[:min(len(key.Body), shown)])
}

// position makes the cursor go on where the target is, if the target keeps offsets (the exactly-once effect).
func (t *Task) position(ctx context.Context) error {
	p, ok := t.o.Writer.(Positioner)
	if !ok {
		return nil
	}
	from, err := p.Positions(ctx)
	if err != nil || len(from) == 0 {
		return err
	}
	topics, err := t.o.Log.List(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	ranges := map[topic.Partition]topic.Range{}
	for _, info := range topics {
		for n, r := range info.Partitions {
			ranges[topic.Partition{Topic: info.Name, Partition: int32(n)}] = r
		}
	}
	for part, at := range from {
		if !t.subscribed(part.Topic) {
			delete(from, part)
			continue
		}
		if end := ranges[part].End; at > end {
			return &OffsetError{Partition: part, Stored: at, End: end, Group: t.o.Subscription.Group}
		}
		t.cursor.Seek(part, at)
	}
	t.from = from
	return nil
}

func (t *Task) subscribed(name string) bool {
	return slices.Contains(t.o.Subscription.Topics, name) || t.o.Subscription.Pattern != nil && t.o.Subscription.Pattern(name)
}

// OffsetError says that the target's offsets are of another log than the one at hand.
type OffsetError struct {
	Partition   topic.Partition
	Stored, End int64
	Group       string
}

// Error names the partition and the next step.
func (e *OffsetError) Error() string {
	return fmt.Sprintf("the target has consumed topic %q partition %d up to offset %d, but the topic ends at %d: it was deleted and made anew, or is another one; "+
		"if all of it is to be applied, delete the rows of group %q from the target's offsets table", e.Partition.Topic, e.Partition.Partition, e.Stored, e.End, e.Group)
}

// Retriable is false: somebody has to decide.
func (e *OffsetError) Retriable() bool { return false }
