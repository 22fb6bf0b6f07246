// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"freshet/emitter/topic"
)

// cursor is a topic.Cursor over a consumer of its own. The consumer is made by the first Poll, so that what Seek asked for
// before is where it begins. Fields are used by the one goroutine that calls the methods, but for look and what mu guards.
type cursor struct {
	log  *Log
	sub  topic.Subscription
	look chan struct{} // holds one; there may be new topics
	// ends are where partitions ended when the cursor was opened; nil to begin at the start. Later partitions begin there.
	ends map[topic.Partition]int64

	records []topic.Record // of the last Poll
	headers []topic.Header
	polled  map[topic.Partition]kgo.EpochOffset // behind what was polled since the last Commit
	seeks   map[topic.Partition]int64           // to be done by the next Poll
	size    fetchSize
	pool    pool
	fetched []*kgo.Record // what records are made of

	// mu guards what follows.
	mu      sync.Mutex
	client  *kgo.Client                  // nil before the first Poll
	started map[topic.Partition]int64    // where to begin, by Seek before the first Poll; each is used once
	using   map[topic.Partition]struct{} // read without a group
	stop    context.CancelFunc           // ends discovery
	gone    chan struct{}                // discovery has ended
	closed  bool
	failed  error // of discovery, for the next Poll
}

var _ topic.Cursor = (*cursor)(nil)

// Subscribe opens a cursor.
func (l *Log) Subscribe(ctx context.Context, s topic.Subscription) (topic.Cursor, error) {
	if err := l.check(ctx); err != nil {
		return nil, err
	}
	if s.Group != "" {
		s.FromEnd = s.FromEnd || l.o.FromEnd
	}
	c := &cursor{
		log: l, sub: s, look: make(chan struct{}, 1), polled: map[topic.Partition]kgo.EpochOffset{},
		seeks: map[topic.Partition]int64{}, using: map[topic.Partition]struct{}{},
	}
	if s.FromEnd {
		if err := c.loadEnds(ctx); err != nil {
			return nil, err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closing {
		return nil, topic.ErrClosed
	}
	l.cursors[c] = struct{}{}
	return c, nil
}

// loadEnds notes where the topics end.
func (c *cursor) loadEnds(ctx context.Context) error {
	c.ends = map[topic.Partition]int64{}
	found, err := c.matching(ctx)
	if err != nil || len(found) == 0 {
		return err
	}
	ends, err := c.log.admin.ListEndOffsets(ctx, slices.Collect(maps.Keys(found))...)
	if err != nil {
		return Explain("list the end of topics", "", err)
	}
	for name, partitions := range ends {
		for n, o := range partitions {
			if o.Err == nil {
				c.ends[topic.Partition{Topic: name, Partition: n}] = o.Offset
			}
		}
	}
	return nil
}

// matching are the topics of the subscription that exist, with their number of partitions.
func (c *cursor) matching(ctx context.Context) (map[string]int, error) {
	names := c.sub.Topics
	if c.sub.Pattern != nil {
		names = nil // all
	} else if len(names) == 0 {
		return nil, nil
	}
	found, err := c.log.partitions(ctx, names)
	for name := range found {
		if !slices.Contains(c.sub.Topics, name) && (topic.Hidden(name) || !c.sub.Pattern(name)) {
			delete(found, name)
		}
	}
	return found, err
}

// begin makes the consumer. The caller holds nothing.
func (c *cursor) begin(ctx context.Context) (*kgo.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, topic.ErrClosed
	}
	if c.client != nil {
		err := c.failed
		c.failed = nil
		return c.client, err
	}
	reset := kgo.NewOffset().AtStart()
	if c.sub.FromEnd {
		reset = kgo.NewOffset().AtEnd()
	}
	o := []kgo.Opt{Logger(c.log.o.Log), kgo.DisableClientMetrics(), kgo.MetadataMaxAge(c.log.o.RefreshInterval), kgo.MetadataMinAge(min(c.log.o.RefreshInterval, 250*time.Millisecond))}
	o = append(o, c.log.o.Consumer...)
	o = append(o, kgo.WithHooks(&c.size), kgo.WithPools(&c.pool), kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()), kgo.ConsumeResetOffset(reset))
	if c.sub.Group != "" {
		o = append(o, kgo.ConsumerGroup(c.sub.Group), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
			kgo.ConsumeTopics(c.sub.Topics...), kgo.AdjustFetchOffsetsFn(c.adjust),
			// With a callback, taking partitions too waits for the commit.
			kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) {}),
			kgo.OnPartitionsRevoked(func(context.Context, *kgo.Client, map[string][]int32) {}),
			kgo.OnPartitionsLost(func(context.Context, *kgo.Client, map[string][]int32) {}))
	}
	client, err := kgo.NewClient(o...)
	if err != nil {
		return nil, fmt.Errorf("set up the consumer of Kafka: %w", err)
	}
	c.size.begin(client)
	c.started, c.seeks = c.seeks, map[topic.Partition]int64{}
	c.client = client
	discovering, stop := context.WithCancel(context.WithoutCancel(ctx))
	c.stop, c.gone = stop, make(chan struct{})
	go func() {
		defer close(c.gone)
		c.discover(discovering, client)
	}()
	return client, nil
}

