// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// result is one line of the table.
type result struct {
	Workload string    `json:"workload"`
	What     string    `json:"what"`
	Unit     string    `json:"unit"`
	Ours     []float64 `json:"ours"`            // a figure a round
	Limit    string    `json:"limit,omitempty"` // what the limit is
	Limits   []float64 `json:"limits,omitempty"`
	CPU      float64   `json:"cpu_us_per_event,omitempty"` // of the worker, last round
	RSS      float64   `json:"peak_rss_mb,omitempty"`
	LimitCPU float64   `json:"limit_cpu_us_per_event,omitempty"` // of the peer's processes, last round
	LimitRSS float64   `json:"limit_peak_rss_mb,omitempty"`
}

// add measures ours and limit in turn and keeps all rounds but the first. limit may be nil.
func (b *bench) add(r result, ours, limit func() (float64, error)) error {
	for i := range b.rounds {
		x, err := ours()
		if err != nil {
			return err
		}
		var y float64
		if limit != nil {
			if y, err = limit(); err != nil {
				return fmt.Errorf("limit %s: %w", r.Limit, err)
			}
		}
		fmt.Fprintf(os.Stderr, "%s %s, round %d: %.0f %s, limit %.0f\n", r.Workload, r.What, i+1, x, r.Unit, y)
		if i == 0 && b.rounds > 1 {
			continue
		}
		r.Ours = append(r.Ours, x)
		if limit != nil {
			r.Limits = append(r.Limits, y)
		}
	}
	b.results = append(b.results, r)
	return nil
}

// usage puts the worker's figures on the last line.
func (b *bench) usage(cpuMicros, rssMB float64) {
	r := &b.results[len(b.results)-1]
	r.CPU, r.RSS = cpuMicros, rssMB
}

func markdown(results []result) string {
	var s strings.Builder
	s.WriteString("| workload | what | measured (min / median / max) | limit in the same run (median) | ratio | CPU an event | peak RSS |\n|---|---|---|---|---|---|---|\n")
	for _, r := range results {
		lo, mid, hi := spread(r.Ours)
		limit, ratio, cpu, rss := "", "", "", ""
		if len(r.Limits) > 0 {
			_, m, _ := spread(r.Limits)
			limit, ratio = fmt.Sprintf("%s: %s%s", r.Limit, figure(m), r.limitUsage()), fmt.Sprintf("%.0f %%", 100*mid/m)
		}
		if r.CPU > 0 {
			cpu = fmt.Sprintf("%.2f µs", r.CPU)
		}
		if r.RSS > 0 {
			rss = fmt.Sprintf("%.0f MB", r.RSS)
		}
		fmt.Fprintf(&s, "| %s | %s | %s / %s / %s %s | %s | %s | %s | %s |\n", r.Workload, r.What, figure(lo), figure(mid), figure(hi), r.Unit, limit, ratio, cpu, rss)
	}
	return s.String()
}

// limitUsage is what the peer took.
func (r *result) limitUsage() string {
	if r.LimitRSS == 0 {
		return ""
	}
	return fmt.Sprintf(" (%.1f µs, %s MB)", r.LimitCPU, figure(r.LimitRSS))
}

func spread(x []float64) (lo, median, hi float64) {
	s := slices.Sorted(slices.Values(x))
	if len(s) == 0 {
		return 0, 0, 0
	}
	return s[0], (s[(len(s)-1)/2] + s[len(s)/2]) / 2, s[len(s)-1]
}

// figure prints large numbers with thousands and small ones with a digit after the point.
func figure(x float64) string {
	if x < 1000 {
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	s := strconv.FormatFloat(x, 'f', 0, 64)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// rate is n over the time since start, per second.
func rate(n int, start time.Time) float64 { return float64(n) / time.Since(start).Seconds() }
