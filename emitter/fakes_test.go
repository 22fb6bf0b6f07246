// SPDX-License-Identifier: Apache-2.0

package emitter_test

import (
	"context"
	"io"
	"strconv"
	"sync"

	"freshet/change"
	"freshet/emitter"
	"freshet/emitter/topic"
	"freshet/schema"
)

// scriptReader yields n batches of size changes and then io.EOF, or an error, or nothing more.
type scriptReader struct {
	table   *schema.Table
	batches int
	size    int
	end     error // io.EOF, another error, or nil to block until ctx ends
	next    int
	// notices, if not nil, are those of a batch; alone says that it holds nothing else.
	notices func(batch int) (n []change.Notice, alone bool)

	mu        sync.Mutex
	committed []change.Position
}

func (r *scriptReader) Next(ctx context.Context, b *change.Batch) error {
	if r.next == r.batches {
		if r.end == nil {
			<-ctx.Done()
			return ctx.Err()
		}
		return r.end
	}
	if r.notices != nil {
		var alone bool
		if b.Notices, alone = r.notices(r.next); alone {
			r.next++
			return nil
		}
	}
	for i := range r.size {
		row := b.NewRow(1)
		b.Set(row, 0, change.IntValue(int64(r.next*r.size+i)))
		b.Changes = append(b.Changes, change.Change{Table: r.table, Op: change.Create, Key: row, After: row})
	}
	r.next++
	b.End = change.Position(strconv.Itoa(r.next))
	return nil
}

func (r *scriptReader) Commit(_ context.Context, p change.Position) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.committed = append(r.committed, p)
	return nil
}

func (r *scriptReader) Close(context.Context) error { return nil }

func (r *scriptReader) positions() []change.Position {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]change.Position(nil), r.committed...)
}

// fakeLog keeps units in memory. done is called by a goroutine of its own, in order, each time release lets one unit go
// (or at once where release is nil).
type fakeLog struct {
	release chan struct{}
	frees   bool // before done
	failAt  int  // the unit with this number and all after it fail; 0 for none
	err     error

	queue  chan func()
	closed sync.WaitGroup

	mu    sync.Mutex
	units []topic.Unit
}

func newFakeLog() *fakeLog {
	l := &fakeLog{queue: make(chan func(), 100)}
	l.closed.Go(func() {
		for f := range l.queue {
			if l.release != nil {
				<-l.release
			}
			f()
		}
	})
	return l
}

func (l *fakeLog) Append(_ context.Context, u topic.Unit, done func(error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range u.Records { // the log keeps no bytes after done
		u.Records[i].Key = topic.Data{Head: u.Records[i].Key.Head, Body: append([]byte(nil), u.Records[i].Key.Body...)}
	}
	l.units = append(l.units, topic.Unit{Records: append([]topic.Record(nil), u.Records...), Mark: u.Mark})
	if l.frees {
		u.Free()
	}
	n := len(l.units)
	l.queue <- func() {
		if l.failAt > 0 && n >= l.failAt {
			done(l.err)
			return
		}
		done(nil)
	}
}

func (l *fakeLog) Create(context.Context, ...topic.Spec) error      { return nil }
func (l *fakeLog) LoadMark(context.Context, string) (string, error) { return "", nil }
func (l *fakeLog) List(context.Context) ([]topic.Info, error)       { return nil, nil }
func (l *fakeLog) Subscribe(context.Context, topic.Subscription) (topic.Cursor, error) {
	return nil, io.EOF
}
func (l *fakeLog) Close(context.Context) error { close(l.queue); l.closed.Wait(); return nil }

func (l *fakeLog) appended() []topic.Unit {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]topic.Unit(nil), l.units...)
}

// plainFormat writes the first integer it finds.
type plainFormat struct{ fail func(n int64) error }

func (f plainFormat) Compile(*schema.Type) (emitter.Encoder, error) { return plainEncoder{f}, nil }

func (f plainFormat) CompileEnvelope(*emitter.Envelope) (emitter.EnvelopeEncoder, error) {
	return plainEncoder{f}, nil
}

type plainEncoder struct{ f plainFormat }

func (plainEncoder) Head() *topic.Head { return nil }

func (e plainEncoder) Append(dst []byte, b *change.Batch, v change.Value) ([]byte, bool, error) {
	if first := b.Elems(v)[0]; first.Kind() == change.Text {
		return append(dst, b.Bytes(first)...), true, nil
	}
	return strconv.AppendInt(dst, b.Elems(v)[0].Int(), 10), true, nil
}

func (e plainEncoder) AppendValue(dst []byte, b *change.Batch, c *change.Change, _ int64) ([]byte, error) {
	n := b.At(c.After, 0).Int()
	if e.f.fail != nil {
		if err := e.f.fail(n); err != nil {
			return dst, err
		}
	}
	return strconv.AppendInt(dst, n, 10), nil
}
