// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"time"

	"freshet/internal/store"
)

// tidy keeps to retention until ctx ends: at once, and then at every interval.
func (l *Log) tidy(ctx context.Context) {
	tick := time.NewTicker(l.o.RetentionInterval)
	defer tick.Stop()
	for {
		// While the log is failed nothing can be deleted; the failure itself is told elsewhere.
		if err := l.Retain(ctx, l.o.Now()); err != nil && ctx.Err() == nil && l.db.Err() == nil {
			l.o.Log.Warn("old records could not be deleted", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Retain deletes what retention says may go at the time now: whole chunks, from the start of a partition, whose newest
// record is older than retention.ms or that are not needed to keep retention.bytes. As in Kafka it does not matter
// whether a group has read them; a group that has not is named in a warning.
func (l *Log) Retain(ctx context.Context, now time.Time) error {
	l.mu.Lock()
	topics := l.sortedLocked()
	l.mu.Unlock()
	for _, t := range topics {
		for _, p := range t.parts {
			if err := ctx.Err(); err != nil {
				return err
			}
			to, err := l.retained(p, now)
			if err != nil {
				return err
			}
			if to <= p.start.Load() {
				continue
			}
			l.warnUnread(p, to)
			if err := l.do(ctx, l.cut(p, to)); err != nil {
				return err
			}
		}
	}
	return nil
}

// retained is the first offset of a partition that retention keeps.
func (l *Log) retained(p *partition, now time.Time) (int64, error) {
	to := p.start.Load()
	if limit, ok := p.topic.retention(); ok {
		oldest := now.Add(-limit).UnixMilli()
		err := l.db.ChunkInfos(p.id, to, func(c store.ChunkInfo) bool {
			if c.MaxMillis >= oldest || c.Base >= p.end.Load() {
				return false
			}
			to = c.Base + c.Count
			return true
		})
		if err != nil {
			return 0, err
		}
	}
	keep := p.topic.kept.RetentionBytes
	if keep < 0 {
		return to, nil
	}
	var total int64
	if err := l.db.ChunkInfos(p.id, to, func(c store.ChunkInfo) bool { total += c.Bytes; return true }); err != nil {
		return 0, err
	}
	err := l.db.ChunkInfos(p.id, to, func(c store.ChunkInfo) bool {
		if total -= c.Bytes; total < keep || c.Base >= p.end.Load() {
			return false
		}
		to = c.Base + c.Count
		return true
	})
	return to, err
}

// cut is the item that deletes the records of a partition below an offset, which is where a chunk begins.
func (l *Log) cut(p *partition, to int64) *item {
	return &item{
		op: func(b *store.Batch) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			if !p.topic.deleted {
				p.cut.Store(max(p.cut.Load(), to)) // before it can be seen that they are gone
				b.DeleteChunks(p.id, to)
			}
			return nil
		},
		after: func() {
			l.o.Log.Info("old records deleted", "topic", p.topic.name, "partition", p.number,
				"records", to-p.start.Load(), "start", to)
			p.start.Store(max(p.start.Load(), to))
		},
	}
}

// warnUnread names the groups that lose records.
func (l *Log) warnUnread(p *partition, to int64) {
	l.mu.Lock()
	unread := make(map[string]int64)
	for name, g := range l.groups {
		if at, ok := g.committed[p.id]; ok && at < to {
			unread[name] = to - max(at, p.start.Load())
		}
	}
	l.mu.Unlock()
	for name, n := range unread {
		l.o.Log.Warn("retention deletes records that a group has not read", "group", name, "topic", p.topic.name,
			"partition", p.number, "records", n)
	}
}
