// SPDX-License-Identifier: Apache-2.0

package local

import (
	"bytes"
	"fmt"
	"sync"

	"freshet/emitter/topic"
	"freshet/internal/store"
)

// heads interns heads: each content is stored once under a reference, and is one pointer in this process. The reference
// is the head's id, or one of the next numbers where another content has taken it. Heads are never deleted: they are as
// few as versions of tables.
type heads struct {
	db *store.DB

	// mu guards what follows. It is held while a head is read, which happens once for each.
	mu    sync.RWMutex
	byRef map[uint64]*topic.Head
	fresh []uint64 // references of heads not yet in a batch
}

func newHeads(db *store.DB) *heads { return &heads{db: db, byRef: make(map[uint64]*topic.Head)} }

// ref is the reference of a head. One that is new will be in the next batch, which is the batch of the unit it came
// with or an earlier one.
func (s *heads) ref(h *topic.Head) (uint64, error) {
	s.mu.RLock()
	known, ok := s.byRef[h.ID]
	s.mu.RUnlock()
	if ok && same(known, h) {
		return h.ID, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for ref := h.ID; ; ref++ {
		known, err := s.load(ref)
		switch {
		case err != nil:
			return 0, err
		case known == nil:
			s.byRef[ref] = h
			s.fresh = append(s.fresh, ref)
			return ref, nil
		case same(known, h):
			return ref, nil
		}
	}
}

func same(a, b *topic.Head) bool { return a == b || a.ID == b.ID && bytes.Equal(a.Bytes, b.Bytes) }

// load returns the head of a reference, nil if there is none. The caller holds mu for writing.
func (s *heads) load(ref uint64) (*topic.Head, error) {
	if h := s.byRef[ref]; h != nil {
		return h, nil
	}
	id, content, found, err := s.db.Head(ref)
	if err != nil || !found {
		return nil, err
	}
	h := &topic.Head{ID: id, Bytes: content}
	s.byRef[ref] = h
	return h, nil
}

// head is the head of a reference found in a chunk.
func (s *heads) head(ref uint64) (*topic.Head, error) {
	s.mu.RLock()
	h := s.byRef[ref]
	s.mu.RUnlock()
	if h != nil {
		return h, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h, err := s.load(ref)
	if err == nil && h == nil {
		err = fmt.Errorf("head %x is missing: %w", ref, store.ErrCorrupt)
	}
	return h, err
}

// putFresh puts new heads into a batch.
func (s *heads) putFresh(b *store.Batch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ref := range s.fresh {
		h := s.byRef[ref]
		b.PutHead(ref, h.ID, h.Bytes)
	}
	s.fresh = s.fresh[:0]
}

// forget forgets everything: after a failure it is not known which heads became durable.
func (s *heads) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.byRef)
	s.fresh = s.fresh[:0]
}
