// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"freshet/emitter/topic"
)

// TopicSet collects the topics that a connector uses. It is safe for concurrent use.
type TopicSet struct {
	// Added, if not nil, is told of each topic that was not there. It must not block.
	Added func(topic string)

	mu    sync.Mutex // guards names
	names map[string]bool
}

// Names are the topics, sorted.
func (s *TopicSet) Names() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.names))
}

// Reset forgets them.
func (s *TopicSet) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.names)
}

// addAll adds the topics of records. Records come in runs of one topic, whose names share their bytes: a run costs one
// look at the set.
func (s *TopicSet) addAll(records []topic.Record) {
	last := ""
	for i := range records {
		if records[i].Topic != last {
			last = records[i].Topic
			s.add(last)
		}
	}
}

func (s *TopicSet) add(name string) {
	s.mu.Lock()
	fresh := !s.names[name]
	if fresh {
		if s.names == nil {
			s.names = map[string]bool{}
		}
		s.names[name] = true
	}
	s.mu.Unlock()
	if fresh && s.Added != nil {
		s.Added(name)
	}
}

// taskLog is the log as one attempt of one task sees it: it notes the topics and the progress. A log that failed, say on
// a full disk, opens itself anew when the next attempt asks it for a mark or a cursor.
type taskLog struct {
	topic.Log
	topics  *TopicSet
	marked  func(position string) // told of each position that became durable; nil for sinks
	durable atomic.Int64          // positions and commits that became durable
}

var _ topic.Log = (*taskLog)(nil)

// Append notes the outcome on its way to done.
func (l *taskLog) Append(ctx context.Context, u topic.Unit, done func(error)) {
	l.topics.addAll(u.Records)
	l.Log.Append(ctx, u, func(err error) {
		if err == nil && u.Mark.Value != "" {
			l.durable.Add(1)
			if l.marked != nil {
				l.marked(u.Mark.Value)
			}
		}
		done(err)
	})
}

// Subscribe wraps the cursor.
func (l *taskLog) Subscribe(ctx context.Context, s topic.Subscription) (topic.Cursor, error) {
	c, err := l.Log.Subscribe(ctx, s)
	if err != nil {
		return nil, err
	}
	return &taskCursor{c, l}, nil
}

// taskCursor is a cursor that notes the topics and the progress.
type taskCursor struct {
	topic.Cursor
	log *taskLog
}

// Poll notes the topics.
func (c *taskCursor) Poll(ctx context.Context, limit int) ([]topic.Record, error) {
	records, err := c.Cursor.Poll(ctx, limit)
	c.log.topics.addAll(records)
	return records, err
}

// Commit notes the outcome.
func (c *taskCursor) Commit(ctx context.Context) error {
	err := c.Cursor.Commit(ctx)
	if err == nil {
		c.log.durable.Add(1)
	}
	return err
}
