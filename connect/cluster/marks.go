// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"freshet/connect/cluster/backing"
	"freshet/emitter/topic"
	"freshet/emitter/topic/kafka"
)

// Marks are an offsets topic that takes the marks of spools too: of what a source has read and cannot emit yet. Kafka
// Connect's workers find there positions of a connector "__freshet-spool", which they never ask for.
type Marks struct{ *backing.Offsets }

var _ kafka.MarkRecorder = Marks{}

// spoolMark is the value of a spool's mark: any text, where that of a position is JSON.
type spoolMark struct {
	Mark string `json:"mark"`
}

const spoolConnector = "__freshet-spool"

// isPosition says whether a mark's key is that of a connector's position, which is a JSON array.
func isPosition(key string) bool { return strings.HasPrefix(key, "[") }

func recordKey(key string) (string, error) {
	if isPosition(key) {
		return key, nil
	}
	text, err := json.Marshal([]any{spoolConnector, map[string]string{"topic": key}})
	return string(text), err
}

func recordMark(m topic.Mark) (topic.Mark, error) {
	if isPosition(m.Key) {
		return m, nil
	}
	key, err := recordKey(m.Key)
	if err != nil {
		return m, err
	}
	value, err := json.Marshal(spoolMark{m.Value})
	return topic.Mark{Key: key, Value: string(value)}, err
}

// PutMarks makes marks durable.
func (m Marks) PutMarks(ctx context.Context, marks []topic.Mark) error {
	out := make([]topic.Mark, len(marks))
	for n := range marks {
		var err error
		if out[n], err = recordMark(marks[n]); err != nil {
			return err
		}
	}
	return m.Offsets.PutMarks(ctx, out)
}

// LoadMark returns the durable value of a mark.
func (m Marks) LoadMark(ctx context.Context, key string) (string, error) {
	of, err := recordKey(key)
	if err != nil {
		return "", err
	}
	value, err := m.Offsets.LoadMark(ctx, of)
	if err != nil || value == "" || isPosition(key) {
		return value, err
	}
	var s spoolMark
	if err := json.Unmarshal([]byte(value), &s); err != nil {
		return "", fmt.Errorf("read the mark %q: %w", key, err)
	}
	return s.Mark, nil
}

// DeleteMark forgets a mark.
func (m Marks) DeleteMark(ctx context.Context, key string) error {
	of, err := recordKey(key)
	if err != nil {
		return err
	}
	return m.Offsets.DeleteMark(ctx, of)
}

// MarkRecord is the record that makes a mark durable.
func (m Marks) MarkRecord(mark topic.Mark) (topic.Record, error) {
	of, err := recordMark(mark)
	if err != nil {
		return topic.Record{}, err
	}
	return m.Offsets.MarkRecord(of)
}

// MarksCommitted is told of marks whose records are committed.
func (m Marks) MarksCommitted(ctx context.Context, marks []topic.Mark) {
	out := make([]topic.Mark, 0, len(marks))
	for _, mark := range marks {
		if of, err := recordMark(mark); err == nil { // MarkRecord has made its record
			out = append(out, of)
		}
	}
	m.Offsets.MarksCommitted(ctx, out)
}
