// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"maps"
	"slices"
)

// smaller makes a case that differs smaller as long as it differs, within a number of runs: tables first, then columns,
// options, and steps.
func (l *lab) smaller(ctx context.Context, s scenario, r result, runs int) (scenario, result) {
	attempt := func(t scenario) bool {
		if runs <= 0 || ctx.Err() != nil {
			return false
		}
		runs--
		got, err := l.try(ctx, t.render())
		if err != nil || got.same() {
			return false
		}
		if len(got.want) == 0 && len(r.want) > 0 { // without steps nobody waits for the peer: another difference
			return false
		}
		s, r = t, got
		return true
	}
	for _, t := range slices.Clone(s.tables) {
		attempt(s.without(t.id, ""))
	}
	for _, t := range s.tables {
		columns := t.optional()
		for size := (len(columns) + 1) / 2; size > 0; size /= 2 {
			for i := 0; i < len(columns); {
				part := columns[i:min(i+size, len(columns))]
				next := s
				for _, c := range part {
					next = next.without(t.id, c)
				}
				if attempt(next) {
					columns = slices.Delete(columns, i, i+len(part))
				} else {
					i += size
				}
			}
		}
	}
	for k := range maps.Clone(s.config) {
		next := s
		next.config = maps.Clone(s.config)
		delete(next.config, k)
		attempt(next)
	}
	for size := max(1, len(s.steps)/2); size > 0; size /= 2 {
		for i := len(s.steps) - size; i >= 0; i -= size {
			next := s
			next.steps = slices.Concat(s.steps[:i], s.steps[i+size:])
			attempt(next)
			if i > len(s.steps) {
				i = len(s.steps)
			}
		}
	}
	return s, r
}
