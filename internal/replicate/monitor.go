// SPDX-License-Identifier: Apache-2.0

package replicate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"

	"freshet/connect"
	"freshet/emitter/topic"
	"freshet/internal/worker"
)

// monitor watches the two connectors. It belongs to one goroutine.
type monitor struct {
	o      Options
	from   endpoint
	source *pgx.Conn // closed where a query was interrupted
	goal   string    // position of the source at the start
	show   display
	since  time.Time // when the target was last equal
	first  int64     // records the target had before; -1 until known
}

// watch looks at the connectors until ctx ends, one has failed, or the goal is reached with Once. What cannot be read because
// ctx has ended is no failure.
func (m *monitor) watch(ctx context.Context, r worker.Running) error {
	err := m.look(ctx, r)
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

func (m *monitor) look(ctx context.Context, r worker.Running) error {
	goal, err := pglogrepl.ParseLSN(m.goal)
	if err != nil {
		return fmt.Errorf("read the source's position %q: %w", m.goal, err)
	}
	m.since, m.first = time.Now(), -1
	every := 200 * time.Millisecond
	if m.o.Once {
		every = 20 * time.Millisecond
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var end pglogrepl.LSN
	var asked time.Time
	for {
		if err := failed(ctx, r.Herder); err != nil {
			return err
		}
		if time.Since(asked) > time.Second {
			asked = time.Now()
			if end, err = m.logEnd(ctx); err != nil && ctx.Err() == nil {
				m.o.Log.Warn("ask the source for its position", "error", err.Error())
			}
		}
		at, complete, err := sourcePosition(ctx, r.Herder)
		if err != nil {
			return err
		}
		l, err := m.lag(ctx, r, at, end)
		if err != nil {
			return err
		}
		m.show.status(l)
		if m.o.Once && complete && at >= goal && l.records == 0 {
			m.o.Log.Info("the target has what the source had at the start", "position", m.goal, "applied", l.applied)
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func (m *monitor) logEnd(ctx context.Context) (pglogrepl.LSN, error) {
	var s string
	if err := m.source.QueryRow(ctx, "select pg_current_wal_lsn()::text").Scan(&s); err != nil {
		return 0, err
	}
	return pglogrepl.ParseLSN(s)
}

// failed returns the error of a task that has failed for good.
func failed(ctx context.Context, h connect.Herder) error {
	for _, name := range []string{sourceName, sinkName} {
		s, err := h.Status(ctx, name)
		if err != nil {
			return err
		}
		for _, t := range s.Tasks {
			if t.State == connect.Failed {
				return errors.New(name + ": " + causeOf(t.Trace))
			}
		}
		if s.Connector.State == connect.Failed {
			return errors.New(name + ": " + causeOf(s.Connector.Trace))
		}
	}
	return nil
}

// causeOf is the part of a trace that says what happened, without the Java class before it.
func causeOf(trace string) string {
	lines := strings.Split(strings.TrimSpace(trace), "\n")
	cause := lines[0]
	for _, l := range lines {
		if rest, ok := strings.CutPrefix(l, "Caused by: "); ok {
			cause = rest
		}
	}
	if class, rest, ok := strings.Cut(cause, ": "); ok && strings.Contains(class, ".") && !strings.Contains(class, " ") {
		return rest
	}
	return cause
}

// sourcePosition is what the log has of the source, and whether the snapshot is complete.
func sourcePosition(ctx context.Context, h connect.Herder) (at pglogrepl.LSN, complete bool, err error) {
	offsets, err := h.Offsets(ctx, sourceName)
	if err != nil || len(offsets) == 0 {
		return 0, false, err
	}
	var o struct {
		LSN       uint64 `json:"lsn"`
		Snapshot  string `json:"snapshot"`
		Completed bool   `json:"snapshot_completed"`
	}
	if err := json.Unmarshal([]byte(offsets[0].Offset), &o); err != nil {
		return 0, false, fmt.Errorf("read the source's offset: %w", err)
	}
	return pglogrepl.LSN(o.LSN), o.Snapshot == "" || o.Completed, nil
}

// lag compares the topics with what the sink has committed.
func (m *monitor) lag(ctx context.Context, r worker.Running, at, end pglogrepl.LSN) (lag, error) {
	l := lag{unread: -1}
	if at > 0 {
		l.unread = max(int64(end)-int64(at), 0)
	}
	infos, err := r.Topics.List(ctx)
	if err != nil {
		return l, fmt.Errorf("list the topics: %w", err)
	}
	offsets, err := r.Herder.Offsets(ctx, sinkName)
	if err != nil {
		return l, fmt.Errorf("read the sink's offsets: %w", err)
	}
	var applied int64
	done := map[topic.Partition]int64{}
	for _, o := range offsets {
		var p struct {
			Topic     string `json:"kafka_topic"`
			Partition int32  `json:"kafka_partition"`
		}
		var n struct {
			Offset int64 `json:"kafka_offset"`
		}
		if err := errors.Join(json.Unmarshal([]byte(o.Partition), &p), json.Unmarshal([]byte(o.Offset), &n)); err != nil {
			return l, fmt.Errorf("read the sink's offset: %w", err)
		}
		done[topic.Partition{Topic: p.Topic, Partition: p.Partition}] = n.Offset
		applied += n.Offset
	}
	for _, i := range infos {
		for n, p := range i.Partitions {
			if strings.HasPrefix(i.Name, prefix+".") {
				l.records += p.End - done[topic.Partition{Topic: i.Name, Partition: int32(n)}]
			}
		}
	}
	if m.first < 0 {
		m.first = applied
	}
	l.applied = applied - m.first
	if l.caughtUp() {
		m.since = time.Now()
	}
	l.age = time.Since(m.since)
	return l, nil
}
