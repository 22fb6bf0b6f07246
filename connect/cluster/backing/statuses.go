// SPDX-License-Identifier: Apache-2.0

package backing

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/connect"
	"freshet/emitter/topic/kafka"
)

// Keys of the status topic.
const (
	connectorStatusPrefix = "status-connector-"
	taskStatusPrefix      = "status-task-"
	topicStatusPrefix     = "status-topic-"
	topicStatusSeparator  = ":connector-"
)

// Statuses is the status topic. Writes are queued, in order, and tried again until they are through or a later one of the
// same key has taken their place; reads show what has been read back.
type Statuses struct {
	journal *journal
	ctx     context.Context //nolint:containedctx // of queued writes: ends with Close, not with a call
	stop    context.CancelFunc
	again   sync.WaitGroup // writes that wait to be tried again

	mu       sync.Mutex // guards what follows
	statuses map[connect.TaskID]Status
	topics   map[string]map[string]TopicStatus // by connector and topic
	latest   map[string]uint64                 // the last write of a key that is under way
	writes   uint64
	pending  int
	idle     chan struct{} // closed when pending is 0 again; nil while it is
	// generation is that of the last status written: failed writes of an earlier one are not tried again.
	generation int
}

// NewStatuses makes the store. It connects to nothing.
func NewStatuses(o Options) *Statuses {
	s := &Statuses{statuses: map[connect.TaskID]Status{}, topics: map[string]map[string]TopicStatus{}, latest: map[string]uint64{}}
	s.journal = &journal{o: o, topic: o.Statuses, property: "status.storage.topic", purpose: "connector and task statuses", name: "statuses", apply: s.apply}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// Start reads the topic to its end. It waits for brokers until ctx ends.
func (s *Statuses) Start(ctx context.Context) error { return s.journal.start(ctx) }

// Close ends reading and writing; what Flush has not waited for may be lost.
func (s *Statuses) Close(ctx context.Context) {
	s.stop()
	s.journal.close(ctx) // no promise comes behind it, so nothing new is tried again
	s.again.Wait()
}

// Refresh reads the topic to its end.
func (s *Statuses) Refresh(ctx context.Context) error { return s.journal.readToEnd(ctx) }

// Status is that of a task, or of a connector with ConnectorInstance.
func (s *Statuses) Status(id connect.TaskID) (Status, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, ok := s.statuses[id]
	return st, ok
}

// Tasks are the statuses of a connector's tasks, by number.
func (s *Statuses) Tasks(connector string) []Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Status
	for id, st := range s.statuses {
		if id.Connector == connector && id.Task != ConnectorInstance {
			out = append(out, st)
		}
	}
	slices.SortFunc(out, func(a, b Status) int { return cmp.Compare(a.ID.Task, b.ID.Task) })
	return out
}

// Connectors are the connectors that have a status, or whose tasks have one, by name.
func (s *Statuses) Connectors() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := map[string]bool{}
	for id := range s.statuses {
		names[id.Connector] = true
	}
	return slices.Sorted(maps.Keys(names))
}

// Topics are the topics that a connector has used, by name.
func (s *Statuses) Topics(connector string) []TopicStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	used := s.topics[connector]
	out := make([]TopicStatus, 0, len(used))
	for _, name := range slices.Sorted(maps.Keys(used)) {
		out = append(out, used[name])
	}
	return out
}

// Put writes a status.
func (s *Statuses) Put(st Status) { s.put(st, false) }

// PutSafe writes a status unless another worker has written a later one: for what a worker says of work that may not be its
// own any more, such as UNASSIGNED and FAILED.
func (s *Statuses) PutSafe(st Status) { s.put(st, true) }

func (s *Statuses) put(st Status, safe bool) {
	wanted := func() bool { return !safe || s.safeLocked(st) }
	s.mu.Lock()
	s.generation = st.Generation
	ok := wanted()
	s.mu.Unlock()
	if ok {
		s.send(statusKey(st.ID), statusValue(st), func() bool { return s.generation == st.Generation && wanted() })
	}
}

// safeLocked says whether what is known allows a status. The caller holds mu.
func (s *Statuses) safeLocked(st Status) bool {
	known, ok := s.statuses[st.ID]
	return !ok || known.WorkerID == st.WorkerID || known.Generation <= st.Generation
}

// Delete removes a status. With a connector's go those of its tasks, and its topics, from memory only: each has a key of its
// own to be deleted.
func (s *Statuses) Delete(id connect.TaskID) { s.send(statusKey(id), nil, always) }

