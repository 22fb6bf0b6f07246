// SPDX-License-Identifier: Apache-2.0

// Package doctor tells what stands in the way of a source connector: it runs the checks that run before a connector
// starts, changes nothing, and prints for each finding its level, the value seen, and what mends it.
package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"freshet/capture"
	"freshet/connect"
)

// Report is what the checks found.
type Report struct {
	Connector string
	Findings  []capture.Finding
}

// Check runs the checks of a source connector's configuration. An error says that they could not be made: a
// *connect.Error where the configuration is wrong.
func Check(ctx context.Context, w *connect.Worker, name string, cfg map[string]string) (Report, error) {
	findings, err := w.CheckSource(ctx, cfg)
	return Report{name, findings}, err
}

// Failed says whether there is a fault that keeps the connector from working.
func (r Report) Failed() bool {
	return slices.ContainsFunc(r.Findings, func(f capture.Finding) bool { return f.Level == capture.Fail })
}

// WriteTable prints an aligned table. What a finding means and what mends it stand under its line.
func (r Report) WriteTable(w io.Writer) error {
	var table strings.Builder
	t := tabwriter.NewWriter(&table, 0, 8, 2, ' ', 0)
	for _, f := range r.Findings {
		fmt.Fprintf(t, "%s\t%s\t%s\n", f.Level, f.Subject, oneLine(f.Seen))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	lines := strings.SplitAfter(table.String(), "\n")
	counts := map[capture.Level]int{}
	var out strings.Builder
	for i, f := range r.Findings {
		counts[f.Level]++
		out.WriteString(strings.TrimRight(lines[i], " \n") + "\n")
		if f.Detail != "" && f.Level != capture.OK {
			out.WriteString("      " + oneLine(f.Detail) + "\n")
		}
		if f.Fix != "" && f.Level != capture.OK {
			out.WriteString("      fix: " + strings.ReplaceAll(strings.TrimSpace(f.Fix), "\n", "\n           ") + "\n")
		}
	}
	fmt.Fprintf(&out, "%d ok, %d warning(s), %d fault(s)\n", counts[capture.OK], counts[capture.Warn], counts[capture.Fail])
	_, err := io.WriteString(w, out.String())
	return err
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// finding is the JSON form of a finding.
type finding struct {
	Level    string `json:"level"`
	Subject  string `json:"subject"`
	Seen     string `json:"seen"`
	Detail   string `json:"detail,omitempty"`
	Fix      string `json:"fix,omitempty"`
	Property string `json:"property,omitempty"`
}

// WriteJSON prints {"connector","ok","findings"}.
func (r Report) WriteJSON(w io.Writer) error {
	out := struct {
		Connector string    `json:"connector"`
		OK        bool      `json:"ok"`
		Findings  []finding `json:"findings"`
	}{r.Connector, !r.Failed(), make([]finding, len(r.Findings))}
	for i, f := range r.Findings {
		out.Findings[i] = finding{f.Level.String(), f.Subject, f.Seen, f.Detail, f.Fix, f.Property}
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(out)
}
