// SPDX-License-Identifier: Apache-2.0

// Package capturetest is the conformance suite that every capture.Reader must pass, and a scripted Reader for tests of
// what stands behind one.
//
// Run takes a function that makes a Fixture: one source with a known number of changes, which can be opened at any
// position again and again. Script is the fake.
package capturetest

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/change"
)

// Fixture is a source that a Reader is tested on. Every part of the suite makes its own. The suite opens one Reader at a
// time and closes it before it opens the next.
type Fixture struct {
	// Open opens a Reader; "" is from the beginning.
	Open func(t testing.TB, from change.Position) capture.Reader
	// Changes is how many changes there are from the beginning. After them Next blocks or says io.EOF.
	Changes int
	// Repeats, if not nil, says of which positions resuming yields everything from the beginning again, as it does inside
	// of a snapshot that cannot be continued.
	Repeats func(p change.Position) bool
	// Told, if not nil, is the last position that the source was told is durable; "" for none yet.
	Told func() change.Position
}

// patience is how long the suite waits for what must come. It is never waited in full unless the test fails.
const patience = 30 * time.Second

// Run runs the suite.
func Run(t *testing.T, newFixture func(t *testing.T) Fixture) {
	t.Helper()
	for _, part := range []struct {
		name string
		run  func(t *testing.T, f Fixture)
	}{
		{"every end is set", testEnds},
		{"resume at every end repeats nothing and loses nothing", testResume},
		{"commit in order", testCommit},
		{"commit while Next waits", testCommitDuringNext},
		{"cancel at every step", testCancel},
		{"a batch is the caller's", testBatchOwnership},
		{"close is idempotent", testClose},
	} {
		t.Run(part.name, func(t *testing.T) { part.run(t, newFixture(t)) })
	}
}

// step is what one Next yielded.
type step struct {
	changes []string
	end     change.Position
}

// readAll reads n changes. Batches that only move the position are steps too.
func readAll(t testing.TB, r capture.Reader, n int) []step {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var steps []step
	var b change.Batch
	for got := 0; got < n; {
		b.Reset()
		err := r.Next(ctx, &b)
		require.NoError(t, err, "after %d of %d changes", got, n)
		s := step{end: b.End}
		for i := range b.Changes {
			s.changes = append(s.changes, Render(&b, &b.Changes[i]))
		}
		got += len(s.changes)
		require.LessOrEqual(t, got, n, "more changes than there are: %q", s.changes)
		steps = append(steps, s)
	}
	return steps
}

func allChanges(steps []step) []string {
	out := []string{}
	for _, s := range steps {
		out = append(out, s.changes...)
	}
	return out
}

func closeReader(t testing.TB, r capture.Reader) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	require.NoError(t, r.Close(ctx))
}

func testEnds(t *testing.T, f Fixture) {
	r := f.Open(t, "")
	defer closeReader(t, r)
	previous := change.Position("")
	for _, s := range readAll(t, r, f.Changes) {
		require.NotEmpty(t, s.end, "a batch without an end")
		require.True(t, len(s.changes) > 0 || s.end != previous, "a batch that brings nothing")
		previous = s.end
	}
	requireQuiet(t, r)
}

// requireQuiet expects no further changes: Next blocks, ends, or yields positions only.
func requireQuiet(t testing.TB, r capture.Reader) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var b change.Batch
	for {
		b.Reset()
		err := r.Next(ctx, &b)
		if errors.Is(err, io.EOF) || ctx.Err() != nil {
			return
		}
		require.NoError(t, err)
		require.Empty(t, b.Changes, "a change too many")
		require.NotEmpty(t, b.End)
	}
}

func testResume(t *testing.T, f Fixture) {
	r := f.Open(t, "")
	steps := readAll(t, r, f.Changes)
	closeReader(t, r)
	all := allChanges(steps)
	taken := 0
	seen := map[change.Position]bool{}
	for i, s := range steps {
		taken += len(s.changes)
		if i+1 < len(steps) && steps[i+1].end == s.end || seen[s.end] {
			continue // one end for several batches: the last of them counts
		}
		seen[s.end] = true
		want := all[taken:]
		if f.Repeats != nil && f.Repeats(s.end) {
			want = all
		}
		r := f.Open(t, s.end)
		got := allChanges(readAll(t, r, len(want)))
		requireQuiet(t, r)
		closeReader(t, r)
		require.Equal(t, want, got, "resumed at %s", s.end)
	}
}

