// SPDX-License-Identifier: Apache-2.0

package backing

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"freshet/connect"
	"freshet/emitter/topic"
)

// Notes keep in an offsets topic what operators asked for, so that whichever worker gets the task of a connector finds it. Kafka
// Connect's workers find there positions of a connector "__freshet-notes", which they never ask for.
//
// A note has an owner, which is the last that has claimed it; a claim names the owner before. What anybody else writes does not
// count, in the order of the topic: so a worker that stood still while its task moved cannot undo what the next one wrote.
// They are safe for concurrent use.
type Notes struct {
	Offsets *Offsets
	// Alive says whether this worker is in its group, and so may claim what its tasks need; nil is always. It is set before use.
	Alive func() bool

	mu     sync.Mutex // guards owners
	owners map[string]string
}

var (
	_ connect.Keeper  = (*Notes)(nil)
	_ connect.Claimer = (*Notes)(nil)
)

const (
	notesConnector = "__freshet-notes"
	notesPrefix    = `["` + notesConnector + `",`
)

// noteTimeout bounds a call: brokers that are away for longer are an error.
const noteTimeout = 30 * time.Second

// note is the value of a position: Kafka Connect's hold no objects, so what is kept is a text.
type note struct {
	Owner string `json:"owner"`
	After string `json:"after"` // of a claim, the owner before, "" for none; else the owner
	Note  string `json:"note"`
}

func noteKey(key string) (string, error) {
	text, err := json.Marshal([]any{notesConnector, map[string]string{"key": key}})
	return string(text), err
}

func parseNote(value string) (n note, err error) {
	if value != "" {
		err = json.Unmarshal([]byte(value), &n)
	}
	return n, err
}

// follows says whether a value of a note counts behind the one before. One that was deleted has no owner.
func (n note) follows(before note) bool { return n.Owner == before.Owner || n.After == before.Owner }

// outdatedLocked says whether a record of the topic is a note that does not count. The caller holds mu.
func (s *Offsets) outdatedLocked(key, value string) bool {
	before, ok := s.positions[key]
	if !ok || value == "" || !strings.HasPrefix(key, notesPrefix) {
		return false
	}
	old, err := parseNote(before.value)
	if err != nil {
		return false
	}
	now, err := parseNote(value)
	return err != nil || !now.follows(old)
}

// load reads a note, after what any worker has written before.
func (n *Notes) load(ctx context.Context, key string) (note, error) {
	of, err := noteKey(key)
	if err != nil {
		return note{}, err
	}
	value, err := n.Offsets.LoadMark(ctx, of)
	if err != nil {
		return note{}, err
	}
	v, err := parseNote(value)
	if err != nil {
		return note{}, fmt.Errorf("read the note %q: %w", key, err)
	}
	return v, nil
}

// store writes a note, and finds out whether it counts.
func (n *Notes) store(ctx context.Context, key string, v note) error {
	of, err := noteKey(key)
	if err != nil {
		return err
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := n.Offsets.PutMarks(ctx, []topic.Mark{{Key: of, Value: string(text)}}); err != nil {
		return err
	}
	now, err := n.load(ctx, key)
	if err == nil && now.Owner != v.Owner {
		err = connect.ErrClaimed
	}
	return err
}

// Claim makes this worker the owner of a note and returns it, nil if there is none. It fails where the worker is not in its
// group or another one claims the note at the same time.
func (n *Notes) Claim(key string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), noteTimeout)
	defer cancel()
	before, err := n.load(ctx, key)
	if err != nil {
		return nil, err
	}
	if n.Alive != nil && !n.Alive() { // asked behind reading: a claim of anybody since then makes this one void
		return nil, connect.ErrClaimed
	}
	mine := note{Owner: rand.Text(), After: before.Owner, Note: before.Note}
	if err := n.store(ctx, key, mine); err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.owners == nil {
		n.owners = map[string]string{}
	}
	n.owners[key] = mine.Owner
	return textOf(before), nil
}

func textOf(v note) []byte {
	if v.Note == "" {
		return nil
	}
	return []byte(v.Note)
}

// PutStatus keeps a note that was claimed.
func (n *Notes) PutStatus(key string, value []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), noteTimeout)
	defer cancel()
	before, err := n.load(ctx, key)
	if err != nil {
		return err
	}
	n.mu.Lock()
	owner := n.owners[key]
	n.mu.Unlock()
	if owner == "" || owner != before.Owner {
		return connect.ErrClaimed
	}
	return n.store(ctx, key, note{Owner: owner, After: owner, Note: string(value)})
}

// Status is a note, nil if there is none. What any worker has kept before is seen.
func (n *Notes) Status(key string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), noteTimeout)
	defer cancel()
	v, err := n.load(ctx, key)
	if err != nil {
		return nil, err
	}
	return textOf(v), nil
}

// DeleteStatus forgets a note, whose ever it is.
func (n *Notes) DeleteStatus(key string) error {
	of, err := noteKey(key)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), noteTimeout)
	defer cancel()
	return n.Offsets.DeleteMark(ctx, of)
}