// adjust is asked where to begin reading the partitions that the group has given to this member.
func (c *cursor) adjust(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	for name, partitions := range offsets {
		for n, o := range partitions {
			p := topic.Partition{Topic: name, Partition: n}
			if at, ok := c.beginning(p, o.EpochOffset().Offset); ok {
				partitions[n] = kgo.NewOffset().At(at)
			}
		}
	}
	return offsets, nil
}

// beginning is where to begin a partition, if not at committed; that is < 0 without a commit.
func (c *cursor) beginning(p topic.Partition, committed int64) (int64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at, ok := c.started[p]; ok {
		delete(c.started, p)
		return at, true
	}
	if committed < 0 && c.ends != nil {
		return c.ends[p], true
	}
	return 0, false
}

// discover looks for new topics and partitions until ctx ends.
func (c *cursor) discover(ctx context.Context, client *kgo.Client) {
	tick := time.NewTicker(c.log.o.RefreshInterval)
	defer tick.Stop()
	for {
		found, err := c.matching(ctx)
		if ctx.Err() != nil {
			return
		}
		var own *Error
		switch {
		case err == nil:
			c.add(client, found)
		case errors.As(err, &own) && own.Final:
			c.mu.Lock()
			c.failed = err
			c.mu.Unlock()
		default: // the brokers are away; the client says so, and goes on by itself
		}
		select {
		case <-tick.C:
		case <-c.look:
		case <-ctx.Done():
			return
		}
	}
}

// add makes the client read what was found.
func (c *cursor) add(client *kgo.Client, found map[string]int) {
	if c.sub.Group != "" {
		has := client.GetConsumeTopics()
		var fresh []string
		for name := range found {
			if !slices.Contains(has, name) {
				fresh = append(fresh, name)
			}
		}
		client.AddConsumeTopics(fresh...)
		client.ForceMetadataRefresh()
		return
	}
	fresh := map[string]map[int32]kgo.Offset{}
	for name, partitions := range found {
		for n := range int32(partitions) {
			p := topic.Partition{Topic: name, Partition: n}
			c.mu.Lock()
			_, has := c.using[p]
			c.using[p] = struct{}{}
			c.mu.Unlock()
			if has {
				continue
			}
			if fresh[name] == nil {
				fresh[name] = map[int32]kgo.Offset{}
			}
			fresh[name][n] = kgo.NewOffset().AtStart()
			if at, ok := c.beginning(p, -1); ok {
				fresh[name][n] = kgo.NewOffset().At(at)
			}
		}
	}
	if len(fresh) > 0 {
		client.AddConsumePartitions(fresh)
	}
}

// Poll returns records as soon as there are any.
func (c *cursor) Poll(ctx context.Context, limit int) ([]topic.Record, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	client, err := c.begin(ctx)
	if err != nil {
		return nil, err
	}
	c.seek(client)
	c.release()
	for {
		fetches := client.PollRecords(ctx, max(limit, 1))
		c.take(fetches)
		c.size.adapt(client)
		err := c.problem(ctx, fetches)
		if len(c.polled) == 0 {
			client.AllowRebalance()
		}
		switch {
		case len(c.records) > 0:
			return c.records, nil // an error comes again
		case err != nil:
			return nil, err
		}
	}
}

// release gives the memory of the last Poll's records back.
func (c *cursor) release() {
	clear(c.records)
	clear(c.headers)
	c.records, c.headers = c.records[:0], c.headers[:0]
	for i, r := range c.fetched {
		r.Recycle()
		c.fetched[i] = nil
	}
	c.fetched = c.fetched[:0]
}

// take makes records of what was fetched.
func (c *cursor) take(fetches kgo.Fetches) {
	n := 0
	fetches.EachRecord(func(r *kgo.Record) {
		n += len(r.Headers)
		c.fetched = append(c.fetched, r)
	})
	c.headers = slices.Grow(c.headers, n)
	fetches.EachRecord(func(r *kgo.Record) {
		from := len(c.headers)
		for _, h := range r.Headers {
			c.headers = append(c.headers, topic.Header{Key: h.Key, Value: h.Value})
		}
		c.records = append(c.records, topic.Record{
			Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, TimeMillis: r.Timestamp.UnixMilli(),
			Key: topic.Data{Body: r.Key}, Value: topic.Data{Body: r.Value}, Headers: c.headers[from:len(c.headers):len(c.headers)],
		})
	})
	fetches.EachPartition(func(p kgo.FetchTopicPartition) {
		if n := len(p.Records); n > 0 {
			last := p.Records[n-1]
			c.polled[topic.Partition{Topic: p.Topic, Partition: p.Partition}] = kgo.EpochOffset{Epoch: last.LeaderEpoch, Offset: last.Offset + 1}
		}
	})
}

