// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"context"
	"log/slog"
)

// logging is a transform that has something to say to people.
type logging interface{ setLog(l *slog.Logger) }

var discard = slog.New(slog.DiscardHandler)

// wrapped is a transform around another.
type wrapped interface{ inner() Transform }

func (s *step) inner() Transform    { return s.Transform }
func (g *guarded) inner() Transform { return g.Transform }

// Log says where the transforms of the chain log. Without it they do not.
func (c Chain) Log(l *slog.Logger) {
	for _, t := range c {
		for w, ok := t.(wrapped); ok; w, ok = t.(wrapped) {
			t = w.inner()
		}
		if s, ok := t.(logging); ok {
			s.setLog(l)
		}
	}
}

// sparse logs what may happen with every record: the 1st, 2nd, 4th, 8th time and so on.
type sparse struct{ times, next int64 }

func (s *sparse) log(l *slog.Logger, level slog.Level, message string, args ...any) {
	s.times++
	if s.times < s.next {
		return
	}
	s.next = max(1, 2*s.times)
	l.Log(context.Background(), level, message, append(args, "times", s.times)...) //nolint:sloglint // the callers have constants
}
