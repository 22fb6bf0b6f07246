// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"freshet/emitter/topic"
	"freshet/internal/store"
)

// ErrUnknownTopic is returned for topics and partitions that do not exist.
var ErrUnknownTopic = errors.New("unknown topic or partition")

// topicState is a topic. But for deleted it is immutable.
type topicState struct {
	name    string
	parts   []*partition
	kept    store.Topic // as it is in the store
	deleted bool        // guarded by Log.mu
}

// partition is a partition of a topic. start and end are what is durable: nobody reads beyond end, because Pebble shows
// a batch before it is synced.
type partition struct {
	topic      *topicState
	number     int32
	id         uint32
	start, end atomic.Int64
	cut        atomic.Int64 // retention deletes what is before it; start follows once that is durable
	next       int64        // offset of the next record; the writer's alone
}

func (p *partition) bounds() topic.Range {
	return topic.Range{Start: p.start.Load(), End: p.end.Load()}
}

func (p *partition) String() string { return fmt.Sprintf("%s-%d", p.topic.name, p.number) }

// set takes over what is durable.
func (p *partition) set(r topic.Range) {
	p.start.Store(r.Start)
	p.end.Store(r.End)
	p.next = r.End
}

func newTopic(kept store.Topic) *topicState {
	t := &topicState{name: kept.Name, kept: kept}
	for i, id := range kept.Partitions {
		t.parts = append(t.parts, &partition{topic: t, number: int32(i), id: id})
	}
	return t
}

// Create makes the topics that do not exist yet, durably.
func (l *Log) Create(ctx context.Context, specs ...topic.Spec) error {
	if err := l.ensure(ctx); err != nil {
		return err
	}
	for _, s := range specs {
		if err := checkName(s.Name); err != nil {
			return err
		}
	}
	l.mu.Lock()
	for _, s := range specs {
		l.topicLocked(s)
	}
	l.mu.Unlock()
	// Fresh topics are in the batch of whatever is written next.
	return l.do(ctx, &item{})
}

// topicLocked returns a topic and makes it if it does not exist. The caller holds mu, and has checked the name.
func (l *Log) topicLocked(s topic.Spec) *topicState {
	if t := l.topics[s.Name]; t != nil {
		return t
	}
	if s.Partitions <= 0 {
		s.Partitions = l.o.DefaultPartitions
	}
	if s.RetentionTime == 0 {
		s.RetentionTime = l.o.RetentionTime
	}
	if s.RetentionBytes == 0 {
		s.RetentionBytes = l.o.RetentionBytes
	}
	kept := store.Topic{Name: s.Name, RetentionMillis: -1, RetentionBytes: max(s.RetentionBytes, -1)}
	if s.RetentionTime >= 0 {
		kept.RetentionMillis = s.RetentionTime.Milliseconds()
	}
	for range s.Partitions {
		kept.Partitions = append(kept.Partitions, l.nextID)
		l.nextID++
	}
	t := newTopic(kept)
	l.topics[s.Name] = t
	l.fresh = append(l.fresh, t)
	l.version.Add(1)
	l.wakeCursorsLocked()
	return t
}

// topicFor is the topic that a record names, made if it does not exist.
func (l *Log) topicFor(name string) (*topicState, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if t := l.topics[name]; t != nil {
		return t, nil
	}
	if err := checkName(name); err != nil {
		return nil, err
	}
	return l.topicLocked(topic.Spec{Name: name}), nil
}

// DeleteTopic deletes a topic with its records and the offsets that groups have in it. A topic of the same name that is
// made later begins at offset 0, for all groups.
func (l *Log) DeleteTopic(ctx context.Context, name string) error {
	if err := l.ensure(ctx); err != nil {
		return err
	}
	l.mu.Lock()
	t := l.topics[name]
	if t == nil {
		l.mu.Unlock()
		return fmt.Errorf("delete topic %q: %w", name, ErrUnknownTopic)
	}
	t.deleted = true
	delete(l.topics, name)
	l.version.Add(1)
	l.wakeCursorsLocked()
	l.mu.Unlock()
	// A unit that was encoded before and is queued after finds its topic deleted, and gets the new one.
	return l.do(ctx, &item{op: func(b *store.Batch) error {
		b.DeleteTopic(t.kept)
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, g := range l.groups {
			for _, p := range t.parts {
				delete(g.committed, p.id)
				b.DeleteGroupOffset(g.name, p.id)
			}
		}
		return nil
	}})
}

