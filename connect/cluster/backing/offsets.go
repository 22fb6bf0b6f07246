// SPDX-License-Identifier: Apache-2.0

package backing

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/emitter/topic"
	"freshet/emitter/topic/kafka"
)

// Offsets is an offsets topic: the positions of source connectors, as marks. The key of a record is the JSON of
// ["connector",{partition}], its value that of the offset. Kafka Connect compares keys as bytes; here a partition whose
// members stand in another order is found too, and keeps the key that it has.
type Offsets struct {
	journal *journal

	mu        sync.Mutex // guards what follows
	positions map[string]position
	keys      map[string]string // the key in use, by what it means
	meanings  map[string]string // of keys seen
}

// position is the value of a key, "" for none, and where it was read, to tell it from an older one.
type position struct {
	value  string
	offset int64
	time   time.Time
}

var _ kafka.MarkRecorder = (*Offsets)(nil)

// NewOffsets makes the store of the worker's offsets topic. It connects to nothing.
func NewOffsets(o Options) *Offsets { return newOffsets(o, "offset.storage.topic") }

func newOffsets(o Options, property string) *Offsets {
	s := &Offsets{positions: map[string]position{}, keys: map[string]string{}, meanings: map[string]string{}}
	s.journal = &journal{o: o, topic: o.Offsets, property: property, purpose: "source connector offsets", name: "offsets", committed: o.Committed, patient: true, apply: s.apply}
	return s
}

// Start reads the topic to its end. It waits for brokers until ctx ends.
func (s *Offsets) Start(ctx context.Context) error { return s.journal.start(ctx) }

// Close ends reading and writing.
func (s *Offsets) Close(ctx context.Context) { s.journal.close(ctx) }

