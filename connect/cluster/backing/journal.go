// SPDX-License-Identifier: Apache-2.0

package backing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/emitter/topic"
	"freshet/emitter/topic/kafka"
)

const (
	retryPause = 500 * time.Millisecond
	// createPatience is how long too few brokers for the replication factor are taken for a cluster that is starting.
	createPatience = 60 * time.Second
	repeatEvery    = 30 * time.Second // of a warning that says the same
)

// journal is a compacted topic that one goroutine reads from its start on, and that anybody may write to.
type journal struct {
	o     Options
	topic Topic
	// property and purpose are what messages call the topic; name ends the names of its clients.
	property, purpose, name string
	single                  bool // must have one partition
	committed               bool // reads what is committed only
	// patient makes readToEnd wait for the end of transactions that are open: several may write, and behind one that is open there
	// may be records of others that were committed before.
	patient bool
	// apply is called by one goroutine, in the order of each partition.
	apply func(*kgo.Record)

	producer, asker, consumer *kgo.Client
	admin                     *kadm.Client
	stop                      context.CancelFunc
	gone                      chan struct{} // closed when the reader has ended; nil before Start

	mu     sync.Mutex      // guards what follows
	at     map[int32]int64 // where each partition is read next
	moved  chan struct{}   // closed when at or failed changes
	failed error           // why nothing can be read; nil once something was
	told   string          // the last warning, and when it was told
	when   time.Time
}

// client makes a client of the journal.
func (j *journal) client(name string, more ...kgo.Opt) (*kgo.Client, error) {
	c, err := kgo.NewClient(slices.Concat([]kgo.Opt{kafka.Logger(j.o.log())}, j.o.Client,
		[]kgo.Opt{kgo.ClientID(j.o.ClientID + "-" + name), kgo.DisableClientMetrics()}, more)...)
	if err != nil {
		return nil, fmt.Errorf("set up a client for %s: %w", j.property, err)
	}
	return c, nil
}

// start makes sure that the topic is there and as it should be, and reads it to its end. It waits for brokers that do not
// answer until ctx ends.
func (j *journal) start(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			j.close(context.WithoutCancel(ctx))
		}
	}()
	isolation := kgo.ReadUncommitted()
	if j.committed {
		isolation = kgo.ReadCommitted()
	}
	j.mu.Lock()
	j.at, j.moved = map[int32]int64{}, make(chan struct{})
	j.mu.Unlock()
	if j.asker, err = j.client(j.name); err != nil {
		return err
	}
	j.admin = kadm.NewClient(j.asker)
	if j.producer, err = j.client(j.name, append(producing(j.topic.Name), kgo.AllowIdempotentProduceCancellation())...); err != nil {
		return err
	}
	if err := j.prepare(ctx); err != nil {
		return err
	}
	// Control records are kept to know where reading has come to: the end of a topic may be one.
	j.consumer, err = j.client(j.name, kgo.ConsumeTopics(j.topic.Name), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(isolation), kgo.KeepControlRecords())
	if err != nil {
		return err
	}
	reading, stop := context.WithCancel(context.WithoutCancel(ctx))
	j.stop, j.gone = stop, make(chan struct{})
	go func() {
		defer close(j.gone)
		j.read(reading)
	}()
	return j.readTo(ctx, false) // whoever left a transaction open may be about to go on
}

// producing are the options of producers to a topic: as Java's, by the hash of the key, acknowledged by all replicas.
func producing(name string) []kgo.Opt {
	return []kgo.Opt{
		kgo.DefaultProduceTopic(name), kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()),
	}
}

// prepare creates the topic, or looks at the one that is there.
func (j *journal) prepare(ctx context.Context) error {
	began := time.Now()
	return j.retry(ctx, func() error {
		created, err := j.create(ctx)
		if errors.Is(err, kerr.InvalidReplicationFactor) && time.Since(began) < createPatience {
			return &retriable{err} // brokers may be on their way up
		}
		if err != nil || created {
			return err
		}
		return j.verify(ctx)
	})
}

// retriable marks an error that trying again may mend, though it is not of the kind.
type retriable struct{ error }

func (e *retriable) Unwrap() error { return e.error }

