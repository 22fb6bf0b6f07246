// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"slices"
	"strconv"
	"strings"

	"freshet/emitter/topic"
)

// Spool is a queue of entries in the worker's log, a connector's own: for what a source has read and cannot emit yet, so
// that it need not stay at the database. Entries and the mark that comes with them become durable at once; they are kept
// until Delete. Append and Delete may be called by several goroutines, one after the other.
type Spool struct {
	log  topic.Log
	name string // of the topic, which is also the key of the mark
}

// NewSpool makes the spool of a connector; nil where the log cannot delete topics, for then a spool would stay for ever.
// Nothing is created before the first Append.
func NewSpool(log topic.Log, connector string) *Spool {
	if _, ok := log.(topic.Deleter); !ok {
		return nil
	}
	return &Spool{log: log, name: spoolTopic(connector)}
}

// spoolTopic is the name of the topic. Connectors may have names that topics cannot have: those get a name of their own.
func spoolTopic(connector string) string {
	const prefix, longest = "__freshet-spool.", 200
	safe := strings.Map(func(r rune) rune {
		if r < 0x80 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)) {
			return r
		}
		return '_'
	}, connector)
	if safe == connector && len(safe) <= longest {
		return prefix + safe
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(connector)) // never fails
	return prefix + safe[:min(len(safe), longest)] + "-" + strconv.FormatUint(h.Sum64(), 16)
}

// State is the mark and the number of entries that are durable; "" and 0 for an empty spool. Call it before the first
// Append: it is also how appending begins anew after an error.
func (s *Spool) State(ctx context.Context) (mark string, entries int64, err error) {
	if mark, err = s.log.LoadMark(ctx, s.name); err != nil {
		return "", 0, fmt.Errorf("read the spool: %w", err)
	}
	info, err := s.info(ctx)
	if err != nil || info == nil {
		return mark, 0, err
	}
	return mark, info.Partitions[0].End, nil
}

// info describes the topic, nil where there is none.
func (s *Spool) info(ctx context.Context) (*topic.Info, error) {
	topics, err := s.log.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the spool: %w", err)
	}
	i := slices.IndexFunc(topics, func(t topic.Info) bool { return t.Name == s.name })
	if i < 0 {
		return nil, nil
	}
	return &topics[i], nil
}

// Create makes the spool ready for Append.
func (s *Spool) Create(ctx context.Context) error {
	spec := topic.Spec{Name: s.name, Partitions: 1, RetentionTime: -1, RetentionBytes: -1}
	if err := s.log.Create(ctx, spec); err != nil {
		return fmt.Errorf("make the spool: %w", err)
	}
	return nil
}

// Append queues an entry and the mark behind it; without an entry (nil) the mark alone. done is called once both are
// durable, in the order of Append; the entry is the log's until then. It blocks while the log is over its budget.
func (s *Spool) Append(ctx context.Context, entry []byte, mark string, done func(error)) {
	u := topic.Unit{Mark: topic.Mark{Key: s.name, Value: mark}}
	if entry != nil {
		u.Records = []topic.Record{{Topic: s.name, Value: topic.Data{Body: entry}}}
	}
	s.log.Append(ctx, u, done)
}

// Delete deletes all entries, and the mark before them: a spool without a mark holds nothing that anybody relies on.
func (s *Spool) Delete(ctx context.Context) error {
	d := s.log.(topic.Deleter)
	if err := d.DeleteMark(ctx, s.name); err != nil {
		return fmt.Errorf("delete the spool: %w", err)
	}
	info, err := s.info(ctx)
	if err != nil || info == nil {
		return err
	}
	if err := d.DeleteTopic(ctx, s.name); err != nil {
		return fmt.Errorf("delete the spool: %w", err)
	}
	return nil
}

// Read reads the first n entries, which must be durable.
func (s *Spool) Read(ctx context.Context, n int64) (*SpoolReader, error) {
	r := &SpoolReader{left: n}
	if n == 0 {
		return r, nil
	}
	var err error
	if r.cursor, err = s.log.Subscribe(ctx, topic.Subscription{Topics: []string{s.name}}); err != nil {
		return nil, fmt.Errorf("read the spool: %w", err)
	}
	return r, nil
}

// SpoolReader reads entries in order. Not safe for concurrent use.
type SpoolReader struct {
	cursor topic.Cursor
	polled []topic.Record
	left   int64
}

// Next returns the next entry, valid until the next call; io.EOF behind the last one.
func (r *SpoolReader) Next(ctx context.Context) ([]byte, error) {
	const entries = 16
	if r.left == 0 {
		return nil, io.EOF
	}
	if len(r.polled) == 0 {
		var err error
		if r.polled, err = r.cursor.Poll(ctx, entries); err != nil {
			return nil, fmt.Errorf("read the spool: %w", err)
		}
	}
	entry := r.polled[0].Value.Bytes()
	r.polled = r.polled[1:]
	r.left--
	return entry, nil
}

// Close ends reading. Nothing is deleted.
func (r *SpoolReader) Close(ctx context.Context) error {
	if r.cursor == nil {
		return nil
	}
	return r.cursor.Close(ctx)
}