// problem is why nothing can be polled; what the client mends by itself is none.
func (c *cursor) problem(ctx context.Context, fetches kgo.Fetches) error {
	var first error
	fetches.EachError(func(name string, n int32, err error) {
		var loss *kgo.ErrDataLoss
		switch {
		case errors.Is(err, kgo.ErrClientClosed):
			first = topic.ErrClosed
		case ctx.Err() != nil && errors.Is(err, ctx.Err()):
			if first == nil {
				first = ctx.Err()
			}
		case errors.As(err, &loss):
			c.log.o.Log.Warn("offset is not in the partition", "group", c.sub.Group, "topic", name, "partition", n,
				"offset", loss.ConsumedTo, "to", loss.ResetTo)
		case kerr.IsRetriable(err) || kgo.IsRetryableBrokerErr(err):
		case first == nil:
			first = Explain("read topic", name, err)
		}
	})
	return first
}

// seek does what Seek asked for since the last Poll.
func (c *cursor) seek(client *kgo.Client) {
	if len(c.seeks) == 0 {
		return
	}
	to := map[string]map[int32]kgo.EpochOffset{}
	for p, at := range c.seeks {
		if to[p.Topic] == nil {
			to[p.Topic] = map[int32]kgo.EpochOffset{}
		}
		to[p.Topic][p.Partition] = kgo.EpochOffset{Epoch: -1, Offset: at}
	}
	client.SetOffsets(to)
	clear(c.seeks)
}

// Seek makes the next Poll read the partition from offset.
func (c *cursor) Seek(p topic.Partition, offset int64) { c.seeks[p] = offset }

// Committed returns the group's committed offset, or -1.
func (c *cursor) Committed(ctx context.Context, p topic.Partition) (int64, error) {
	if err := c.check(ctx); err != nil {
		return -1, err
	}
	if c.sub.Group == "" {
		return -1, nil
	}
	offsets, err := c.log.GroupOffsets(ctx, c.sub.Group)
	if err != nil {
		return -1, err
	}
	if at, ok := offsets[p]; ok {
		return at, nil
	}
	return -1, nil
}

// check says why there is nothing to ask.
func (c *cursor) check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return topic.ErrClosed
	}
	return nil
}

// Commit makes the positions after all polled records the group's. Then partitions may move to other members.
func (c *cursor) Commit(ctx context.Context) error {
	if err := c.check(ctx); err != nil {
		return err
	}
	if len(c.polled) == 0 {
		return nil
	}
	c.mu.Lock()
	client := c.client
	c.mu.Unlock()
	if c.sub.Group != "" {
		if err := c.commit(ctx, client); err != nil {
			return Explain("commit the offsets of group", c.sub.Group, err)
		}
	}
	clear(c.polled)
	client.AllowRebalance()
	return nil
}

func (c *cursor) commit(ctx context.Context, client *kgo.Client) error {
	offsets := map[string]map[int32]kgo.EpochOffset{}
	for p, o := range c.polled {
		if offsets[p.Topic] == nil {
			offsets[p.Topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[p.Topic][p.Partition] = o
	}
	var failed error
	client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if failed = err; err != nil {
			return
		}
		for i := range resp.Topics {
			for j := range resp.Topics[i].Partitions {
				if err := kerr.ErrorForCode(resp.Topics[i].Partitions[j].ErrorCode); err != nil {
					failed = err
				}
			}
		}
	})
	return failed
}

// Close leaves the group. What was polled and not committed is polled again by whoever has the partition next.
func (c *cursor) Close(ctx context.Context) error {
	c.end(ctx)
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	delete(c.log.cursors, c)
	return nil
}

// end closes the consumer. It may be called by any goroutine.
func (c *cursor) end(ctx context.Context) {
	c.mu.Lock()
	first := !c.closed
	c.closed = true
	client, stop, gone := c.client, c.stop, c.gone
	c.mu.Unlock()
	if !first || client == nil {
		return
	}
	stop()
	<-gone
	if c.sub.Group != "" {
		client.AllowRebalance()
		leaving, cancel := context.WithTimeout(ctx, 5*time.Second) // the group notices by itself where no broker answers
		defer cancel()
		_ = client.LeaveGroupContext(leaving)
	}
	client.CloseAllowingRebalance()
}