func testCommit(t *testing.T, f Fixture) {
	r := f.Open(t, "")
	var before change.Position
	if f.Told != nil {
		before = f.Told()
	}
	steps := readAll(t, r, f.Changes)
	if f.Told != nil {
		require.Equal(t, before, f.Told(), "I2: told before it was durable")
	}
	for _, s := range steps {
		require.NoError(t, r.Commit(t.Context(), s.end))
	}
	last := steps[len(steps)-1].end
	if f.Told != nil {
		require.Eventually(t, func() bool { return f.Told() == last }, patience, time.Millisecond, "the source is told the last position")
	}
	closeReader(t, r)
	if f.Repeats != nil && f.Repeats(last) {
		return
	}
	r = f.Open(t, last)
	requireQuiet(t, r)
	closeReader(t, r)
}

// testCommitDuringNext commits from another goroutine while Next has nothing to yield, as the pipeline does.
func testCommitDuringNext(t *testing.T, f Fixture) {
	r := f.Open(t, "")
	defer closeReader(t, r)
	steps := readAll(t, r, f.Changes)
	ctx, cancel := context.WithCancel(t.Context())
	next := make(chan error, 1)
	go func() {
		var b change.Batch
		for {
			b.Reset()
			if err := r.Next(ctx, &b); err != nil {
				next <- err
				return
			}
		}
	}()
	for _, s := range steps {
		require.NoError(t, r.Commit(t.Context(), s.end))
	}
	cancel()
	requireEnds(t, next)
}

// requireEnds waits for the error of a Next whose context has ended.
func requireEnds(t testing.TB, next <-chan error) {
	t.Helper()
	select {
	case err := <-next:
		require.True(t, errors.Is(err, context.Canceled) || errors.Is(err, io.EOF), "a canceled Next returned %v", err)
	case <-time.After(patience):
		require.Fail(t, "Next did not return when its context ended")
	}
}

// testCancel cancels Next before each batch, reopens at the last end, and expects the rest.
func testCancel(t *testing.T, f Fixture) {
	r := f.Open(t, "")
	all := allChanges(readAll(t, r, f.Changes))
	closeReader(t, r)

	var got []string
	from := change.Position("")
	for rounds := 0; len(got) < len(all); rounds++ {
		require.LessOrEqual(t, rounds, 4*len(all), "no progress")
		r := f.Open(t, from)
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		var b change.Batch
		err := r.Next(canceled, &b)
		if err == nil { // it had something at hand: that counts
			from, got = take(&b, f, from, got)
		} else {
			require.True(t, errors.Is(err, context.Canceled) || errors.Is(err, io.EOF), "a canceled Next returned %v", err)
		}
		closeReader(t, r)

		r = f.Open(t, from)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		b.Reset()
		require.NoError(t, r.Next(ctx, &b))
		cancel()
		from, got = take(&b, f, from, got)
		closeReader(t, r)
		if f.Repeats != nil && f.Repeats(from) {
			return // it would begin again for ever
		}
	}
	require.Equal(t, all, got)
}

// take adds a batch to what was got: from the beginning again where the position before it repeats everything.
func take(b *change.Batch, f Fixture, from change.Position, got []string) (change.Position, []string) {
	if f.Repeats != nil && f.Repeats(from) {
		got = nil
	}
	for i := range b.Changes {
		got = append(got, Render(b, &b.Changes[i]))
	}
	return b.End, got
}

// testBatchOwnership overwrites every batch as soon as it is returned, and hands in batches by turns.
func testBatchOwnership(t *testing.T, f Fixture) {
	r := f.Open(t, "")
	want := allChanges(readAll(t, r, f.Changes))
	closeReader(t, r)

	r = f.Open(t, "")
	defer closeReader(t, r)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ring := make([]change.Batch, 3)
	var got []string
	for i := 0; len(got) < len(want); i++ {
		b := &ring[i%len(ring)]
		require.NoError(t, r.Next(ctx, b))
		for j := range b.Changes {
			got = append(got, Render(b, &b.Changes[j]))
		}
		spoil(b)
	}
	require.Equal(t, want, got)
}

// spoil fills a batch's memory with garbage, then empties it.
func spoil(b *change.Batch) {
	for i := range b.Arena {
		b.Arena[i] = '!'
	}
	for i := range b.Changes {
		for _, row := range []change.Row{b.Changes[i].Key, b.Changes[i].Before, b.Changes[i].After, b.Changes[i].Source} {
			for j := range row.Len() {
				b.Set(row, j, change.IntValue(-1))
			}
		}
	}
	b.Reset()
}

func testClose(t *testing.T, f Fixture) {
	r := f.Open(t, "")
	closeReader(t, r) // before any Next
	closeReader(t, r)

	r = f.Open(t, "")
	var b change.Batch
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	require.NoError(t, r.Next(ctx, &b)) // in the middle
	closeReader(t, r)
	closeReader(t, r)
}
