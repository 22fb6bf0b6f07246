// SPDX-License-Identifier: Apache-2.0

package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/change"
	"freshet/config"
)

// chunks is a source that hands out its text in pieces, then waits for the end of the context.
type chunks struct{ left []string }

func (c *chunks) read(ctx context.Context, dst []byte) ([]byte, error) {
	if len(c.left) == 0 {
		<-ctx.Done()
		return dst, ctx.Err()
	}
	dst = append(dst, c.left[0]...)
	c.left = c.left[1:]
	return dst, nil
}

func (*chunks) open() bool { return true }

func (*chunks) close() error { return nil }

// lines reads until the source waits, and returns each line and the positions of the batches.
func lines(t *testing.T, r *reader, batches int) (got []string, ends []string) {
	t.Helper()
	for range batches {
		var b change.Batch
		require.NoError(t, r.Next(t.Context(), &b))
		for i := range b.Changes {
			require.Equal(t, change.Plain, b.Changes[i].Op)
			got = append(got, b.String(b.At(b.Changes[i].After, 0)))
		}
		ends = append(ends, string(b.End))
	}
	return got, ends
}

func TestReader(t *testing.T) {
	for _, c := range []struct {
		name   string
		chunks []string
		limit  int
		want   []string
		ends   []int
	}{
		{"ends of lines", []string{"a\r\nb\rc\n\nd\re"}, 100, []string{"a", "b", "c", "", "d"}, []int{10}},
		{"a return at the end of a chunk", []string{"a\r", "\nb\r", "c\n"}, 100, []string{"a", "b", "c"}, []int{3, 7}},
		{"batches", []string{"a\nb\nc\n"}, 1, []string{"a", "b", "c"}, []int{2, 4, 6}},
		{"a line in pieces", []string{"a", "b", "é\n"}, 100, []string{"abé"}, []int{5}},
		{"not UTF-8", []string{"a\xff\xfeb\n"}, 100, []string{"a\uFFFD\uFFFDb"}, []int{5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newReader("t", c.limit, 0)
			r.source = &chunks{c.chunks}
			got, ends := lines(t, r, len(c.ends))
			require.Equal(t, c.want, got)
			for i := range c.ends {
				require.Equal(t, fmt.Sprintf(`{"position":%d}`, c.ends[i]), ends[i])
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			require.ErrorIs(t, r.Next(ctx, &change.Batch{}), context.Canceled, "nothing is left")
		})
	}
}

// Standard input is read by one goroutine for all readers; at its end the task stays.
func TestStandardInput(t *testing.T) {
	p := &pump{input: strings.NewReader("a\nb\n"), chunks: make(chan []byte)}
	r := newReader("t", 100, 0)
	r.source, r.position = p, ""
	got, ends := lines(t, r, 1)
	require.Equal(t, []string{"a", "b"}, got)
	require.Equal(t, []string{`{"position":null}`}, ends)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, r.Next(ctx, &change.Batch{}), context.Canceled)

	broken := &pump{input: io.MultiReader(failing{}), chunks: make(chan []byte)}
	_, err := broken.read(t.Context(), nil)
	require.EqualError(t, err, "read standard input: broken")
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("broken") }

func TestPositions(t *testing.T) {
	for from, want := range map[string]int64{"": 0, `{"position":null}`: 0, `{"position":8}`: 8} {
		got, err := parsePosition(from)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	for _, from := range []string{`{}`, `{"position":"8"}`, `{"position":1.5}`, `x`} {
		_, err := New().Open(t.Context(), capture.Env{From: change.Position(from)}, config.Values{})
		var final interface{ Retriable() bool }
		require.ErrorAs(t, err, &final, from)
		require.False(t, final.Retriable())
	}
	c := New()
	require.NoError(t, c.CheckOffset(`{"filename":"a"}`, `{"position":0}`))
	require.NoError(t, c.CheckOffset(`{"filename":null}`, ""))
	for _, bad := range [][3]string{
		{"", `{"position":1}`, "Partition objects cannot be null"},
		{`{}`, `{"position":1}`, "Partition objects should contain the key 'filename'"},
		{`{"filename":"a"}`, `{}`, "Offset objects should either be null or contain the key 'position'"},
		{`{"filename":"a"}`, `{"position":"8"}`, "The value for the 'position' key in the offset is expected to be a Long value"},
		{`{"filename":"a"}`, `{"position":-1}`, "The value for the 'position' key in the offset should be a non-negative value"},
	} {
		require.EqualError(t, c.CheckOffset(bad[0], bad[1]), bad[2])
	}
}

func TestPartition(t *testing.T) {
	v, problems := definition.Parse(map[string]string{"file": `a"<b>.txt`, "topic": "t"})
	require.Empty(t, problems)
	require.Equal(t, `{"filename":"a\"<b>.txt"}`, New().Partition(v))
	v, _ = definition.Parse(map[string]string{"topic": "t"})
	require.Equal(t, `{"filename":null}`, New().Partition(v))
	tasks, err := New().Split(v, 5)
	require.NoError(t, err)
	require.Len(t, tasks, 1)
}