// partitionFor finds a partition by its name.
func (l *Log) partitionFor(p topic.Partition) (*partition, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.topics[p.Topic]
	if t == nil || p.Partition < 0 || int(p.Partition) >= len(t.parts) {
		return nil, fmt.Errorf("%s-%d: %w", p.Topic, p.Partition, ErrUnknownTopic)
	}
	return t.parts[p.Partition], nil
}

// sortedLocked returns all topics by name. The caller holds mu.
func (l *Log) sortedLocked() []*topicState {
	ts := slices.Collect(maps.Values(l.topics))
	slices.SortFunc(ts, func(a, b *topicState) int { return strings.Compare(a.name, b.name) })
	return ts
}

// checkName refuses what Kafka refuses, so that a pipeline that runs here runs there too.
func checkName(name string) error {
	const rule = "use up to 249 letters, digits, '.', '_' and '-'"
	bad := strings.IndexFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-')
	})
	if bad >= 0 || name == "" || len(name) > 249 || name == "." || name == ".." {
		return &NameError{Name: name, Rule: rule}
	}
	return nil
}

// NameError is a topic name that is not allowed.
type NameError struct{ Name, Rule string }

// Error names the topic and the rule.
func (e *NameError) Error() string {
	return fmt.Sprintf("topic name %q is not allowed: %s", e.Name, e.Rule)
}

// Retriable is false: the name stays as it is.
func (e *NameError) Retriable() bool { return false }

// durable is what a log reads from its store.
type durable struct {
	topics []store.Topic
	ranges map[uint32]topic.Range
	nextID uint32
	groups map[string]map[uint32]int64
}

// read reads what is durable.
func (l *Log) read() (durable, error) {
	d := durable{ranges: make(map[uint32]topic.Range), groups: make(map[string]map[uint32]int64)}
	var err error
	if d.topics, err = l.db.Topics(); err != nil {
		return d, err
	}
	if d.nextID, err = l.db.NextPartition(); err != nil {
		return d, err
	}
	for _, t := range d.topics {
		for _, id := range t.Partitions {
			start, end, err := l.db.Range(id)
			if err != nil {
				return d, err
			}
			d.ranges[id] = topic.Range{Start: start, End: end}
		}
	}
	return d, l.db.GroupOffsets(func(name string, partition uint32, offset int64) {
		if d.groups[name] == nil {
			d.groups[name] = make(map[uint32]int64)
		}
		d.groups[name][partition] = offset
	})
}

// install takes over what is durable. Topics that live on stay the same objects, so that cursors go on. It is called by
// the writer, or before there is one.
func (l *Log) install(d durable) {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.topics
	l.topics = make(map[string]*topicState, len(d.topics))
	for _, kept := range d.topics {
		t := before[kept.Name]
		if t == nil || !slices.Equal(t.kept.Partitions, kept.Partitions) {
			t = newTopic(kept)
		}
		for _, p := range t.parts {
			p.set(d.ranges[p.id])
		}
		l.topics[kept.Name] = t
	}
	for name, t := range before {
		t.deleted = l.topics[name] != t
	}
	for name := range d.groups {
		l.groupLocked(name)
	}
	for name, g := range l.groups {
		g.committed = d.groups[name]
		if g.committed == nil {
			g.committed = make(map[uint32]int64)
		}
	}
	l.nextID, l.fresh = d.nextID, nil
	l.version.Add(1)
	l.wakeCursorsLocked()
}

// retention is the topic's limit in time; ok is false where there is none.
func (t *topicState) retention() (limit time.Duration, ok bool) {
	return time.Duration(t.kept.RetentionMillis) * time.Millisecond, t.kept.RetentionMillis >= 0
}
