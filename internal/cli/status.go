// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"freshet/capture"
	"freshet/connect"
	"freshet/connect/rest"
)

// statusFlags are the flags of status.
type statusFlags struct {
	worker          workerFlags
	output          string
	watch           bool
	patience, every time.Duration
}

func (a *app) status() *cobra.Command {
	var f statusFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what a running worker does: connectors, lag, slots, snapshots",
		Long: `Asks the worker for GET /freshet/status and prints it for people: each connector and
task with its state and the cause, position, lag, slot, snapshot and events.
Ends with exit code 1 where a task that should run does not, or makes no progress.`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.output != "table" && f.output != "json" {
				return usagef("--output %q is none of table, json", f.output)
			}
			if f.every <= 0 {
				return usagef("--interval %s is not positive", f.every)
			}
			c, err := f.worker.client(a)
			if err != nil {
				return err
			}
			return a.showStatus(cmd.Context(), c, f)
		},
	}
	f.worker.bind(a, cmd, false, rest.DefaultListener, "URL of the worker")
	cmd.Flags().StringVar(&f.output, "output", "table", "form: table or json")
	cmd.Flags().BoolVar(&f.watch, "watch", false, "show it again and again until interrupted")
	cmd.Flags().DurationVar(&f.every, "interval", 2*time.Second, "time between two looks of --watch")
	cmd.Flags().DurationVar(&f.patience, "timeout", 10*time.Second, "how long to wait for an answer")
	return cmd
}

// showStatus prints one report, or with watch one after the other until ctx ends.
func (a *app) showStatus(ctx context.Context, c *rest.Client, f statusFlags) error {
	for {
		r, err := askStatus(ctx, c, f.patience)
		if f.watch && ctx.Err() != nil {
			return nil //nolint:nilerr // interrupted: that is how watching ends
		}
		if err != nil {
			return fmt.Errorf("worker at %s does not tell its status: %w", f.worker.url, err)
		}
		if f.output == "json" {
			err = json.NewEncoder(a.Out).Encode(r)
		} else {
			err = writeStatus(a.Out, &r)
		}
		switch {
		case err != nil:
			return err
		case !f.watch && !r.Ready:
			return &codedError{code: exitFailed} // the report has told why
		case !f.watch:
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(f.every):
		}
	}
}

func askStatus(ctx context.Context, c *rest.Client, patience time.Duration) (connect.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return c.Report(ctx)
}

// writeStatus prints a report for people.
func writeStatus(out io.Writer, r *connect.Report) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(w, "%s  %d connector(s), %s\n", r.Time.Local().Format(time.DateTime), len(r.Connectors), readiness(r.Ready))
	for i := range r.Connectors {
		c := &r.Connectors[i]
		fmt.Fprintf(w, "\n%s (%s): %s\n", c.Name, c.Type, c.State)
		if c.Cause != "" {
			row("cause", "%s", c.Cause)
		}
		for j := range c.Tasks {
			t := &c.Tasks[j]
			row(fmt.Sprintf("task %d", t.ID), "%s since %s, opened %d time(s), %d by the watchdog", t.State, t.Since.Local().Format(time.DateTime), t.Attempts, t.Reopened)
			if t.Cause != "" && t.Cause != c.Cause {
				row("cause", "%s", t.Cause)
			}
			if t.Stalled != "" {
				row("no progress", "for %.0f s: %s", t.StalledFor, t.Stalled)
			}
			if t.Source != nil {
				writeSource(row, t.Source)
			}
		}
	}
	return w.Flush()
}

func readiness(ready bool) string {
	if ready {
		return "all well"
	}
	return "NOT READY"
}

func writeSource(row func(name, format string, args ...any), s *connect.SourceReport) {
	if s.Phase != "" {
		row("phase", "%s", s.Phase)
	}
	if s.Position != nil {
		row("position", "%s", s.Position)
	}
	row("lag", "%s to read, %s not durable, newest change %s", size(s.LagBytes), size(s.UndurableBytes), millis(s.LagMillis))
	if slot := s.Slot; slot != nil {
		row("slot", "%s: %s, %s retained, %s left, confirmed %s", slot.Name, slot.Status, size(slot.Retained), size(slot.Safe), slot.Confirmed)
		if slot.HoursLeft >= 0 {
			row("forecast", "%.1f hours at the present rate", slot.HoursLeft)
		}
		if slot.Warning != "" {
			row("WARNING", "%s", slot.Warning)
		}
	}
	e := s.Events
	row("events", "create %d, update %d, delete %d, read %d, truncate %d, message %d, filtered %d, failed %d",
		e.Create, e.Update, e.Delete, e.Read, e.Truncate, e.Message, e.Filtered, e.Failed)
	row("queue", "%d of %d batches, %s", s.Queue.Batches, s.Queue.Capacity, size(s.Queue.Bytes))
	writeDemand(row, s.Demand)
	snap := s.Snapshot
	if snap == nil {
		return
	}
	state := "complete"
	switch {
	case snap.Running:
		state = "running"
	case snap.Aborted:
		state = "interrupted, it goes on with the next attempt"
	}
	done := 0
	for _, t := range snap.Tables {
		if t.Done {
			done++
		}
	}
	row("snapshot", "%s: %d rows in %.0f s, %d of %d tables", state, snap.Rows, snap.Seconds, done, len(snap.Tables))
	for _, t := range snap.Tables {
		if !t.Done {
			row("  "+t.Table, "%s", tableProgress(&t.TableProgress))
		}
	}
}

// writeDemand prints what snapshots on demand do, where there is one.
func writeDemand(row func(name, format string, args ...any), d *connect.DemandReport) {
	switch {
	case d == nil || !d.Running && !d.Paused:
		return
	case d.Paused:
		row("on demand", "snapshots are held back, for %.0f s altogether", d.PausedSeconds)
	case d.Chunk != nil:
		row("on demand", "chunk %d, %s from %s to %s of %s", d.Chunk.Number, d.Chunk.Table, d.Chunk.From, d.Chunk.To, d.Chunk.TableTo)
	default:
		row("on demand", "a snapshot is read")
	}
}

// tableProgress says how far a table of a snapshot is.
func tableProgress(t *capture.TableProgress) string {
	out := fmt.Sprintf("%d rows", t.Rows)
	if t.Estimated >= 0 {
		out = fmt.Sprintf("%d of about %d rows", t.Rows, t.Estimated)
	}
	if t.Blocks > 0 {
		out += fmt.Sprintf(", block %d of %d", t.BlocksDone, t.Blocks)
	}
	if t.Done {
		out += ", done"
	}
	if t.RowsPerSec > 0 {
		out += fmt.Sprintf(", %.0f rows/s", t.RowsPerSec)
	}
	if !t.Done && t.ETASeconds >= 0 && t.RowsPerSec > 0 {
		out += fmt.Sprintf(", %.0f s left", t.ETASeconds)
	}
	return out
}

// size is a number of bytes for people; -1 is unknown.
func size(n int64) string {
	if n < 0 {
		return "unknown"
	}
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if i == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}

func millis(n int64) string {
	if n < 0 {
		return "unknown"
	}
	return fmt.Sprintf("%d ms old", n)
}
