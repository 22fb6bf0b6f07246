// SPDX-License-Identifier: Apache-2.0

package replicate

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/schema"
)

// screen is a writer for several goroutines.
type screen struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

// Bars end whatever the estimate was, and whether or not their table was finished.
func TestBarsEnd(t *testing.T) {
	for name, steps := range map[string][]capture.Progress{
		"nothing shown":        nil,
		"estimate too low":     {{Rows: 5, Estimated: 1}, {Rows: 50, Estimated: 1}, {Rows: 60, Estimated: 1, Done: true}},
		"estimate too high":    {{Rows: 5, Estimated: 1000}, {Rows: 10, Estimated: 1000, Done: true}},
		"no estimate":          {{Rows: 5, Estimated: -1}, {Rows: 10, Estimated: -1, Done: true}},
		"empty table":          {{Estimated: 0, Done: true}},
		"stopped in the table": {{Rows: 5, Estimated: 1000}},
	} {
		t.Run(name, func(t *testing.T) {
			d := newBars(&screen{})
			for _, p := range steps {
				p.Table = schema.ID{Schema: "public", Name: "t"}
				d.snapshot(p)
			}
			d.status(lag{unread: 10, records: 2, age: time.Second})
			closed := make(chan struct{})
			go func() { defer close(closed); d.close() }()
			select {
			case <-closed:
			case <-time.After(20 * time.Second):
				t.Fatal("close waits for ever")
			}
		})
	}
}

func TestLinesTellNowAndThen(t *testing.T) {
	out := &screen{}
	d := newLines(slog.New(slog.NewTextHandler(out, nil)))
	d.every = 0
	id := schema.ID{Schema: "public", Name: "t"}
	d.snapshot(capture.Progress{Table: id, Rows: 5, Estimated: 10, Blocks: 4, BlocksDone: 1})
	d.status(lag{unread: -1, applied: 3})
	d.snapshot(capture.Progress{Table: id, Rows: 9, Done: true})
	d.snapshot(capture.Progress{Table: id, Rows: 9, Done: true})
	d.status(lag{unread: 100, records: 2, age: 1500 * time.Millisecond, applied: 9})
	text := out.buf.String()
	require.Contains(t, text, "msg=snapshot rows=5 tables_left=1 blocks=4 blocks_left=3 applied=3")
	require.Equal(t, 1, strings.Count(text, `msg="table read" table=public.t rows=9`))
	require.Contains(t, text, "msg=streaming lag_bytes=100 lag_ms=1500 lag_records=2 applied=9")
}

func TestBarsTellBlocks(t *testing.T) {
	d := newBars(&screen{})
	defer d.close()
	id := schema.ID{Schema: "public", Name: "t"}
	d.snapshot(capture.Progress{Table: id, Rows: 5, Estimated: 10, Blocks: 1})
	require.Empty(t, d.blocks(id), "a table of one block")
	d.snapshot(capture.Progress{Table: id, Rows: 5, Estimated: 10, Blocks: 4, BlocksDone: 1})
	require.Equal(t, "1/4 blocks", d.blocks(id))
}