// retry tries until f is through, fails for good, or ctx ends.
func (j *journal) retry(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil || ctx.Err() != nil {
			return cmp.Or(err, ctx.Err())
		}
		var unfit *TopicError
		var again *retriable
		var own *kafka.Error
		if errors.As(err, &unfit) {
			return err
		}
		err = kafka.Explain("use topic", j.topic.Name, err)
		if !errors.As(err, &again) && errors.As(err, &own) && own.Final {
			return err
		}
		j.warn(err)
		if !pause(ctx) {
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

// pause waits a little, and returns false when ctx ends first.
func pause(ctx context.Context) bool {
	t := time.NewTimer(retryPause)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// warn tells what is waited for, once for a while.
func (j *journal) warn(err error) {
	j.mu.Lock()
	text := err.Error()
	again := text == j.told && time.Since(j.when) < repeatEvery
	if !again {
		j.told, j.when = text, time.Now()
	}
	j.mu.Unlock()
	if !again {
		j.o.log().Warn("internal topic cannot be used yet; trying again", "topic", j.topic.Name, "cause", text)
	}
}

// create creates the topic; created is false where it exists, or may exist and is not ours to create.
func (j *journal) create(ctx context.Context) (created bool, err error) {
	if j.o.Existing {
		return false, nil
	}
	settings := map[string]*string{}
	for name, value := range j.topic.Settings {
		settings[name] = new(value)
	}
	settings["cleanup.policy"] = new("compact")
	_, err = j.admin.CreateTopic(ctx, j.topic.Partitions, j.topic.Replication, settings, j.topic.Name)
	switch {
	case errors.Is(err, kerr.TopicAlreadyExists):
		return false, nil
	case errors.Is(err, kerr.TopicAuthorizationFailed), errors.Is(err, kerr.ClusterAuthorizationFailed):
		j.o.log().Debug("not allowed to create an internal topic; it should be there", "topic", j.topic.Name)
		return false, nil
	case errors.Is(err, kerr.InvalidReplicationFactor), errors.Is(err, kerr.InvalidPartitions), errors.Is(err, kerr.InvalidConfig), errors.Is(err, kerr.PolicyViolation):
		return false, &kafka.Error{
			Op: "create topic", Subject: j.topic.Name, Err: err, Final: true,
			Hint: fmt.Sprintf("look at the worker's %s*, or create the topic beforehand, with cleanup.policy=compact", j.property[:len(j.property)-len("topic")]),
		}
	case err != nil:
		return false, err
	}
	j.o.log().Info("internal topic is created", "topic", j.topic.Name, "property", j.property)
	return true, nil
}

// verify refuses a topic that would lose records, in Kafka Connect's words.
func (j *journal) verify(ctx context.Context) error {
	topics, err := j.admin.ListTopics(ctx, j.topic.Name)
	if err != nil {
		return err
	}
	t, ok := topics[j.topic.Name]
	switch {
	case j.o.Existing && (!ok || errors.Is(t.Err, kerr.UnknownTopicOrPartition)):
		return &TopicError{fmt.Sprintf("topic %q does not exist; is %s the name of the topic that the workers have?", j.topic.Name, j.property)}
	case !ok:
		return &retriable{fmt.Errorf("topic %q does not exist", j.topic.Name)}
	case errors.Is(t.Err, kerr.UnknownTopicOrPartition):
		return &retriable{fmt.Errorf("topic %q does not exist; create it, with cleanup.policy=compact, or grant the worker's principal CREATE on it", j.topic.Name)}
	case t.Err != nil:
		return t.Err
	case j.single && len(t.Partitions) != 1:
		return &TopicError{fmt.Sprintf("Topic '%s' supplied via the '%s' property is required to have a single partition in order to guarantee consistency of %s, but found %d partitions.",
			j.topic.Name, j.property, j.purpose, len(t.Partitions))}
	}
	configs, err := j.admin.DescribeTopicConfigs(ctx, j.topic.Name)
	if err == nil && len(configs) == 1 {
		err = configs[0].Err
	}
	if errors.Is(err, kerr.TopicAuthorizationFailed) || errors.Is(err, kerr.ClusterAuthorizationFailed) {
		j.o.log().Info("not allowed to see whether an internal topic is compacted", "topic", j.topic.Name)
		return nil
	}
	if err != nil {
		return err
	}
	for _, c := range configs[0].Configs {
		if c.Key == "cleanup.policy" && c.Value != nil && *c.Value != "compact" {
			return &TopicError{fmt.Sprintf("Topic '%[1]s' supplied via the '%[2]s' property is required to have 'cleanup.policy=compact' to guarantee consistency and durability of %[3]s, "+
				"but found the topic currently has 'cleanup.policy=%[4]s'. Continuing would likely result in eventually losing %[3]s and problems restarting this Connect cluster in the future. "+
				"Change the '%[2]s' property in the Connect worker configurations to use a topic with 'cleanup.policy=compact'.", j.topic.Name, j.property, j.purpose, *c.Value)}
		}
	}
	return nil
}

// read reads until ctx ends.
func (j *journal) read(ctx context.Context) {
	for {
		fetches := j.consumer.PollFetches(ctx)
		if ctx.Err() != nil || fetches.IsClientClosed() {
			return
		}
		var failed error
		gone := false
		fetches.EachError(func(_ string, _ int32, err error) {
			var loss *kgo.ErrDataLoss
			if errors.As(err, &loss) {
				j.o.log().Warn("an internal topic was made anew, or cut", "topic", j.topic.Name, "partition", loss.Partition, "offset", loss.ConsumedTo, "to", loss.ResetTo)
				return
			}
			gone = gone || isGone(err)
			if failed = kafka.Explain("read topic", j.topic.Name, err); failed != nil {
				j.warn(failed)
			}
		})
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				j.apply(r)
			}
		})
		j.mu.Lock()
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if n := len(p.Records); n > 0 {
				j.at[p.Partition] = p.Records[n-1].Offset + 1
			}
		})
		if gone {
			clear(j.at) // another topic of the name begins at 0
		}
		j.failed = failed
		close(j.moved)
		j.moved = make(chan struct{})
		j.mu.Unlock()
		if gone {
			j.consumer.PurgeTopicsFromConsuming(j.topic.Name)
			j.consumer.AddConsumeTopics(j.topic.Name)
		}
	}
}

