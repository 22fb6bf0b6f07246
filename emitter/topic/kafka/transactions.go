// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/emitter/topic"
	"freshet/internal/failpoint"
)

// Transactions make units and their marks durable in transactions of Kafka's: whoever reads what is committed sees each
// record once. Options.Marks must be a MarkRecorder then, whose topic is in the same cluster.
type Transactions struct {
	// ID is the transactional id. Whoever claims it fences the one who had it: see Log.LoadMark.
	ID string
	// Interval is how long a transaction takes in units, after its first one; 0 gives each unit a transaction of its own.
	// It ends early where the memory for units is used up.
	Interval time.Duration
	// Timeout is how long the brokers let a transaction take. Default 60 s. Interval is at most half of it.
	Timeout time.Duration
	// Ready, if not nil, is called before the id is claimed, Check behind it: it says whether the id still is this
	// process's. Where Check is nil, a log that was fenced is finished for good.
	Ready, Check func(ctx context.Context) error
}

// openUnits is how many units a transaction may hold that takes in more than one: a source has no more batches in flight,
// and waits for one of them.
const openUnits = 4

// transactor writes the units of a Log in transactions.
type transactor struct {
	o    Transactions
	wake chan struct{} // holds one; there is something to do
	// starved counts who waits for the budget.
	starved atomic.Int32

	mu     sync.Mutex  // guards client; held over a claim
	client *kgo.Client // with the id claimed; nil before, and after a failure
}

func newTransactor(o Transactions) *transactor {
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	o.Interval = min(o.Interval, o.Timeout/2)
	return &transactor{o: o, wake: make(chan struct{}, 1)}
}

func (t *transactor) stir() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// claim claims the transactional id unless this log has it: what another one has in flight with it is aborted, and it can
// commit nothing any more.
func (l *Log) claim(ctx context.Context) (*kgo.Client, error) {
	t := l.txn
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.client != nil {
		return t.client, nil
	}
	if t.o.Ready != nil {
		if err := t.o.Ready(ctx); err != nil {
			return nil, err
		}
	}
	client, err := kgo.NewClient(l.producing(kgo.TransactionalID(t.o.ID), kgo.TransactionTimeout(t.o.Timeout))...)
	if err != nil {
		return nil, fmt.Errorf("set up the producer of Kafka: %w", err)
	}
	if _, _, err := client.ProducerID(ctx); err != nil {
		client.Close()
		return nil, Explain("claim the transactional id", t.o.ID, err)
	}
	if t.o.Check != nil {
		if err := t.o.Check(ctx); err != nil {
			client.Close()
			return nil, err
		}
	}
	failpoint.Hit("kafka: claimed")
	t.client = client
	return client, nil
}

// drop closes the client, whatever it has under way. The next claim aborts that.
func (t *transactor) drop() {
	t.mu.Lock()
	client := t.client
	t.client = nil
	t.mu.Unlock()
	if client != nil {
		client.Close()
	}
}

// transact settles units in order, until there is none: like settle, in transactions.
func (l *Log) transact() {
	var open transaction
	for {
		u := l.next(&open)
		if u == nil && len(open.units) == 0 {
			return // next has said that nobody settles any more
		}
		switch {
		case u == nil || u.barrier:
			l.commit(&open)
			if u != nil {
				l.finish(u)
			}
		case u.err != nil || l.stale(u):
			// Refused before anything of it was sent. What came before it has nothing to do with that.
			l.commit(&open)
			l.fail([]*unit{u}, u.err)
		default:
			if err := l.add(&open, u); err != nil {
				l.abandon(&open, err)
			} else if l.txn.o.Interval == 0 {
				l.commit(&open)
			}
		}
	}
}

// transaction is one that is under way.
type transaction struct {
	units  []*unit
	marks  []topic.Mark
	due    time.Time
	ctx    context.Context //nolint:containedctx // ends with that of the first unit whose ends
	cancel context.CancelFunc
	stops  []func() bool
}

// next waits for the next unit. It returns nil when the transaction is to be committed, or when there is neither unit nor
// transaction: then settling has ended.
func (l *Log) next(open *transaction) *unit {
	for {
		l.mu.Lock()
		if len(l.queue) > 0 {
			u := l.queue[0]
			l.queue = append(l.queue[:0], l.queue[1:]...)
			l.mu.Unlock()
			<-u.acked // whoever appends lets go of it
			return u
		}
		idle := len(open.units) == 0
		if idle {
			l.settling = false
			close(l.idle)
			l.idle = nil
		}
		closing := l.closing
		l.mu.Unlock()
		left := time.Until(open.due)
		if idle || closing || left <= 0 || len(open.units) >= openUnits || l.txn.starved.Load() > 0 || open.ctx.Err() != nil {
			return nil
		}
		timer := time.NewTimer(left)
		select {
		case <-l.txn.wake:
		case <-timer.C:
		case <-open.ctx.Done():
		}
		timer.Stop()
	}
}

