// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"freshet/capture"
)

// Keeper keeps values by key over restarts; *store.DB is one. A call returns when the change is durable.
type Keeper interface {
	PutStatus(key string, value []byte) error
	Status(key string) ([]byte, error)
	DeleteStatus(key string) error
}

// Claimer is a Keeper of several workers. Only who has claimed a value last may put it; others get ErrClaimed.
type Claimer interface {
	Keeper
	// Claim takes the right to put a value from whoever had it, and returns the value.
	Claim(key string) ([]byte, error)
}

// ErrClaimed says that a value is another worker's.
var ErrClaimed = errors.New("another worker has claimed it")

// keptSnapshots is what outlives the process.
type keptSnapshots struct {
	Jobs    []capture.SnapshotJob `json:"jobs"`
	Waiting []capture.Signal      `json:"waiting"` // asked for, and not yet taken by the reader
}

// put takes the place of the job with its id, or is added.
func (k *keptSnapshots) put(j capture.SnapshotJob) {
	if i := slices.IndexFunc(k.Jobs, func(old capture.SnapshotJob) bool { return old.ID == j.ID }); i >= 0 {
		k.Jobs[i] = j
		return
	}
	k.Jobs = append(k.Jobs, j)
}

func (s *Snapshots) key() string { return "snapshots/" + s.name }

// load reads what was kept, anew as long as another worker may change it. The caller holds mu.
func (s *Snapshots) load() error {
	if s.released {
		return s.moving()
	}
	if s.loaded || s.keeper == nil {
		return nil
	}
	text, err := s.keeper.Status(s.key())
	_, shared := s.keeper.(Claimer)
	return s.take(text, err, !shared)
}

// claim is load with the right to save. The caller holds mu.
func (s *Snapshots) claim() error {
	shared, ok := s.keeper.(Claimer)
	switch {
	case !ok || s.loaded:
		return s.load()
	case s.released || s.outdone:
		return s.moving()
	}
	text, err := shared.Claim(s.key())
	if errors.Is(err, ErrClaimed) {
		return s.moving()
	}
	return s.take(text, err, true)
}

// moving is the error of who asks for what another worker has.
func (s *Snapshots) moving() error {
	return &Error{409, fmt.Sprintf("The task of connector %s is moving to another worker: try again; if that does not help, restart the task", s.name)}
}

// take decodes what was kept. The caller holds mu.
func (s *Snapshots) take(text []byte, err error, owned bool) error {
	var kept keptSnapshots
	if err == nil && text != nil {
		err = json.Unmarshal(text, &kept)
	}
	if err != nil {
		return fmt.Errorf("read the snapshots of connector %q: %w", s.name, err)
	}
	s.kept, s.loaded = kept, owned
	return nil
}

// save keeps the present state. The caller holds mu.
func (s *Snapshots) save() error {
	if s.keeper == nil || s.released {
		return nil
	}
	text, err := json.Marshal(&s.kept)
	if err == nil {
		err = s.keeper.PutStatus(s.key(), text)
	}
	if errors.Is(err, ErrClaimed) {
		s.loaded, s.outdone = false, true
		return s.moving()
	}
	if err != nil {
		return fmt.Errorf("keep the snapshots of connector %q: %w", s.name, err)
	}
	return nil
}