// PutTopic writes that a connector has used a topic.
func (s *Statuses) PutTopic(t TopicStatus) {
	s.send(topicKey(t.Connector, t.Topic), topicValue(t), always)
}

// DeleteTopic forgets that a connector has used a topic.
func (s *Statuses) DeleteTopic(connector, topic string) {
	s.send(topicKey(connector, topic), nil, always)
}

func always() bool { return true }

// Flush waits until all writes are through, or given up.
func (s *Statuses) Flush(ctx context.Context) error {
	for {
		s.mu.Lock()
		idle := s.idle
		s.mu.Unlock()
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

// send queues a write. wanted is asked, with mu held, whether to try again.
func (s *Statuses) send(key string, value []byte, wanted func() bool) {
	s.mu.Lock()
	s.writes++
	n := s.writes
	s.latest[key] = n
	s.pending++
	if s.idle == nil {
		s.idle = make(chan struct{})
	}
	s.mu.Unlock()
	s.try(key, value, n, wanted)
}

func (s *Statuses) try(key string, value []byte, n uint64, wanted func() bool) {
	// TryProduce: whoever tells a status does not wait for brokers.
	s.journal.producer.TryProduce(s.ctx, record(key, value), func(_ *kgo.Record, err error) {
		if err == nil || s.ctx.Err() != nil || errors.Is(err, kgo.ErrClientClosed) {
			s.done(key, n)
			return
		}
		s.journal.warn(kafka.Explain("append to topic", s.journal.topic.Name, err))
		s.again.Go(func() {
			ok := pause(s.ctx)
			s.mu.Lock()
			ok = ok && s.latest[key] == n && wanted()
			s.mu.Unlock()
			if !ok {
				s.done(key, n)
				return
			}
			s.try(key, value, n, wanted)
		})
	})
}

// done counts a write down.
func (s *Statuses) done(key string, n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.latest[key] == n {
		delete(s.latest, key)
	}
	if s.pending--; s.pending == 0 {
		close(s.idle)
		s.idle = nil
	}
}

func statusKey(id connect.TaskID) string {
	if id.Task == ConnectorInstance {
		return connectorStatusPrefix + id.Connector
	}
	return taskStatusPrefix + taskName(id)
}

func topicKey(connector, topic string) string {
	return topicStatusPrefix + topic + topicStatusSeparator + connector
}

// apply takes a record.
func (s *Statuses) apply(r *kgo.Record) {
	key, err := string(r.Key), errKey
	s.mu.Lock()
	if name, ok := strings.CutPrefix(key, connectorStatusPrefix); ok && name != "" {
		err = s.statusLocked(connect.TaskID{Connector: name, Task: ConnectorInstance}, r.Value)
	} else if name, ok := strings.CutPrefix(key, taskStatusPrefix); ok {
		if id, ok := parseTask(name); ok {
			err = s.statusLocked(id, r.Value)
		}
	} else if name, ok := strings.CutPrefix(key, topicStatusPrefix); ok {
		// Names of topics have no colon.
		if topic, connector, ok := strings.Cut(name, topicStatusSeparator); ok && topic != "" && connector != "" {
			err = s.topicLocked(connector, topic, r.Value)
		}
	}
	s.mu.Unlock()
	if err != nil {
		s.journal.o.log().Warn("record of the status topic is ignored", "topic", s.journal.topic.Name, "partition", r.Partition, "offset", r.Offset, "key", key, "cause", err.Error())
	}
}

func (s *Statuses) statusLocked(id connect.TaskID, value []byte) error {
	if isNull(value) {
		delete(s.statuses, id)
		if id.Task == ConnectorInstance {
			maps.DeleteFunc(s.statuses, func(other connect.TaskID, _ Status) bool { return other.Connector == id.Connector })
			delete(s.topics, id.Connector)
		}
		return nil
	}
	st, err := parseStatus(id, value)
	if err != nil {
		return err
	}
	// In a run of rebalances a worker may say late that it has let go of what another one runs already.
	if known, ok := s.statuses[id]; ok && st.State == connect.Unassigned && known.State == connect.Running &&
		known.WorkerID != st.WorkerID && st.Generation <= known.Generation {
		return nil
	}
	s.statuses[id] = st
	return nil
}

func (s *Statuses) topicLocked(connector, topic string, value []byte) error {
	if isNull(value) {
		delete(s.topics[connector], topic)
		return nil
	}
	t, err := parseTopicStatus(value)
	if err != nil {
		return err
	}
	t.Topic, t.Connector = topic, connector
	if s.topics[connector] == nil {
		s.topics[connector] = map[string]TopicStatus{}
	}
	s.topics[connector][topic] = t
	return nil
}
