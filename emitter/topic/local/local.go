// SPDX-License-Identifier: Apache-2.0

// Package local is the embedded topic.Log: topics in the data folder of the worker, without a broker.
//
// Its main type is Log. Units are encoded by the goroutine that appends them and made durable by one writer goroutine,
// which puts all that is queued into one synced batch (records, marks and group offsets together: I1) and calls done in
// order (I3). Cursors read chunks of records from the store; what they return is in their own buffers. The store.DB
// belongs to the caller and outlives the Log. DESIGN.md tells the rest.
package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"freshet/emitter/topic"
	"freshet/internal/store"
)

// Options tune a Log. The zero value is a working default, but for Log.
type Options struct {
	Log *slog.Logger // nil discards
	// DefaultPartitions is the number of partitions of topics that are created without one. Default 1.
	DefaultPartitions int32
	// MaxBytes bounds the units queued and not yet durable; Append blocks above it. A larger unit passes alone. Default
	// 16 MiB.
	MaxBytes int64
	// PollBytes bounds what a Poll returns, but for a first chunk that is larger. Default 4 MiB.
	PollBytes int64
	// RetentionTime and RetentionBytes are those of topics created without any; < 0 is without end. Default 7 days, and
	// unlimited.
	RetentionTime  time.Duration
	RetentionBytes int64
	// RetentionInterval is how often records are looked at for their retention, beginning with Open. Default 5 minutes;
	// < 0 is never.
	RetentionInterval time.Duration
	// Now is the clock; nil is the machine's.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.DefaultPartitions <= 0 {
		o.DefaultPartitions = 1
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 16 << 20
	}
	if o.PollBytes <= 0 {
		o.PollBytes = 4 << 20
	}
	if o.RetentionTime == 0 {
		o.RetentionTime = 7 * 24 * time.Hour
	}
	if o.RetentionBytes == 0 {
		o.RetentionBytes = -1
	}
	if o.RetentionInterval == 0 {
		o.RetentionInterval = 5 * time.Minute
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Log is a topic.Log in a data folder.
type Log struct {
	db     *store.DB
	o      Options
	heads  *heads
	budget *semaphore.Weighted
	turn   atomic.Uint32 // partition of the null keys of the next unit
	wake   chan struct{} // tells the writer that there is something; holds one

	// version counts changes of the set of topics. It is written with mu held.
	version atomic.Uint64

	// mu guards what follows. It is never held across I/O or a call of done.
	mu      sync.Mutex
	topics  map[string]*topicState
	nextID  uint32        // of partitions
	fresh   []*topicState // topics not yet in a batch
	groups  map[string]*group
	cursors map[*cursor]struct{}
	queue   []*item
	spare   []*item           // memory of the queue while the writer has the other
	sources map[string]source // by mark key
	epoch   uint64            // counts openings of the store; units belong to one
	failed  error             // I3: set by the first failed commit, until reopened
	lastErr error             // the last value of failed
	closing bool              // Close was called
	abandon bool              // Close no longer waits for what is queued
	running bool              // there is a writer goroutine

	identity string // constant

	exited chan struct{}      // the writer of Open has ended
	stop   context.CancelFunc // ends the retention goroutine
	tidied sync.WaitGroup     // waits for it
}

var (
	_ topic.Log     = (*Log)(nil)
	_ topic.Deleter = (*Log)(nil)
)

// Open opens the log in a data folder. It starts the writer, and the goroutine that keeps to retention; Close waits for
// both.
func Open(db *store.DB, o Options) (*Log, error) {
	o = o.withDefaults()
	l := &Log{
		db: db, o: o, heads: newHeads(db), budget: semaphore.NewWeighted(o.MaxBytes),
		wake: make(chan struct{}, 1), exited: make(chan struct{}),
		topics: make(map[string]*topicState), groups: make(map[string]*group), cursors: make(map[*cursor]struct{}),
		sources: make(map[string]source), epoch: 1, running: true,
	}
	s, err := l.read()
	if err != nil {
		return nil, fmt.Errorf("open the local log: %w", err)
	}
	l.install(s)
	if l.identity, err = identityOf(db); err != nil {
		return nil, fmt.Errorf("open the local log: %w", err)
	}
	go func() {
		defer close(l.exited)
		l.write()
	}()
	ctx, stop := context.WithCancel(context.Background())
	l.stop = stop
	if o.RetentionInterval > 0 {
		l.tidied.Go(func() { l.tidy(ctx) })
	}
	return l, nil
}

// LoadMark returns the last durable value of a mark. It is how a source begins again after an error: where the log has
// failed, it is reopened, and from now on units with this mark are taken again.
func (l *Log) LoadMark(ctx context.Context, key string) (string, error) {
	if err := l.ensure(ctx); err != nil {
		return "", err
	}
	// Queued units are no longer wanted by whoever asks, but their marks may become durable any moment: the answer must
	// not be older than what is on its way.
	if err := l.do(ctx, &item{}); err != nil {
		return "", err
	}
	l.mu.Lock()
	l.sources[key] = source{epoch: l.epoch}
	l.mu.Unlock()
	value, err := l.db.Mark(key)
	if err != nil {
		return "", fmt.Errorf("load the mark of %s: %w", key, err)
	}
	return value, nil
}

// List describes all topics, by name.
func (l *Log) List(ctx context.Context) ([]topic.Info, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return nil, topic.ErrClosed
	}
	out := make([]topic.Info, 0, len(l.topics))
	for _, t := range l.topics {
		info := topic.Info{Name: t.name, Partitions: make([]topic.Range, len(t.parts))}
		for i, p := range t.parts {
			info.Partitions[i] = p.bounds()
		}
		out = append(out, info)
	}
	slices.SortFunc(out, func(a, b topic.Info) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Close waits until all that was queued is durable, or until ctx ends; what is then still queued fails. Cursors end with
// topic.ErrClosed. The store stays open. Closing again only waits.
func (l *Log) Close(ctx context.Context) error {
	l.stop()
	l.mu.Lock()
	l.closing = true
	l.mu.Unlock()
	l.signal()
	l.wakeCursors()
	var err error
	select {
	case <-l.exited:
	case <-ctx.Done():
		err = fmt.Errorf("close the local log: %w", ctx.Err())
		l.mu.Lock()
		l.abandon = true
		l.mu.Unlock()
		<-l.exited // one commit at most
	}
	l.tidied.Wait()
	return err
}

// Reopen makes a failed log work again: it opens the store anew and reads what is durable. Units of sources that had
// appended before still fail until the source has called LoadMark, which is where it learns what became of its units.
// LoadMark, Create and Subscribe call it where it is needed.
func (l *Log) Reopen(ctx context.Context) error { return l.ensure(ctx) }

// ensure reopens the log if it has failed.
func (l *Log) ensure(ctx context.Context) error {
	l.mu.Lock()
	failed := l.failed != nil
	l.mu.Unlock()
	if !failed && l.db.Err() == nil {
		return nil
	}
	// Done by the writer, in its turn: units appended before fail before.
	return l.do(ctx, &item{reopen: true})
}

// do queues an item and waits until it is done or ctx ends.
func (l *Log) do(ctx context.Context, it *item) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	done := make(chan error, 1)
	it.done = func(err error) { done <- err }
	l.push(it)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// wakeCursors lets all cursors look again.
func (l *Log) wakeCursors() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wakeCursorsLocked()
}

func (l *Log) wakeCursorsLocked() {
	for c := range l.cursors {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// errStale is why units fail whose source has not asked for its mark since an earlier one failed.
var errStale = errors.New("an earlier unit of the source failed; it must begin again at its mark")
