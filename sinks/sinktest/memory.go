// SPDX-License-Identifier: Apache-2.0

package sinktest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"

	"freshet/change"
	"freshet/emitter/topic"
	"freshet/internal/failpoint"
	"freshet/sinks"
)

// Store is a target in memory, which outlives its writers. It is safe for concurrent use.
type Store struct {
	mu      sync.Mutex // guards all below
	rows    map[int64]string
	offsets map[topic.Partition]int64
	session int // of the writer that may write; an older one has lost its connection
}

// NewStore returns an empty store.
func NewStore() *Store { return &Store{rows: map[int64]string{}, offsets: map[topic.Partition]int64{}} }

// Open opens a writer.
func (s *Store) Open() *Memory {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session++
	return &Memory{store: s, session: s.session}
}

// Break makes the open writer fail.
func (s *Store) Break() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.session++
}

// Rows are the rows.
func (s *Store) Rows() map[int64]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.rows)
}

// Memory is a Writer into a Store.
type Memory struct {
	store   *Store
	session int
}

var (
	_ sinks.Writer     = (*Memory)(nil)
	_ sinks.Positioner = (*Memory)(nil)
)

// MemoryPoison is refused.
const MemoryPoison = "poison"

var errBroken = errors.New("connection lost")

// Write applies a batch at once, or nothing of it.
func (m *Memory) Write(ctx context.Context, b *sinks.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.store.mu.Lock()
	rows := maps.Clone(m.store.rows)
	m.store.mu.Unlock()
	for i := range b.Records {
		if err := m.apply(rows, b, i); err != nil {
			return err
		}
	}
	failpoint.Hit("sink.commit.before")
	if err := m.commit(rows, b); err != nil {
		return err
	}
	failpoint.Hit("sink.commit.after")
	return nil
}

func (m *Memory) apply(rows map[int64]string, b *sinks.Batch, i int) error {
	r, d := &b.Records[i], &b.Data
	id := d.At(d.RowOf(r.Key), 0).Int()
	if r.IsTombstone() {
		delete(rows, id)
		return nil
	}
	value := d.RowOf(r.Value)
	if d.String(d.At(value, 2)) == string(change.Delete) {
		delete(rows, id)
		return nil
	}
	v := d.At(d.RowOf(d.At(value, 1)), 1)
	switch {
	case v.IsNull():
		rows[id] = Null
	case d.String(v) == MemoryPoison:
		return &sinks.RowError{Index: i, Topic: r.Source.Topic, Partition: r.Source.Partition, Offset: r.Offset, Key: fmt.Sprint("id=", id), Err: errors.New("poison")}
	case d.String(v) != placeholder:
		rows[id] = string(d.Bytes(v))
	}
	return nil
}

func (m *Memory) commit(rows map[int64]string, b *sinks.Batch) error {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	if m.store.session != m.session {
		return errBroken
	}
	m.store.rows = rows
	maps.Copy(m.store.offsets, b.Next)
	return nil
}

// Positions are the offsets of the store.
func (m *Memory) Positions(context.Context) (map[topic.Partition]int64, error) {
	m.store.mu.Lock()
	defer m.store.mu.Unlock()
	return maps.Clone(m.store.offsets), nil
}

// Close does nothing.
func (*Memory) Close(context.Context) error { return nil }
