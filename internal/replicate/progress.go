// SPDX-License-Identifier: Apache-2.0

package replicate

import (
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"freshet/capture"
	"freshet/schema"
)

// lag is how far the target is behind the source.
type lag struct {
	unread  int64         // bytes of WAL not read yet, -1 when unknown
	records int64         // in topics, not yet in the target
	age     time.Duration // of the oldest change that the target lacks; 0 when there is none
	applied int64         // records the target has committed since the start
}

// caughtUp says whether the target has everything.
func (l lag) caughtUp() bool { return l.unread == 0 && l.records == 0 }

// display shows how a replication goes on. snapshot may be called by several goroutines, status by one.
type display interface {
	snapshot(p capture.Progress)
	status(l lag)
	close()
}

// lines is the display where there is no terminal: a log line every ten seconds.
type lines struct {
	log   *slog.Logger
	every time.Duration

	mu     sync.Mutex // guards what follows
	tables map[schema.ID]capture.Progress
	last   time.Time
}

func newLines(log *slog.Logger) *lines {
	return &lines{log: log, every: 10 * time.Second, tables: map[schema.ID]capture.Progress{}, last: time.Now()}
}

func (d *lines) snapshot(p capture.Progress) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p.Done && !d.tables[p.Table].Done {
		d.log.Info("table read", "table", p.Table.String(), "rows", p.Rows)
	}
	d.tables[p.Table] = p
}

func (d *lines) status(l lag) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.last) < d.every {
		return
	}
	d.last = time.Now()
	var rows int64
	open, blocks, blocksLeft := 0, 0, 0
	for _, p := range d.tables {
		rows += p.Rows
		blocks += p.Blocks
		blocksLeft += p.Blocks - p.BlocksDone
		if !p.Done {
			open++
		}
	}
	if open > 0 {
		d.log.Info("snapshot", "rows", rows, "tables_left", open, "blocks", blocks, "blocks_left", blocksLeft, "applied", l.applied)
		return
	}
	d.log.Info("streaming", "lag_bytes", max(l.unread, 0), "lag_ms", l.age.Milliseconds(), "lag_records", l.records, "applied", l.applied)
}

func (d *lines) close() {}

// bars is the display on a terminal: a progress bar for each table, then one status line.
type bars struct {
	p *mpb.Progress

	mu     sync.Mutex // guards what follows
	tables map[schema.ID]*mpb.Bar
	last   map[schema.ID]capture.Progress
	foot   *mpb.Bar
	text   string
}

func newBars(out io.Writer) *bars {
	d := &bars{
		p:      mpb.New(mpb.WithOutput(out), mpb.WithWidth(36), mpb.WithRefreshRate(150*time.Millisecond)),
		tables: map[schema.ID]*mpb.Bar{}, last: map[schema.ID]capture.Progress{},
	}
	// Bars that are made with a total take no other one: SetTotal would do nothing, and close wait for ever.
	d.foot = d.p.New(0, mpb.NopStyle(), mpb.BarPriority(1<<20), mpb.PrependDecorators(decor.Any(func(decor.Statistics) string {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.text
	})))
	return d
}

func (d *bars) snapshot(p capture.Progress) {
	d.mu.Lock()
	b := d.tables[p.Table]
	d.last[p.Table] = p
	d.mu.Unlock()
	if b == nil {
		if p.Rows == 0 && !p.Done {
			return // it was not begun: its bar comes with its first rows
		}
		b = d.add(p)
	}
	if p.Rows > p.Estimated && !p.Done {
		b.SetTotal(p.Rows+p.Rows/10, false)
	}
	b.SetCurrent(p.Rows)
	if p.Done {
		b.SetTotal(p.Rows, true)
	}
}

func (d *bars) add(p capture.Progress) *mpb.Bar {
	begin, rate := time.Now(), 0.0 // rate is the last one
	b := d.p.New(0, mpb.BarStyle().Lbound(" ").Filler("█").Tip("█").Padding("░").Rbound(" "),
		mpb.PrependDecorators(decor.Name(p.Table.String(), decor.WCSyncSpaceR)),
		mpb.AppendDecorators(
			decor.CurrentNoUnit("%d rows", decor.WCSyncSpace),
			decor.Any(func(decor.Statistics) string { return d.blocks(p.Table) }, decor.WCSyncSpace),
			decor.Any(func(s decor.Statistics) string {
				if !s.Completed || rate == 0 {
					rate = float64(s.Current) / max(time.Since(begin).Seconds(), 0.001)
				}
				return fmt.Sprintf("%.0f/s", rate)
			}, decor.WCSyncSpace),
			decor.OnComplete(decor.AverageETA(decor.ET_STYLE_GO, decor.WCSyncSpace), "done"),
		))
	b.SetTotal(max(p.Estimated, 1), false)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tables[p.Table] = b
	return b
}

// blocks tells how many blocks of a table are read, where it has more than one.
func (d *bars) blocks(id schema.ID) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.last[id]
	if p.Blocks < 2 {
		return ""
	}
	return fmt.Sprintf("%d/%d blocks", p.BlocksDone, p.Blocks)
}

func (d *bars) status(l lag) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.text = fmt.Sprintf("%d records in the target, %d to go; %d bytes of log and %d ms behind", l.applied, l.records, max(l.unread, 0), l.age.Milliseconds())
}

func (d *bars) close() {
	d.mu.Lock()
	for _, b := range d.tables {
		b.SetTotal(-1, true)
	}
	d.mu.Unlock()
	d.foot.SetTotal(-1, true)
	d.p.Wait()
}
