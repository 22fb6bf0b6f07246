// SPDX-License-Identifier: Apache-2.0

// Package kafka is the topic.Log whose topics are in Apache Kafka, through franz-go.
//
// Its main type is Log. A unit's records go to one idempotent producer, which keeps their order in each partition. Units are
// settled in the order of Append: once all records of a unit, and of those before it, are acknowledged, its mark goes to the
// MarkStore of the caller, and only then is done called (I1, I3). A crash between the two sends the records once more: at
// least once. Cursors are members of Kafka's consumer groups, with offsets that Kafka's own tools show. Open connects to
// nothing; Connect waits for the brokers. DESIGN.md tells the rest.
package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/semaphore"

	"freshet/emitter/topic"
)

// MarkStore keeps the positions of sources. It outlives the Log and is safe for concurrent use.
type MarkStore interface {
	// PutMarks makes marks durable, all or, where it returns an error, any number of the first ones.
	PutMarks(ctx context.Context, marks []topic.Mark) error
	// LoadMark returns the durable value of a mark, "" if there is none. What was put before is seen.
	LoadMark(ctx context.Context, key string) (string, error)
	// Marks returns the marks whose key begins with prefix, by key.
	Marks(ctx context.Context, prefix string) ([]topic.Mark, error)
	// DeleteMark forgets a mark; one that does not exist is fine.
	DeleteMark(ctx context.Context, key string) error
}

// MarkRecorder is a MarkStore whose marks are records of a topic, so that a transaction can have them beside the records
// that bring them.
type MarkRecorder interface {
	MarkStore
	// MarkRecord is the record that makes a mark durable.
	MarkRecord(m topic.Mark) (topic.Record, error)
	// MarksCommitted is told of marks whose records are committed.
	MarksCommitted(ctx context.Context, marks []topic.Mark)
}

// Creation is how a topic is created that records are appended to and that does not exist.
type Creation struct {
	Partitions  int32 // -1 is the broker's default
	Replication int16 // -1 is the broker's default
	Configs     map[string]string
}

// Options tune a Log. Marks and the brokers in the clients' options are needed; the rest has defaults.
type Options struct {
	Log *slog.Logger // nil discards
	// Brokers are the addresses as configured, for messages.
	Brokers []string
	// Producer, Consumer and Admin are the options of the three kinds of clients: brokers, security, and what
	// properties set.
	Producer, Consumer, Admin []kgo.Opt
	Marks                     MarkStore
	// MaxBytes bounds the units appended and not yet settled, without the heads that their records share; Append blocks
	// above it. A larger unit passes alone. Default 32 MiB, as buffer.memory.
	MaxBytes int64
	// MaxRequestBytes bounds a record, as max.request.size. Default 1 MiB.
	MaxRequestBytes int32
	// Creation tells how a missing topic is created; false leaves it to the brokers, which may do it by themselves
	// (auto.create.topics.enable). nil leaves all to them.
	Creation func(topic string) (Creation, bool)
	// RefreshInterval is how often cursors look for new topics. Default 5 s. Those that this process makes are seen at once.
	RefreshInterval time.Duration
	// Identity is the id of the cluster, where it is known before Connect.
	Identity string
	// Transactions, if not nil, make units durable in transactions.
	Transactions *Transactions
	// FromEnd makes groups without a committed offset begin at the end, as auto.offset.reset=latest.
	FromEnd bool
}

func (o Options) withDefaults() Options {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = 32 << 20
	}
	if o.MaxRequestBytes <= 0 {
		o.MaxRequestBytes = 1 << 20
	}
	if o.RefreshInterval <= 0 {
		o.RefreshInterval = 5 * time.Second
	}
	return o
}

// Log is a topic.Log in a Kafka cluster.
type Log struct {
	o        Options
	producer *kgo.Client // with transactions it only asks about topics
	txn      *transactor // nil without
	recorder MarkRecorder
	asker    *kgo.Client // of admin
	admin    *kadm.Client
	budget   *semaphore.Weighted
	topics   topicCache
	units    sync.Pool // of *unit
	parcels  *dispatcher

	// mu guards what follows. It is never held across I/O or a call of done.
	mu       sync.Mutex
	queue    []*unit
	settling bool          // there is a goroutine that settles units
	marked   time.Time     // when marks were last written
	idle     chan struct{} // closed when it ends; nil without one
	// Why units of a source, by mark key, fail until it begins again: refused is for those to come, failed for those whose
	// turn to settle comes.
	refused, failed map[string]error
	cursors         map[*cursor]struct{}
	identity        string
	closing         bool          // no more units, no more cursors
	closed          chan struct{} // Close is done
}

var (
	_ topic.Log        = (*Log)(nil)
	_ topic.Deleter    = (*Log)(nil)
	_ topic.Identified = (*Log)(nil)
)

