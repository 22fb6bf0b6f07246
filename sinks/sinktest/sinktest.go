// SPDX-License-Identifier: Apache-2.0

// Package sinktest is the conformance suite that every sinks.Writer must pass, with a Log in memory and a Writer in
// memory for tests of what stands around writers.
//
// The suite writes random histories of a table (id int64 key, v text) in random batches, breaks the connection at the
// commit, replays tails, and compares the target with a model. Its seeds are printed; SINKTEST_SEED repeats one.
package sinktest

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/emitter/topic"
	"freshet/internal/failpoint"
	"freshet/sinks"
)

// Target is an implementation under test, with an empty table.
type Target struct {
	// Open opens a writer that upserts by record key and applies deletes. It is called again for each restart; the
	// writer before is closed, or was abandoned as a crash would.
	Open func(t testing.TB) sinks.Writer
	// Rows are the target's rows, id → v. A null is "<null>".
	Rows func(t testing.TB) map[int64]string
	// Break breaks the connection of the writer that is open, as the loss of the target would.
	Break func()
	// Poison is a v that the target refuses for a reason of its own, such as being too long.
	Poison string
	// InParts says that a batch may be several transactions, at the same time: the tests that break one in the middle are then
	// the target's own.
	InParts bool
	// KeepsOffsets says that the writer is a Positioner whose target keeps them.
	KeepsOffsets bool
}

// Null is how Rows shows a null.
const Null = "<null>"

// Run runs the suite. newTarget is called for each test.
func Run(t *testing.T, newTarget func(t *testing.T) Target) {
	t.Helper()
	for _, c := range []struct {
		name  string
		holds func(target Target) bool // nil for every one
		test  func(t *testing.T, target Target)
	}{
		{"applies histories in order", nil, testHistories},
		{"applying a tail again changes nothing", nil, testReplays},
		{"names the record that is refused", nil, testRowError},
		{"survives a break before the commit", isWhole, testBreakBeforeCommit},
		{"survives a crash after the commit", isWhole, testCrashAfterCommit},
		{"keeps offsets with the rows", keepsOffsets, testPositions},
		{"ends with its context", nil, testCancel},
		{"accepts an empty batch", nil, testEmpty},
	} {
		t.Run(c.name, func(t *testing.T) {
			if target := newTarget(t); c.holds == nil || c.holds(target) {
				c.test(t, target)
			}
		})
	}
}

// isWhole says that a batch is one transaction.
func isWhole(target Target) bool { return !target.InParts }

func keepsOffsets(target Target) bool { return target.KeepsOffsets }

// seeded is a random source whose seed is printed.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SINKTEST_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("SINKTEST_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// write writes events in batches of random size, all of them from the given one on.
func write(t *testing.T, w sinks.Writer, r *rand.Rand, h History, from int) {
	t.Helper()
	for from < len(h) {
		n := 1 + r.IntN(len(h)-from)
		require.NoError(t, w.Write(t.Context(), h.Batch(from, from+n)))
		from += n
	}
}

func testHistories(t *testing.T, target Target) {
	r := seeded(t)
	h := RandomHistory(r, 2000, 300)
	w := target.Open(t)
	write(t, w, r, h, 0)
	require.Equal(t, h.Rows(len(h)), target.Rows(t))
	require.NoError(t, w.Close(t.Context()))
}

// testReplays is I8.
func testReplays(t *testing.T, target Target) {
	r := seeded(t)
	h := RandomHistory(r, 800, 150)
	w := target.Open(t)
	write(t, w, r, h, 0)
	want := h.Rows(len(h))
	for range 5 {
		write(t, w, r, h, r.IntN(len(h))) // a replay always runs to the end of what was read
		require.Equal(t, want, target.Rows(t))
	}
	require.NoError(t, w.Close(t.Context()))
}

func testRowError(t *testing.T, target Target) {
	r := seeded(t)
	h := RandomHistory(r, 600, 150)
	bad := r.IntN(len(h))
	for h[bad].Op == change.Create { // an update that lacks v, and now its row too, would add one that the model does not have
		bad = r.IntN(len(h))
	}
	h[bad] = Event{Op: change.Create, ID: int64(1000 + bad), V: target.Poison}
	w := target.Open(t)
	b := h.Batch(0, len(h))
	err := w.Write(t.Context(), b)
	var refused *sinks.RowError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, bad, refused.Index, "the first record that is refused: %v", err)
	require.LessOrEqual(t, refused.Applied, refused.Index)
	require.Equal(t, Topic, refused.Topic)
	require.Equal(t, int64(bad), refused.Offset)
	require.Contains(t, refused.Key, strconv.Itoa(1000+bad))
	require.False(t, refused.Retriable())
	if !target.InParts {
		require.Equal(t, h.Rows(refused.Applied), target.Rows(t), "what is said to be applied is, and nothing else")
	}

	// Without it the rest goes through, in the same writer.
	rest := h.Batch(refused.Applied, len(h))
	rest.Records = append(rest.Records[:bad-refused.Applied], rest.Records[bad-refused.Applied+1:]...)
	require.NoError(t, w.Write(t.Context(), rest))
	h[bad] = Event{Op: change.Delete, ID: int64(1000 + bad)}
	require.Equal(t, h.Rows(len(h)), target.Rows(t))
	require.NoError(t, w.Close(t.Context()))
}

