// SPDX-License-Identifier: Apache-2.0

package topicio

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"sync"

	"freshet/emitter/topic"
)

const (
	// MaxLine is the longest line that Produce reads.
	MaxLine = 256 << 20

	recordsAUnit = 500
	bytesAUnit   = 4 << 20
)

// LineError is a line that is no record. The lines before it are in the topic.
type LineError struct {
	Line int // counted from 1
	Err  error
}

// Error names the line.
func (e *LineError) Error() string { return fmt.Sprintf("line %d: %v", e.Line, e.Err) }

// Unwrap is the cause.
func (e *LineError) Unwrap() error { return e.Err }

// Produce appends a record to the topic for each line of in, and returns how many are durable there. Empty lines are
// passed over.
func Produce(ctx context.Context, log topic.Log, name string, in io.Reader) (int, error) {
	partitions, err := partitionsOf(ctx, log, name)
	if err != nil {
		return 0, err
	}
	p := &producer{log: log, topic: name, partitions: partitions}
	err = p.read(ctx, in)
	p.flush(ctx)
	p.pending.Wait()
	return p.durable, errors.Join(p.err, err)
}

// producer collects units of records. done callbacks change durable and err.
type producer struct {
	log        topic.Log
	topic      string
	partitions int32
	unit       []topic.Record
	size       int
	pending    sync.WaitGroup

	mu      sync.Mutex // guards durable and err
	durable int
	err     error
}

func (p *producer) read(ctx context.Context, in io.Reader) error {
	s := bufio.NewScanner(in)
	s.Buffer(make([]byte, 64<<10), MaxLine)
	for n := 1; s.Scan(); n++ {
		text := bytes.TrimSpace(s.Bytes())
		if len(text) == 0 {
			continue
		}
		r, err := ParseLine(text)
		if err == nil && r.Partition >= p.partitions {
			err = fmt.Errorf("partition %d: topic %q has %d partition(s), counted from 0", r.Partition, p.topic, p.partitions)
		}
		if err != nil {
			return &LineError{n, err}
		}
		r.Topic = p.topic
		p.unit = append(p.unit, r)
		if p.size += len(text); len(p.unit) >= recordsAUnit || p.size >= bytesAUnit {
			p.flush(ctx)
		}
		if err := p.failure(); err != nil {
			return nil //nolint:nilerr // Produce returns it
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if err := s.Err(); err != nil {
		return fmt.Errorf("read records: %w", err)
	}
	return nil
}

func (p *producer) flush(ctx context.Context) {
	if len(p.unit) == 0 {
		return
	}
	n := len(p.unit)
	p.pending.Add(1)
	p.log.Append(ctx, topic.Unit{Records: p.unit}, func(err error) {
		defer p.pending.Done()
		p.mu.Lock()
		defer p.mu.Unlock()
		if err == nil {
			p.durable += n
		} else if p.err == nil {
			p.err = fmt.Errorf("append to topic %q: %w", p.topic, err)
		}
	})
	p.unit, p.size = nil, 0 // the unit is the log's until done
}

func (p *producer) failure() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// ErrBadName is in the error of a name that no topic can have.
var ErrBadName = errors.New("not a name for a topic")

var validName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// partitionsOf is the number of partitions of a topic, which is made if it does not exist.
func partitionsOf(ctx context.Context, log topic.Log, name string) (int32, error) {
	if !validName.MatchString(name) || name == "." || name == ".." {
		return 0, fmt.Errorf("topic %q: %w: use up to 249 letters, digits, dots, underscores and hyphens", name, ErrBadName)
	}
	if err := log.Create(ctx, topic.Spec{Name: name}); err != nil {
		return 0, fmt.Errorf("create topic %q: %w", name, err)
	}
	infos, err := log.List(ctx)
	if err != nil {
		return 0, fmt.Errorf("list topics: %w", err)
	}
	at := slices.IndexFunc(infos, func(i topic.Info) bool { return i.Name == name })
	if at < 0 {
		return 0, fmt.Errorf("topic %q: %w", name, ErrNoTopic)
	}
	return int32(len(infos[at].Partitions)), nil
}