// Open makes a log. It connects to nothing, and fails only where options contradict each other.
func Open(o Options) (*Log, error) {
	o = o.withDefaults()
	recorder, ok := o.Marks.(MarkRecorder)
	if o.Transactions != nil && !ok {
		return nil, errors.New("open the log in Kafka: transactions need positions that are records of a topic")
	}
	l := &Log{
		recorder: recorder,
		o:        o, budget: semaphore.NewWeighted(o.MaxBytes), topics: topicCache{known: map[string]*known{}}, parcels: newDispatcher(),
		refused: map[string]error{}, failed: map[string]error{}, cursors: map[*cursor]struct{}{}, closed: make(chan struct{}), identity: o.Identity,
	}
	l.units.New = func() any { return newUnit() }
	common := []kgo.Opt{Logger(o.Log), kgo.DisableClientMetrics()}
	admin, err := kgo.NewClient(slices.Concat(common, o.Admin)...)
	if err != nil {
		return nil, fmt.Errorf("set up the admin client of Kafka: %w", err)
	}
	l.asker, l.admin = admin, kadm.NewClient(admin)
	if o.Transactions != nil {
		l.txn = newTransactor(*o.Transactions)
	}
	// A unit that its source gave up must settle also while no broker answers. The source begins again at its mark.
	l.producer, err = kgo.NewClient(l.producing(kgo.AllowIdempotentProduceCancellation())...)
	if err != nil {
		admin.Close()
		return nil, fmt.Errorf("set up the producer of Kafka: %w", err)
	}
	return l, nil
}

// producing are the options of a producer.
func (l *Log) producing(more ...kgo.Opt) []kgo.Opt {
	return slices.Concat([]kgo.Opt{
		Logger(l.o.Log), kgo.DisableClientMetrics(), kgo.RecordPartitioner(partitioner{}),
		kgo.ProducerLinger(0),
		// The budget of the log bounds what is buffered.
		kgo.MaxBufferedRecords(1 << 30),
	}, l.o.Producer, []kgo.Opt{kgo.ProducerBatchMaxBytesFn(l.batchBytes)}, more)
}

// LoadMark returns the last durable value of a mark. It is how a source begins again after an error: from now on units
// with this mark are taken again. With transactions it claims the transactional id, so that nothing another process has
// under way with it can change the answer.
func (l *Log) LoadMark(ctx context.Context, key string) (string, error) {
	// Queued units are no longer wanted by whoever asks, but their marks may become durable any moment: the answer must
	// not be older than what is on its way.
	if err := l.drained(ctx); err != nil {
		return "", err
	}
	l.mu.Lock()
	closing := l.closing
	delete(l.refused, key)
	delete(l.failed, key)
	l.mu.Unlock()
	if closing {
		return "", topic.ErrClosed
	}
	if l.txn != nil {
		// A commit is to be seen a while after it is done: once the id can be claimed again, for sure.
		l.txn.drop()
		if _, err := l.claim(ctx); err != nil {
			return "", err
		}
	}
	return l.o.Marks.LoadMark(ctx, key)
}

// drained waits until all units that are queued now have been settled.
func (l *Log) drained(ctx context.Context) error {
	done := make(chan error, 1)
	u := newUnit()
	u.barrier = true
	u.done = func(err error) { done <- err }
	l.push(u)
	u.letGo()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Identity is the id of the cluster; "" before Connect.
func (l *Log) Identity() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.identity
}

// List describes all topics but Kafka's own, by name.
func (l *Log) List(ctx context.Context) ([]topic.Info, error) {
	if err := l.check(ctx); err != nil {
		return nil, err
	}
	counts, err := l.partitions(ctx, nil)
	if err != nil || len(counts) == 0 {
		return []topic.Info{}, err
	}
	names := slices.Sorted(maps.Keys(counts))
	starts, err := l.admin.ListStartOffsets(ctx, names...)
	if err != nil {
		return nil, Explain("list the offsets of topics", "", err)
	}
	ends, err := l.admin.ListEndOffsets(ctx, names...)
	if err != nil {
		return nil, Explain("list the offsets of topics", "", err)
	}
	out := make([]topic.Info, 0, len(names))
	for _, name := range names {
		info := topic.Info{Name: name, Partitions: make([]topic.Range, counts[name])}
		for n := range info.Partitions {
			start, _ := starts.Lookup(name, int32(n))
			end, _ := ends.Lookup(name, int32(n))
			info.Partitions[n] = topic.Range{Start: max(start.Offset, 0), End: max(end.Offset, 0)}
		}
		out = append(out, info)
	}
	return out, nil
}

// check says why nothing can be asked.
func (l *Log) check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return topic.ErrClosed
	}
	return nil
}

// Close waits until all that was appended is settled, or until ctx ends; what is then still under way fails. Cursors end
// with topic.ErrClosed. Closing again only waits.
func (l *Log) Close(ctx context.Context) error {
	l.mu.Lock()
	first := !l.closing
	l.closing = true
	cursors := make([]*cursor, 0, len(l.cursors))
	for c := range l.cursors {
		cursors = append(cursors, c)
	}
	l.mu.Unlock()
	if !first {
		<-l.closed
		return nil
	}
	defer close(l.closed)
	if l.txn != nil {
		l.txn.stir()
	}
	for _, c := range cursors {
		c.end(ctx)
	}
	err := l.settled(ctx)
	if l.txn != nil {
		l.txn.drop()
	}
	l.producer.Close() // fails what is left
	if err != nil {
		_ = l.settled(context.WithoutCancel(ctx)) // nothing holds it up any more
		err = fmt.Errorf("close the log in Kafka: %w", err)
	}
	l.admin.Close()
	return err
}

// settled waits until no unit is left.
func (l *Log) settled(ctx context.Context) error {
	for {
		l.mu.Lock()
		idle := l.idle
		l.mu.Unlock()
		if idle == nil {
			return nil
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