// stale says whether the source of a unit has to begin again first, and makes that the unit's error.
func (l *Log) stale(u *unit) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	cause := l.failed[u.mark.Key]
	if cause != nil {
		u.err = fmt.Errorf("%w: %w", errStale, cause)
	}
	return cause != nil
}

// add sends a unit, in the transaction that is open, or in a new one.
func (l *Log) add(open *transaction, u *unit) error {
	ctx := u.ctx
	first := len(open.units) == 0
	if first {
		// Of values the units' contexts have none that matters; what counts is that the first to end ends it all.
		open.ctx, open.cancel = context.WithCancel(context.WithoutCancel(ctx))
		open.due = time.Now().Add(l.txn.o.Interval)
		open.marks = open.marks[:0]
	}
	open.units = append(open.units, u)
	open.stops = append(open.stops, context.AfterFunc(ctx, open.cancel))
	client, err := l.claim(open.ctx)
	if err == nil && first {
		err = client.BeginTransaction()
	}
	if err != nil {
		return err
	}
	failpoint.Hit("kafka: begun")
	if u.mark.Key != "" {
		open.marks = appendMark(open.marks, u.mark)
	}
	if err := l.sent(open.ctx, client, u); err != nil {
		return err
	}
	failpoint.Hit("kafka: sent")
	return nil
}

// sent sends a unit and waits until it is acknowledged, or ctx ends: then the client still has some, and must be closed.
func (l *Log) sent(ctx context.Context, client *kgo.Client, u *unit) error {
	u.left.Store(1)
	err := l.parcels.send(ctx, client, u)
	u.letGo()
	if err != nil {
		return err
	}
	select {
	case <-u.acked:
	case <-ctx.Done():
		return ctx.Err()
	}
	if u.failure != nil {
		return l.sendError(u.culprit, u.failure)
	}
	return nil
}

// unsent is why a record was not acknowledged.
type unsent struct {
	record *kgo.Record
	cause  error
}

// send waits until records are acknowledged, or ctx ends: then the client still has them, and must be closed.
func send(ctx context.Context, client *kgo.Client, records []*kgo.Record) *unsent {
	if len(records) == 0 {
		return nil
	}
	var left atomic.Int64
	left.Store(int64(len(records)))
	done := make(chan *unsent, 1)
	var first atomic.Pointer[unsent]
	for _, r := range records {
		client.Produce(ctx, r, func(r *kgo.Record, err error) {
			if err != nil {
				first.CompareAndSwap(nil, &unsent{r, err})
			}
			if left.Add(-1) == 0 {
				done <- first.Load()
			}
		})
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return &unsent{records[0], ctx.Err()}
	}
}

// commit ends the transaction that is open, with the marks of its units in it (I1). Without one it does nothing.
func (l *Log) commit(open *transaction) {
	if len(open.units) == 0 {
		return
	}
	if err := l.committed(open); err != nil {
		l.abandon(open, err)
		return
	}
	failpoint.Hit("kafka: committed")
	if len(open.marks) > 0 {
		l.recorder.MarksCommitted(open.ctx, slices.Clone(open.marks))
	}
	for _, u := range open.take() {
		l.finish(u)
	}
}

func (l *Log) committed(open *transaction) error {
	client, err := l.claim(open.ctx)
	if err != nil {
		return err
	}
	records := make([]*kgo.Record, len(open.marks))
	for i, m := range open.marks {
		r, err := l.recorder.MarkRecord(m)
		if err != nil {
			return err
		}
		records[i] = &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key.Bytes(), Value: r.Value.Bytes()}
	}
	if err := send(open.ctx, client, records); err != nil {
		return fmt.Errorf("store the positions: %w", l.sendError(err.record, err.cause))
	}
	failpoint.Hit("kafka: marked")
	if err := client.EndTransaction(open.ctx, kgo.TryCommit); err != nil {
		return Explain("commit the transaction of", l.txn.o.ID, err)
	}
	return nil
}

// take gives the transaction's units away, and makes room for another one.
func (t *transaction) take() []*unit {
	for _, stop := range t.stops {
		stop()
	}
	t.cancel()
	units := t.units
	t.units, t.stops = nil, t.stops[:0]
	return units
}

// abandon fails the units of a transaction. What became of it is not known: it may be committed all the same. The source
// finds out when it begins again, for the next claim waits for its end.
func (l *Log) abandon(open *transaction, err error) {
	l.txn.drop()
	l.fail(open.take(), l.fencing(err))
}

// fencing makes an error one that may pass where Check decides whether the log may go on.
func (l *Log) fencing(err error) error {
	var own *Error
	if l.txn.o.Check != nil && isFenced(err) && errors.As(err, &own) && own.Final {
		again := *own
		again.Final = false
		return &again
	}
	return err
}

// fail ends units with an error, and their sources until they begin again (I3).
func (l *Log) fail(units []*unit, err error) {
	l.mu.Lock()
	for _, u := range units {
		if u.err == nil {
			u.err = err
		}
		l.failLocked(u, u.err)
	}
	l.mu.Unlock()
	for _, u := range units {
		l.finish(u)
	}
}