// apply takes a record.
func (s *Offsets) apply(r *kgo.Record) {
	value := string(r.Value)
	if isNull(r.Value) {
		value = ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := string(r.Key)
	meaning, ok := s.meaningLocked(key)
	if !ok || value != "" && !json.Valid(r.Value) {
		s.journal.o.log().Warn("record of the offsets topic is ignored: it is no position of a connector", "topic", s.journal.topic.Name, "partition", r.Partition, "offset", r.Offset)
		return
	}
	if s.outdatedLocked(key, value) {
		s.journal.o.log().Info("a note of a worker that does not own it any more is ignored", "topic", s.journal.topic.Name, "partition", r.Partition, "offset", r.Offset)
		return
	}
	s.setLocked(key, meaning, position{value, r.Offset, r.Timestamp})
}

// setLocked takes the position of a key. Of keys that mean the same the last one counts, by the brokers' clock where they
// are in different partitions. The caller holds mu.
func (s *Offsets) setLocked(key, meaning string, p position) {
	s.positions[key] = p
	if has, ok := s.keys[meaning]; ok && has != key {
		if other := s.positions[has]; other.value != "" && (p.value == "" || p.time.Before(other.time)) {
			return
		}
	}
	s.keys[meaning] = key
}

// meaningLocked is the same for all keys that mean the same. ok is false for what is no key. The caller holds mu.
func (s *Offsets) meaningLocked(key string) (string, bool) {
	if m, ok := s.meanings[key]; ok {
		return m, true
	}
	var parts []any
	d := json.NewDecoder(strings.NewReader(key))
	d.UseNumber()
	if err := d.Decode(&parts); err != nil || len(parts) != 2 || d.More() {
		return "", false
	}
	if _, ok := parts[0].(string); !ok {
		return "", false
	}
	m, err := json.Marshal(parts) // members by name
	if err != nil {
		return "", false
	}
	s.meanings[key] = string(m)
	return string(m), true
}

// recordKeyLocked is the key that a mark's record has: the one in use for what it means, else its own, with the connector's
// name written as Kafka Connect does. The caller holds mu.
func (s *Offsets) recordKeyLocked(key string) (string, error) {
	meaning, ok := s.meaningLocked(key)
	if !ok {
		return "", fmt.Errorf("store a position: %.100q is no key of one", key)
	}
	if p, ok := s.positions[key]; ok && p.value != "" {
		return key, nil
	}
	if used, ok := s.keys[meaning]; ok && s.positions[used].value != "" {
		return used, nil
	}
	var parts []json.RawMessage
	var name string
	if err := json.Unmarshal([]byte(key), &parts); err != nil {
		return "", err
	}
	if err := json.Unmarshal(parts[0], &name); err != nil {
		return "", err
	}
	out := append(appendText([]byte{'['}, name), ',')
	return string(append(append(out, parts[1]...), ']')), nil
}

// MarkRecord is the record that makes a mark durable, of this topic.
func (s *Offsets) MarkRecord(m topic.Mark) (topic.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, err := s.recordKeyLocked(m.Key)
	r := topic.Record{Topic: s.journal.topic.Name, Partition: topic.AnyPartition, Key: topic.Data{Body: []byte(key)}}
	if m.Value != "" {
		r.Value.Body = []byte(m.Value)
	}
	return r, err
}

// MarksCommitted does nothing: what is committed is read back.
func (s *Offsets) MarksCommitted(context.Context, []topic.Mark) {}

// PutMarks makes positions durable, all or, where it returns an error, any of them.
func (s *Offsets) PutMarks(ctx context.Context, marks []topic.Mark) error {
	records := make([]*kgo.Record, len(marks))
	for i, m := range marks {
		r, err := s.MarkRecord(m)
		if err != nil {
			return err
		}
		records[i] = &kgo.Record{Key: r.Key.Body, Value: r.Value.Body}
	}
	return s.journal.write(ctx, records...)
}

// LoadMark returns the durable value of a mark, after reading the topic to its end.
func (s *Offsets) LoadMark(ctx context.Context, key string) (string, error) {
	if err := s.journal.readToEnd(ctx); err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.valueLocked(key), nil
}

func (s *Offsets) valueLocked(key string) string {
	if p := s.positions[key]; p.value != "" {
		return p.value
	}
	meaning, _ := s.meaningLocked(key)
	return s.positions[s.keys[meaning]].value
}

// Marks returns the marks of a connector, by key; prefix is what the keys begin with, the connector's name and all before
// the partition, or "" for all connectors. The topic is read to its end before.
func (s *Offsets) Marks(ctx context.Context, prefix string) ([]topic.Mark, error) {
	if err := s.journal.readToEnd(ctx); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []topic.Mark
	name, whole := nameOf(prefix)
	for meaning, key := range s.keys {
		value := s.positions[key].value
		switch of, partition := split(key); {
		case value == "":
		case whole && of == name: // the caller's spelling of the name
			out = append(out, topic.Mark{Key: prefix + partition + "]", Value: value})
		case !whole && strings.HasPrefix(meaning, prefix):
			out = append(out, topic.Mark{Key: key, Value: value})
		}
	}
	sortMarks(out)
	return out, nil
}

// nameOf reads a prefix such as ["name", ; whole is false for another one.
func nameOf(prefix string) (name string, whole bool) {
	var parts []any
	if json.Unmarshal([]byte(prefix+"null]"), &parts) != nil || len(parts) != 2 {
		return "", false
	}
	name, whole = parts[0].(string)
	return name, whole
}

// split is name and partition of a key.
func split(key string) (name, partition string) {
	var parts []json.RawMessage
	if json.Unmarshal([]byte(key), &parts) != nil || len(parts) != 2 {
		return "", ""
	}
	_ = json.Unmarshal(parts[0], &name) // a key that was taken has a name
	var out bytes.Buffer
	_ = json.Compact(&out, parts[1]) // it is valid
	return name, out.String()
}

// DeleteMark forgets a mark, by all keys that mean the same; one that does not exist is fine.
func (s *Offsets) DeleteMark(ctx context.Context, key string) error {
	records, err := s.removal(key)
	if err != nil {
		return err
	}
	return s.journal.write(ctx, records...)
}

// removal are the records that forget a mark.
func (s *Offsets) removal(key string) ([]*kgo.Record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	own, err := s.recordKeyLocked(key)
	meaning := s.meanings[key]
	records := []*kgo.Record{{Key: []byte(own)}}
	for other, p := range s.positions {
		if other != own && p.value != "" && s.meanings[other] == meaning {
			records = append(records, &kgo.Record{Key: []byte(other)})
		}
	}
	return records, err
}