func testBreakBeforeCommit(t *testing.T, target Target) {
	r := seeded(t)
	h := RandomHistory(r, 600, 150)
	half := len(h) / 2
	w := target.Open(t)
	require.NoError(t, w.Write(t.Context(), h.Batch(0, half)))
	broken := false
	unset := failpoint.Set(func(step string) {
		if step == "sink.commit.before" && !broken {
			broken = true
			target.Break()
		}
	})
	err := w.Write(t.Context(), h.Batch(half, len(h)))
	unset()
	require.True(t, broken, "the writer calls failpoint.Hit before its commit")
	require.Error(t, err)
	require.True(t, retriable(err), "a lost connection is tried again: %v", err)
	require.Equal(t, h.Rows(half), target.Rows(t), "nothing of a transaction that was not committed is there")
	_ = w.Close(t.Context()) // its connection is gone

	w = target.Open(t)
	write(t, w, r, h, half)
	require.Equal(t, h.Rows(len(h)), target.Rows(t))
	require.NoError(t, w.Close(t.Context()))
}

// retriable is how the worker asks.
func retriable(err error) bool {
	var r interface{ Retriable() bool }
	return !errors.As(err, &r) || r.Retriable()
}

// crash is what a failpoint hook panics with.
type crash struct{}

// testCrashAfterCommit: the process dies when the target has committed, before anybody is told.
func testCrashAfterCommit(t *testing.T, target Target) {
	r := seeded(t)
	h := RandomHistory(r, 600, 150)
	half := len(h) / 2
	w := target.Open(t)
	require.NoError(t, w.Write(t.Context(), h.Batch(0, half)))
	unset := failpoint.Set(func(step string) {
		if step == "sink.commit.after" {
			panic(crash{})
		}
	})
	require.PanicsWithValue(t, crash{}, func() { _ = w.Write(t.Context(), h.Batch(half, len(h))) },
		"the writer calls failpoint.Hit after its commit")
	unset()
	target.Break()
	_ = w.Close(t.Context()) // its connection is gone

	w = target.Open(t)
	from := half // as far as the consumer's offsets know
	if p, ok := w.(sinks.Positioner); ok {
		positions, err := p.Positions(t.Context())
		require.NoError(t, err)
		if len(positions) > 0 {
			require.Equal(t, int64(len(h)), positions[topic.Partition{Topic: Topic}], "the committed transaction is read back")
			from = len(h)
		}
	}
	write(t, w, r, h, from)
	require.Equal(t, h.Rows(len(h)), target.Rows(t))
	require.NoError(t, w.Close(t.Context()))
}

func testPositions(t *testing.T, target Target) {
	r := seeded(t)
	h := RandomHistory(r, 100, 10)
	w := target.Open(t)
	p, ok := w.(sinks.Positioner)
	require.True(t, ok, "this writer keeps no offsets")
	positions, err := p.Positions(t.Context())
	require.NoError(t, err)
	require.Empty(t, positions)
	write(t, w, r, h, 0)
	positions, err = p.Positions(t.Context())
	require.NoError(t, err)
	require.NotEmpty(t, positions)
	// A batch all of whose records were dropped moves them too.
	dropped := h.Batch(0, 0)
	maps.Copy(dropped.Next, map[topic.Partition]int64{{Topic: Topic}: 500, {Topic: "other", Partition: 3}: 7})
	require.NoError(t, w.Write(t.Context(), dropped))
	require.NoError(t, w.Close(t.Context()))
	w = target.Open(t)
	positions, err = w.(sinks.Positioner).Positions(t.Context())
	require.NoError(t, err)
	require.Equal(t, dropped.Next, positions)
	require.NoError(t, w.Close(t.Context()))
}

func testCancel(t *testing.T, target Target) {
	r := seeded(t)
	h := RandomHistory(r, 50, 10)
	w := target.Open(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.Error(t, w.Write(ctx, h.Batch(0, len(h))))
	require.Empty(t, target.Rows(t))
	_ = w.Close(t.Context()) // the cancelled call may have cost the connection
	w = target.Open(t)
	write(t, w, r, h, 0)
	require.Equal(t, h.Rows(len(h)), target.Rows(t))
	require.NoError(t, w.Close(t.Context()))
}

func testEmpty(t *testing.T, target Target) {
	w := target.Open(t)
	require.NoError(t, w.Write(t.Context(), History{}.Batch(0, 0)))
	require.Empty(t, target.Rows(t))
	require.NoError(t, w.Close(t.Context()))
}
