// SPDX-License-Identifier: Apache-2.0

package file

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"freshet/capture"
	"freshet/change"
	"freshet/schema"
)

// source is where text comes from.
type source interface {
	// read waits until there is more, and appends it to dst.
	read(ctx context.Context, dst []byte) ([]byte, error)
	open() bool
	close() error
}

// reader yields whole lines.
type reader struct {
	source source
	table  *schema.Table // names the topic
	limit  int           // lines of a batch

	buf      []byte // what was read and not handed out
	searched int    // bytes of buf that hold no end of a line
	at       int64  // bytes of the source before buf
	position string // "" where positions are not counted
	asked    atomic.Bool
}

var (
	_ capture.Reader   = (*reader)(nil)
	_ capture.Observer = (*reader)(nil)
)

func newReader(topic string, limit int, at int64) *reader {
	return &reader{
		table: &schema.Table{
			ID:      schema.ID{Name: topic},
			Columns: []schema.Column{{Name: "line", Type: &schema.Type{Kind: schema.String}}},
		},
		limit: limit, at: at, position: "position",
	}
}

// Next waits for the end of a line. What comes after the last one waits for its own.
func (r *reader) Next(ctx context.Context, b *change.Batch) error {
	for {
		for len(b.Changes) < r.limit && r.line(b) {
		}
		if len(b.Changes) > 0 {
			b.End = change.Position(`{"position":null}`)
			if r.position != "" {
				b.End = change.Position(`{"position":` + strconv.FormatInt(r.at, 10) + `}`)
			}
			return nil
		}
		var err error
		r.asked.Store(true)
		r.buf, err = r.source.read(ctx, r.buf)
		r.asked.Store(false)
		if err != nil {
			return err
		}
	}
}

// line takes a line from the buffer. It ends in \n, \r\n or \r; a \r that is the last byte so far waits for the next one.
func (r *reader) line(b *change.Batch) bool {
	n := bytes.IndexAny(r.buf[r.searched:], "\r\n")
	if n < 0 {
		r.searched = len(r.buf)
		return false
	}
	n += r.searched
	end := n + 1
	if r.buf[n] == '\r' {
		if end == len(r.buf) {
			r.searched = n
			return false
		}
		if r.buf[end] == '\n' {
			end++
		}
	}
	row := b.NewRow(1)
	b.Set(row, 0, text(b, r.buf[:n]))
	b.Changes = append(b.Changes, change.Change{Table: r.table, Op: change.Plain, After: row, SourceMicros: time.Now().UnixMicro()})
	r.buf, r.searched = r.buf[end:], 0
	r.at += int64(end)
	return true
}

// text is a line, with U+FFFD for what is not UTF-8.
func text(b *change.Batch, line []byte) change.Value {
	if utf8.Valid(line) {
		return b.TextOf(line)
	}
	return b.Text(string([]rune(string(line))))
}

// Commit has nobody to tell.
func (*reader) Commit(context.Context, change.Position) error { return nil }

// Close closes the file.
func (r *reader) Close(context.Context) error {
	if err := r.source.close(); err != nil {
		return fmt.Errorf("close the file: %w", err)
	}
	return nil
}

// Observe tells whether the file is open.
func (r *reader) Observe() capture.Observation {
	return capture.Observation{Phase: "streaming", Connected: r.source.open(), Asked: r.asked.Load(), Unread: -1, Undurable: -1}
}
