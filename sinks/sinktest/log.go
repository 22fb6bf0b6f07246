// SPDX-License-Identifier: Apache-2.0

package sinktest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"freshet/emitter/topic"
)

// Log is a topic.Log in memory with one partition a topic, for tests of the task loop. It keeps the committed offsets of
// its groups. It is safe for concurrent use.
type Log struct {
	mu        sync.Mutex // guards all below
	topics    map[string][]topic.Record
	committed map[string]map[topic.Partition]int64 // by group
	changed   chan struct{}                        // closed and replaced by Append
	polled    int
}

var _ topic.Log = (*Log)(nil)

// NewLog returns an empty log.
func NewLog() *Log {
	return &Log{topics: map[string][]topic.Record{}, committed: map[string]map[topic.Partition]int64{}, changed: make(chan struct{})}
}

// Create makes topics.
func (l *Log) Create(_ context.Context, specs ...topic.Spec) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range specs {
		l.topics[s.Name] = append(l.topics[s.Name], nil...)
	}
	return nil
}

// Append stores a unit at once and calls done from another goroutine.
func (l *Log) Append(_ context.Context, u topic.Unit, done func(error)) {
	l.mu.Lock()
	for _, r := range u.Records {
		r.Partition, r.Offset = 0, int64(len(l.topics[r.Topic]))
		l.topics[r.Topic] = append(l.topics[r.Topic], r)
	}
	close(l.changed)
	l.changed = make(chan struct{})
	l.mu.Unlock()
	go done(nil)
}

// LoadMark knows no marks.
func (l *Log) LoadMark(context.Context, string) (string, error) { return "", nil }

// List describes the topics.
func (l *Log) List(context.Context) ([]topic.Info, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []topic.Info
	for _, name := range slices.Sorted(maps.Keys(l.topics)) {
		out = append(out, topic.Info{Name: name, Partitions: []topic.Range{{End: int64(len(l.topics[name]))}}})
	}
	return out, nil
}

// Subscribe opens a cursor, alone in its group.
func (l *Log) Subscribe(_ context.Context, s topic.Subscription) (topic.Cursor, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return &cursor{log: l, sub: s, at: maps.Clone(l.committed[s.Group])}, nil
}

// Close does nothing.
func (l *Log) Close(context.Context) error { return nil }

// Committed are the offsets of a group.
func (l *Log) Committed(group string) map[topic.Partition]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.committed[group])
}

// Polled is the number of records that cursors have returned.
func (l *Log) Polled() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.polled
}

type cursor struct {
	log  *Log
	sub  topic.Subscription
	at   map[topic.Partition]int64
	last []topic.Record // of the last Poll: spoiled by the next, as other logs reuse their memory
}

func (c *cursor) Poll(ctx context.Context, limit int) ([]topic.Record, error) {
	for _, r := range c.last {
		spoil(r.Key.Body)
		spoil(r.Value.Body)
		for _, h := range r.Headers {
			spoil(h.Value)
		}
	}
	c.last = nil
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c.log.mu.Lock()
		changed := c.log.changed
		c.take(limit)
		c.log.polled += len(c.last)
		c.log.mu.Unlock()
		if len(c.last) > 0 {
			return c.last, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// take copies records to last. The caller holds the log's mu.
func (c *cursor) take(limit int) {
	if c.at == nil {
		c.at = map[topic.Partition]int64{}
	}
	for _, name := range slices.Sorted(maps.Keys(c.log.topics)) {
		if !slices.Contains(c.sub.Topics, name) && (c.sub.Pattern == nil || !c.sub.Pattern(name)) {
			continue
		}
		p := topic.Partition{Topic: name}
		for records := c.log.topics[name]; c.at[p] < int64(len(records)) && len(c.last) < limit; c.at[p]++ {
			c.last = append(c.last, clone(records[c.at[p]]))
		}
	}
}

func clone(r topic.Record) topic.Record {
	r.Topic = strings.Clone(r.Topic)
	r.Key.Body, r.Value.Body = slices.Clone(r.Key.Body), slices.Clone(r.Value.Body)
	r.Headers = slices.Clone(r.Headers)
	for i := range r.Headers {
		r.Headers[i].Value = slices.Clone(r.Headers[i].Value)
	}
	return r
}

func spoil(p []byte) {
	for i := range p {
		p[i] = 0xff
	}
}

func (c *cursor) Seek(p topic.Partition, offset int64) {
	if c.at == nil {
		c.at = map[topic.Partition]int64{}
	}
	c.at[p] = offset
}

func (c *cursor) Committed(_ context.Context, p topic.Partition) (int64, error) {
	if at, ok := c.log.Committed(c.sub.Group)[p]; ok {
		return at, nil
	}
	return -1, nil
}

func (c *cursor) Commit(context.Context) error {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	c.log.committed[c.sub.Group] = maps.Clone(c.at)
	return nil
}

func (c *cursor) Close(context.Context) error { return nil }
