// SPDX-License-Identifier: Apache-2.0

package local

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/emitter/topic"
	"freshet/internal/store/storetest"
)

// model is what a log should hold: simple lists.
type model struct {
	units  []modelUnit // in the order of Append
	acked  int         // units known to be durable
	values map[topic.Partition][]string
	start  map[topic.Partition]int64
	starts map[topic.Partition][]int64 // that retention has ever made
	groups map[string]map[topic.Partition]int64
}

type modelUnit struct {
	parts  []topic.Partition
	values []string
}

// sim runs random operations against a log and its model.
type sim struct {
	t       *testing.T
	rng     *rand.Rand
	fs      *storetest.FS
	l       *Log
	m       model
	cursors map[string]*modelCursor // by group, one member each
	trace   []string
}

// modelCursor is a cursor and where it should be.
type modelCursor struct {
	c     topic.Cursor
	pos   map[topic.Partition]int64 // after the last Poll
	saved map[topic.Partition]int64 // at the last Commit
	seeks map[topic.Partition]int64 // for the next Poll
}

// TestModel runs random operations: appends, polls, commits, seeks, retention, failures of the disk, power failures. Set
// FRESHET_SEED to repeat a run.
func TestModel(t *testing.T) {
	seed := rand.Uint64()
	if s := os.Getenv("FRESHET_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	runs := 15
	if testing.Short() {
		runs = 5
	}
	for i := range runs {
		run := seed + uint64(i)
		t.Run(fmt.Sprint("seed=", run), func(t *testing.T) {
			s := &sim{t: t, rng: rand.New(rand.NewPCG(run, 3)), fs: storetest.New(), cursors: make(map[string]*modelCursor)}
			s.m = model{
				values: make(map[topic.Partition][]string), start: make(map[topic.Partition]int64),
				starts: make(map[topic.Partition][]int64), groups: map[string]map[topic.Partition]int64{},
			}
			defer func() {
				if t.Failed() {
					t.Logf("FRESHET_SEED=%d; operations:\n%s", run, strings.Join(s.trace, "\n"))
				}
			}()
			s.open()
			for range 150 {
				s.step()
			}
			s.check()
		})
	}
}

func (s *sim) note(format string, args ...any) {
	s.trace = append(s.trace, fmt.Sprintf(format, args...))
}

func (s *sim) open() {
	s.l = openOn(s.t, s.fs, Options{PollBytes: 1 << 10})
	require.NoError(s.t, s.l.Create(context.Background(), topic.Spec{Name: "a", Partitions: 3}, topic.Spec{Name: "b"}))
	for _, p := range modelParts {
		s.m.values[p] = append(s.m.values[p], "")[:len(s.m.values[p])]
	}
}

var modelParts = []topic.Partition{{Topic: "a"}, {Topic: "a", Partition: 1}, {Topic: "a", Partition: 2}, {Topic: "b"}}

func (s *sim) step() {
	switch n := s.rng.IntN(100); {
	case n < 40:
		s.append(1 + s.rng.IntN(5))
	case n < 65:
		s.poll()
	case n < 75:
		s.commit()
	case n < 80:
		s.seek()
	case n < 84:
		s.leave()
	case n < 88:
		s.retain()
	case n < 92:
		s.diskFails()
	case n < 95:
		s.powerFails()
	case n < 97:
		s.restart()
	default:
		s.check()
	}
}

// unit makes up a unit.
func (s *sim) unit() modelUnit {
	var u modelUnit
	for i := range s.rng.IntN(8) {
		u.parts = append(u.parts, modelParts[s.rng.IntN(len(modelParts))])
		size := s.rng.IntN(50)
		if s.rng.IntN(30) == 0 {
			size = 200_000
		}
		u.values = append(u.values, fmt.Sprintf("%d/%d:%s", len(s.m.units), i, strings.Repeat("x", size)))
	}
	return u
}

// append appends units without waiting in between and returns how many were acknowledged.
func (s *sim) append(n int) {
	s.note("append %d units", n)
	before := len(s.m.units)
	acked := before
	var wg sync.WaitGroup
	for range n {
		u := s.unit()
		s.m.units = append(s.m.units, u)
		var records []topic.Record
		for i, v := range u.values {
			records = append(records, topic.Record{
				Topic: u.parts[i].Topic, Partition: u.parts[i].Partition, Value: topic.Data{Body: []byte(v)},
				TimeMillis: day0.UnixMilli() + int64(len(s.m.units)),
			})
		}
		wg.Add(1)
		number := len(s.m.units)
		s.l.Append(context.Background(), topic.Unit{Records: records, Mark: markOf(number)}, func(err error) {
			defer wg.Done()
			if err == nil {
				if acked != number-1 {
					s.t.Errorf("I3: unit %d was acknowledged after %d", number, acked)
				}
				acked = number
			}
		})
	}
	wg.Wait()
	for _, u := range s.m.units[before:acked] {
		s.apply(u)
	}
	s.m.acked = acked
	if acked < len(s.m.units) {
		s.recover()
	}
}

func (s *sim) apply(u modelUnit) {
	for i, p := range u.parts {
		s.m.values[p] = append(s.m.values[p], u.values[i])
	}
}

// recover begins again as a source does: at the mark. Units that were not acknowledged are there or not, from the first
// on (I3); the others are forgotten by the model too.
func (s *sim) recover() {
	have := durableUnits(s.t, s.l)
	s.note("recover: %d units acknowledged, %d there, %d appended", s.m.acked, have, len(s.m.units))
	require.GreaterOrEqual(s.t, have, s.m.acked)
	require.LessOrEqual(s.t, have, len(s.m.units))
	for _, u := range s.m.units[s.m.acked:have] {
		s.apply(u)
	}
	s.m.units, s.m.acked = s.m.units[:have], have
	s.check()
}

// cursor is the member of a random group.
func (s *sim) cursor() (string, *modelCursor) {
	name := []string{"g", "h"}[s.rng.IntN(2)]
	if c := s.cursors[name]; c != nil {
		return name, c
	}
	s.note("subscribe %s", name)
	c, err := s.l.Subscribe(context.Background(), topic.Subscription{Group: name, Topics: []string{"a", "b"}})
	require.NoError(s.t, err)
	mc := &modelCursor{
		c: c, pos: map[topic.Partition]int64{}, saved: map[topic.Partition]int64{},
		seeks: map[topic.Partition]int64{},
	}
	for _, p := range modelParts {
		at, ok := s.m.groups[name][p]
		if !ok {
			at = s.m.start[p]
		}
		mc.pos[p], mc.saved[p] = at, at
	}
	s.cursors[name] = mc
	return name, mc
}

func (s *sim) poll() {
	name, c := s.cursor()
	limit := 1 + s.rng.IntN(20)
	maps.Copy(c.pos, c.seeks)
	clear(c.seeks)
	available := 0
	for _, p := range modelParts {
		available += len(s.m.values[p]) - int(max(c.pos[p], s.m.start[p]))
	}
	s.note("poll %s at most %d of %d", name, limit, available)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if available == 0 {
		time.AfterFunc(time.Millisecond, cancel)
	}
	rs, err := c.c.Poll(ctx, limit)
	if available == 0 && err != nil { // loaded records that retention has taken may come all the same
		require.ErrorIs(s.t, err, context.Canceled)
		return
	}
	require.NoError(s.t, err)
	require.NotEmpty(s.t, rs)
	require.LessOrEqual(s.t, len(rs), limit)
	for _, r := range rs {
		p := topic.Partition{Topic: r.Topic, Partition: r.Partition}
		want := c.pos[p]
		if r.Offset != want {
			want = max(want, s.m.start[p]) // retention may have taken records; loaded ones may come all the same
		}
		require.Equal(s.t, want, r.Offset, "%v", p)
		s.requireValue(p, r)
		c.pos[p] = r.Offset + 1
	}
}

// requireValue wants the value that was appended. It is quick, because it is called for all records at each check.
func (s *sim) requireValue(p topic.Partition, r topic.Record) {
	if want := s.m.values[p][r.Offset]; want != string(r.Value.Body) {
		require.Equal(s.t, want, string(r.Value.Body), "%v at %d", p, r.Offset)
	}
}

func (s *sim) commit() {
	name, c := s.cursor()
	s.note("commit %s", name)
	require.NoError(s.t, c.c.Commit(context.Background()))
	if s.m.groups[name] == nil {
		s.m.groups[name] = make(map[topic.Partition]int64)
	}
	for _, p := range modelParts {
		at, err := c.c.Committed(context.Background(), p)
		require.NoError(s.t, err)
		old, ok := s.m.groups[name][p]
		switch {
		// Brought there by a Poll, because retention had taken what was before. That start counts, and not today's: a commit says
		// what was polled, and the next Poll finds a later start by itself.
		case at > c.pos[p] && slices.Contains(s.m.starts[p], at):
		case c.pos[p] != c.saved[p]:
			require.Equal(s.t, c.pos[p], at, "%v", p)
		case ok:
			require.Equal(s.t, old, at, "%v: there was nothing to commit", p)
		default:
			require.EqualValues(s.t, -1, at, "%v: there was nothing to commit", p)
		}
		if at >= 0 {
			s.m.groups[name][p] = at
			c.pos[p], c.saved[p] = at, at
		}
	}
}

func (s *sim) seek() {
	name, c := s.cursor()
	p := modelParts[s.rng.IntN(len(modelParts))]
	at := s.m.start[p] + s.rng.Int64N(int64(len(s.m.values[p]))-s.m.start[p]+1)
	s.note("seek %s %v to %d", name, p, at)
	c.c.Seek(p, at)
	c.seeks[p] = at
}

func (s *sim) leave() {
	name, c := s.cursor()
	s.note("close %s", name)
	require.NoError(s.t, c.c.Close(context.Background()))
	delete(s.cursors, name)
}

func (s *sim) retain() {
	p := s.rng.IntN(len(s.m.units) + 1)
	now := day0.Add(7*24*time.Hour + time.Duration(p)*time.Millisecond)
	s.note("retain units after %d", p)
	require.NoError(s.t, s.l.Retain(context.Background(), now))
	infos, err := s.l.List(context.Background())
	require.NoError(s.t, err)
	for _, i := range infos {
		for n, r := range i.Partitions {
			part := topic.Partition{Topic: i.Name, Partition: int32(n)}
			require.GreaterOrEqual(s.t, r.Start, s.m.start[part])
			// What went is old, what stays begins with something young, or with nothing.
			for _, v := range s.m.values[part][s.m.start[part]:r.Start] {
				require.Less(s.t, unitNumber(v), p)
			}
			if r.Start < r.End {
				require.GreaterOrEqual(s.t, unitNumber(s.m.values[part][r.Start]), p-1)
			}
			s.m.start[part], s.m.starts[part] = r.Start, append(s.m.starts[part], r.Start)
		}
	}
}

// unitNumber is the number of the unit that a value came with.
func unitNumber(v string) int {
	n, _ := strconv.Atoi(v[:strings.IndexByte(v, '/')])
	return n
}

func (s *sim) diskFails() {
	at := 1 + s.rng.Int64N(6)
	s.note("write %d fails", at)
	s.fs.FailAt(at, false, []error{syscall.ENOSPC, syscall.EIO}[s.rng.IntN(2)])
	s.append(1 + s.rng.IntN(4))
	s.append(1 + s.rng.IntN(4))
	s.fs.FailAt(0, false, nil)
	if s.l.db.Err() != nil {
		s.recover()
	}
}

// powerFails goes on with what the disk has.
func (s *sim) powerFails() {
	percent := s.rng.IntN(101)
	s.note("power fails, %d %% of the unsynced survive", percent)
	crashed := s.fs.Crash(percent, s.rng)
	s.closeAll()
	s.fs = crashed
	s.open()
	s.recover()
}

func (s *sim) restart() {
	s.note("restart")
	s.closeAll()
	s.open()
	s.recover()
}

func (s *sim) closeAll() {
	for name, c := range s.cursors {
		require.NoError(s.t, c.c.Close(context.Background()))
		delete(s.cursors, name)
	}
	require.NoError(s.t, s.l.Close(context.Background()))
	require.NoError(s.t, s.l.db.Close())
}

// check compares everything.
func (s *sim) check() {
	infos, err := s.l.List(context.Background())
	require.NoError(s.t, err)
	for _, i := range infos {
		for n, r := range i.Partitions {
			p := topic.Partition{Topic: i.Name, Partition: int32(n)}
			require.Equal(s.t, topic.Range{Start: s.m.start[p], End: int64(len(s.m.values[p]))}, r, "%v", p)
			for at := r.Start; at < r.End; {
				rs, err := s.l.ReadFrom(context.Background(), p, at, 50)
				require.NoError(s.t, err)
				require.NotEmpty(s.t, rs)
				for _, rec := range rs {
					require.Equal(s.t, at, rec.Offset)
					s.requireValue(p, rec)
					at++
				}
			}
		}
	}
	groups, err := s.l.Groups(context.Background())
	require.NoError(s.t, err)
	for name, want := range s.m.groups {
		if len(want) > 0 {
			require.Equal(s.t, want, groups[name])
		}
	}
}