// readToEnd waits until everything that is in the topic now has been applied; where patient, or was aborted.
func (j *journal) readToEnd(ctx context.Context) error { return j.readTo(ctx, j.patient) }

// readTo waits until what is committed has been applied, or, where whole, everything.
func (j *journal) readTo(ctx context.Context, whole bool) error {
	var starts, ends kadm.ListedOffsets
	err := j.retry(ctx, func() (err error) {
		if starts, err = j.admin.ListStartOffsets(ctx, j.topic.Name); err == nil {
			err = starts.Error()
		}
		if err != nil {
			return err
		}
		if j.committed && !whole {
			ends, err = j.admin.ListCommittedOffsets(ctx, j.topic.Name)
		} else {
			ends, err = j.admin.ListEndOffsets(ctx, j.topic.Name)
		}
		return cmp.Or(err, ends.Error())
	})
	if err != nil {
		return err
	}
	return j.await(ctx, func() bool {
		there := true
		ends.Each(func(end kadm.ListedOffset) {
			start, _ := starts.Lookup(end.Topic, end.Partition)
			there = there && max(j.at[end.Partition], start.Offset) >= end.Offset
		})
		return there
	})
}

// readBack waits until a record that was written has been applied. A transaction that is committed is to be seen a while
// later: until then it is not behind the end of the topic.
func (j *journal) readBack(ctx context.Context, r *kgo.Record) error {
	return j.await(ctx, func() bool { return j.at[r.Partition] > r.Offset })
}

// await waits until reading has come to where there, which is asked with mu held, says so.
func (j *journal) await(ctx context.Context, there func() bool) error {
	for {
		j.mu.Lock()
		moved, failed, done := j.moved, j.failed, there()
		j.mu.Unlock()
		if done {
			return nil
		}
		var own *kafka.Error
		if errors.As(failed, &own) && own.Final {
			return failed
		}
		select {
		case <-moved:
		case <-j.gone:
			return topic.ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("read topic %q to its end: %w", j.topic.Name, cmp.Or(failed, ctx.Err()))
		}
	}
}

// write appends records, by the hash of their keys, and waits until all are acknowledged.
func (j *journal) write(ctx context.Context, records ...*kgo.Record) error {
	if err := j.producer.ProduceSync(ctx, records...).FirstErr(); err != nil {
		if isGone(err) {
			j.producer.PurgeTopicsFromProducing(j.topic.Name) // the client knows it by an id that another one has not
			return &kafka.Error{
				Op: "append to topic", Subject: j.topic.Name, Err: err,
				Hint: "it was deleted: create it again, with cleanup.policy=compact, or start a worker again, which does; what was in it is lost",
			}
		}
		return kafka.Explain("append to topic", j.topic.Name, err)
	}
	return nil
}

// isGone says whether an error means that the topic was deleted, also where another one has its name now.
func isGone(err error) bool {
	return errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID)
}

// close ends reading and writing. Closing again, or before the start, is fine.
func (j *journal) close(ctx context.Context) {
	if j.producer != nil {
		_ = j.producer.Flush(ctx) // what is left fails with the client
		j.producer.Close()
	}
	if j.gone != nil {
		j.stop()
		<-j.gone
	}
	for _, c := range []*kgo.Client{j.consumer, j.asker} {
		if c != nil {
			c.Close()
		}
	}
}
