// SPDX-License-Identifier: Apache-2.0

package capturetest_test

import (
	"context"
	"errors"
	"io"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"freshet/capture"
	"freshet/capture/capturetest"
	"freshet/change"
	"freshet/schema"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var table = &schema.Table{
	ID:      schema.ID{Schema: "public", Name: "t"},
	Key:     []schema.Column{{Name: "id", Type: &schema.Type{Kind: schema.Int64}}},
	Columns: []schema.Column{{Name: "id", Type: &schema.Type{Kind: schema.Int64}}, {Name: "s", Type: &schema.Type{Kind: schema.String}}},
}

// insert appends the creation of row i.
func insert(b *change.Batch, i int) {
	key, after := b.NewRow(1), b.NewRow(2)
	b.Set(key, 0, change.IntValue(int64(i)))
	b.Set(after, 0, change.IntValue(int64(i)))
	b.Set(after, 1, b.Text("row "+strconv.Itoa(i)))
	b.Changes = append(b.Changes, change.Change{Table: table, Op: change.Create, Key: key, After: after})
}

// scripted plays rows from+1..n, one a batch, and a batch without changes in the middle. Positions are row numbers.
func scripted(from, n int) *capturetest.Script {
	var steps []capturetest.Step
	for i := from + 1; i <= n; i++ {
		steps = append(steps, capturetest.Step{Fill: func(b *change.Batch) { insert(b, i) }, End: change.Position(strconv.Itoa(i))})
		if i == n/2 {
			steps = append(steps, capturetest.Step{End: change.Position(strconv.Itoa(i) + ".")})
		}
	}
	s := capturetest.Play(steps...)
	s.Endless = true
	return s
}

func TestScriptConforms(t *testing.T) {
	capturetest.Run(t, func(t *testing.T) capturetest.Fixture {
		var last *capturetest.Script
		return capturetest.Fixture{
			Changes: 7,
			Open: func(t testing.TB, from change.Position) capture.Reader {
				n, err := strconv.ParseFloat("0"+string(from), 64)
				require.NoError(t, err)
				last = scripted(int(n), 7)
				return last
			},
			Told: func() change.Position {
				if c := last.Commits(); len(c) > 0 {
					return c[len(c)-1]
				}
				return ""
			},
		}
	})
}

func TestScriptPlaysErrorsAndBlocks(t *testing.T) {
	broken := errors.New("broken")
	s := capturetest.Play(capturetest.Step{Err: broken}, capturetest.Step{}, capturetest.Step{End: "1"})
	var b change.Batch
	require.ErrorIs(t, s.Next(t.Context(), &b), broken)

	ctx, cancel := context.WithCancel(t.Context())
	blocked := make(chan error)
	go func() { blocked <- s.Next(ctx, &b) }()
	cancel()
	require.ErrorIs(t, <-blocked, context.Canceled)

	s.Release()
	s.Release()
	require.NoError(t, s.Next(t.Context(), &b))
	require.Equal(t, change.Position("1"), b.End)
	require.ErrorIs(t, s.Next(t.Context(), &b), io.EOF)
	require.NoError(t, s.Close(t.Context()))
	require.Equal(t, 1, s.Closed())
}

func TestRender(t *testing.T) {
	var b change.Batch
	insert(&b, 1)
	row := b.NewRow(7)
	values := []change.Value{
		change.NullValue(), change.UnavailableValue(), change.BoolValue(true), change.FloatValue(1.5), b.BytesOf([]byte{1, 255}),
	}
	for i, v := range values {
		b.Set(row, i, v)
	}
	inner := b.NewRow(2)
	b.Set(inner, 0, change.IntValue(7))
	b.Set(row, 5, b.Run(change.Array, inner))
	b.Set(row, 6, b.Text("a\"b"))
	b.Changes[0].Before, b.Changes[0].OldKey, b.Changes[0].Snapshot = row, b.Changes[0].Key, change.SnapshotLast
	require.Equal(t, `c public.t last key(1) oldkey(1) before(null, unavailable, true, 1.5, x'01ff', [7, null], "a\"b") after(1, "row 1")`,
		capturetest.Render(&b, &b.Changes[0]))
}
