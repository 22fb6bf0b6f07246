// SPDX-License-Identifier: Apache-2.0

package backing

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"freshet/emitter/topic"
	"freshet/emitter/topic/kafka"
)

// copyTimeout is how long the copy for the worker's topic may hold up what comes next.
const copyTimeout = 5 * time.Second

// OwnOffsets is an offsets topic of a connector's own (offsets.storage.topic), in front of the worker's. A position that
// the own topic does not have is looked for in the worker's; what is written goes to both, so that a connector may give up
// its topic. It starts with its first use.
type OwnOffsets struct {
	own, worker *Offsets

	mu      sync.Mutex // held over the start
	started bool
}

var _ kafka.MarkRecorder = (*OwnOffsets)(nil)

// NewOwnOffsets makes the store. o.Offsets is the own topic, o.Client are the options of the connector's clients.
func NewOwnOffsets(o Options, worker *Offsets) *OwnOffsets {
	return &OwnOffsets{own: newOffsets(o, "offsets.storage.topic"), worker: worker}
}

func (s *OwnOffsets) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started {
		return nil
	}
	err := s.own.Start(ctx)
	s.started = err == nil
	return err
}

// Close ends reading and writing of the own topic.
func (s *OwnOffsets) Close(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started {
		s.own.Close(ctx)
	}
}

// MarkRecord is a record of the own topic.
func (s *OwnOffsets) MarkRecord(m topic.Mark) (topic.Record, error) { return s.own.MarkRecord(m) }

// MarksCommitted copies marks that have become durable to the worker's topic. Without the copy nothing is lost.
func (s *OwnOffsets) MarksCommitted(ctx context.Context, marks []topic.Mark) {
	ctx, cancel := context.WithTimeout(ctx, copyTimeout)
	defer cancel()
	if err := s.worker.PutMarks(ctx, marks); err != nil {
		s.own.journal.o.log().Warn("positions of a topic of a connector's own are not copied to the worker's", "topic", s.own.journal.topic.Name, "cause", err.Error())
	}
}

// PutMarks makes positions durable. A removal goes to the worker's topic first, so that it cannot bring the position back.
func (s *OwnOffsets) PutMarks(ctx context.Context, marks []topic.Mark) error {
	if err := s.start(ctx); err != nil {
		return err
	}
	if err := s.own.PutMarks(ctx, marks); err != nil {
		return err
	}
	s.MarksCommitted(ctx, marks)
	return nil
}

// LoadMark returns the durable value of a mark.
func (s *OwnOffsets) LoadMark(ctx context.Context, key string) (string, error) {
	if err := s.start(ctx); err != nil {
		return "", err
	}
	value, err := s.own.LoadMark(ctx, key)
	if err != nil || value != "" {
		return value, err
	}
	return s.worker.LoadMark(ctx, key)
}

// Marks returns the marks of a connector, by key.
func (s *OwnOffsets) Marks(ctx context.Context, prefix string) ([]topic.Mark, error) {
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	marks, err := s.own.Marks(ctx, prefix)
	if err != nil {
		return nil, err
	}
	others, err := s.worker.Marks(ctx, prefix)
	if err != nil {
		return nil, err
	}
	for _, m := range others {
		value, err := s.own.LoadMark(ctx, m.Key)
		if err != nil {
			return nil, err
		}
		if value == "" {
			marks = append(marks, m)
		}
	}
	sortMarks(marks)
	return marks, nil
}

// DeleteMark forgets a mark in both topics, the worker's first.
func (s *OwnOffsets) DeleteMark(ctx context.Context, key string) error {
	if err := s.start(ctx); err != nil {
		return err
	}
	if err := s.worker.DeleteMark(ctx, key); err != nil {
		return err
	}
	return s.own.DeleteMark(ctx, key)
}

func sortMarks(marks []topic.Mark) {
	slices.SortFunc(marks, func(a, b topic.Mark) int { return strings.Compare(a.Key, b.Key) })
}
