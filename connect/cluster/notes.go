// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"freshet/connect"
	"freshet/connect/cluster/backing"
	"freshet/emitter/topic"
)

// Notes keep in an offsets topic what operators asked for, so that whichever worker gets the task of a connector finds it. Kafka
// Connect's workers find there positions of a connector "__freshet-notes", which they never ask for.
type Notes struct{ Offsets *backing.Offsets }

var _ connect.Keeper = Notes{}

const notesConnector = "__freshet-notes"

// noteTimeout bounds a call: brokers that are away for longer are an error.
const noteTimeout = 30 * time.Second

// note is the value of a position: Kafka Connect's hold no objects, so the note is a text.
type note struct {
	Note string `json:"note"`
}

func noteKey(key string) (string, error) {
	text, err := json.Marshal([]any{notesConnector, map[string]string{"key": key}})
	return string(text), err
}

// PutStatus keeps a note.
func (n Notes) PutStatus(key string, value []byte) error {
	of, err := noteKey(key)
	if err != nil {
		return err
	}
	text, err := json.Marshal(note{string(value)})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), noteTimeout)
	defer cancel()
	return n.Offsets.PutMarks(ctx, []topic.Mark{{Key: of, Value: string(text)}})
}

// Status is a note, nil if there is none. What any worker has kept before is seen.
func (n Notes) Status(key string) ([]byte, error) {
	of, err := noteKey(key)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), noteTimeout)
	defer cancel()
	text, err := n.Offsets.LoadMark(ctx, of)
	if err != nil || text == "" {
		return nil, err
	}
	var v note
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return nil, fmt.Errorf("read the note %q: %w", key, err)
	}
	return []byte(v.Note), nil
}

// DeleteStatus forgets a note.
func (n Notes) DeleteStatus(key string) error {
	of, err := noteKey(key)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), noteTimeout)
	defer cancel()
	return n.Offsets.DeleteMark(ctx, of)
}
