// SPDX-License-Identifier: Apache-2.0

package local

import (
	"freshet/emitter/topic"
	"freshet/internal/failpoint"
	"freshet/internal/store"
)

// write is the writer goroutine: it alone changes what is in the store. It ends once the log is closed and its queue
// empty.
func (l *Log) write() {
	w := &writer{l: l, batch: l.db.NewBatch()}
	for {
		items, ok := l.take()
		if !ok {
			return
		}
		w.run(items)
		clear(items)
		l.mu.Lock()
		if l.spare == nil {
			l.spare = items[:0]
		}
		l.mu.Unlock()
	}
}

// take waits for queued items and takes all of them.
func (l *Log) take() (items []*item, ok bool) {
	for {
		l.mu.Lock()
		if len(l.queue) > 0 {
			items, l.queue, l.spare = l.queue, l.spare, nil
			l.mu.Unlock()
			return items, true
		}
		if l.closing {
			l.running = false
			l.mu.Unlock()
			return nil, false
		}
		l.mu.Unlock()
		<-l.wake
	}
}

// writer is the state of the writer goroutine.
type writer struct {
	l      *Log
	batch  *store.Batch
	prefix []byte // reused
}

// run does the items in order, as many in one batch as fit.
func (w *writer) run(items []*item) {
	for len(items) > 0 {
		n, size := 0, 0
		for n < len(items) && !items[n].reopen && (n == 0 || size+items[n].size <= store.MaxBatchBytes) {
			size += items[n].size
			n++
		}
		if n == 0 {
			items[0].done(w.reopen(items[0]))
			n = 1
		} else {
			w.commit(items[:n], size)
		}
		items = items[n:]
	}
}

// commit makes items durable in one synced batch and calls their done functions in order.
func (w *writer) commit(items []*item, size int) {
	w.batch.Reset()
	w.batch.Reserve(size)
	w.build(items)
	if !w.batch.Empty() {
		failpoint.Hit("log.append.before-commit")
		err := w.batch.Commit()
		if err != nil {
			w.fail(items, err)
		} else {
			failpoint.Hit("log.append.after-commit")
		}
		w.batch.Reset() // a large one is not kept until the next
	}
	w.publish(items)
	for _, it := range items {
		if it.cost > 0 {
			w.l.budget.Release(it.cost)
		}
		it.done(it.err)
	}
}

// build puts items into the batch. I1: a unit's mark is in the same batch as its records.
func (w *writer) build(items []*item) {
	l := w.l
	l.mu.Lock()
	fresh, nextID := l.fresh, l.nextID
	failed, epoch := l.failed, l.epoch
	abandon := l.abandon
	if failed == nil {
		l.fresh = nil
	}
	l.mu.Unlock()
	for _, it := range items {
		switch {
		case it.err != nil:
		case abandon:
			it.err = topic.ErrClosed
		case failed != nil:
			it.err = failed
		case it.epoch != 0 && it.epoch != epoch:
			it.err = errStale
		}
	}
	if failed != nil {
		return
	}
	for _, t := range fresh {
		w.batch.PutTopic(t.kept)
	}
	if len(fresh) > 0 {
		w.batch.PutNextPartition(nextID)
	}
	l.heads.putFresh(w.batch)
	for _, it := range items {
		if it.err == nil {
			w.put(it)
		}
		it.release()
	}
}

// put puts one item into the batch and gives its records their offsets.
func (w *writer) put(it *item) {
	if it.op != nil {
		it.err = it.op(w.batch)
		return
	}
	for _, c := range it.chunks {
		w.prefix = c.appendPrefix(w.prefix[:0])
		info := store.ChunkInfo{Base: c.part.next, Count: c.count, MaxMillis: c.newest}
		w.batch.PutChunk(c.part.id, info, w.prefix, c.stored(), c.large, c.after)
		c.part.next += c.count
		it.parts = append(it.parts, c.part)
	}
	if it.mark.Key != "" {
		w.batch.PutMark(it.mark.Key, it.mark.Value)
	}
}

// publish shows readers what has become durable.
func (w *writer) publish(items []*item) {
	wake := false
	for _, it := range items {
		if it.err != nil {
			continue
		}
		for _, p := range it.parts {
			p.end.Store(p.next)
			wake = true
		}
		if it.after != nil {
			it.after()
		}
	}
	if wake {
		w.l.wakeCursors()
	}
}

// fail ends all work until the log is reopened. I3: whatever is queued behind the failed batch fails too.
func (w *writer) fail(items []*item, err error) {
	for _, it := range items {
		if it.err == nil {
			it.err = err
		}
	}
	l := w.l
	l.mu.Lock()
	l.failed, l.lastErr = err, err
	l.wakeCursorsLocked()
	l.mu.Unlock()
	l.o.Log.Error("log failed: appends end until it is reopened", "err", err)
}

// reopen opens the store anew after a failure and reads what is durable.
func (w *writer) reopen(it *item) error {
	l := w.l
	if it.err != nil {
		return it.err
	}
	l.mu.Lock()
	failed := l.failed
	l.mu.Unlock()
	if failed == nil && l.db.Err() == nil {
		return nil // an earlier item did it
	}
	if failed == nil {
		w.fail(nil, l.db.Err())
	}
	if err := l.db.Reopen(); err != nil {
		return err
	}
	l.heads.forget()
	d, err := l.read()
	if err != nil {
		return err
	}
	l.install(d)
	l.mu.Lock()
	l.failed = nil
	l.epoch++
	l.mu.Unlock()
	l.wakeCursors()
	l.o.Log.Info("log reopened")
	return nil
}
