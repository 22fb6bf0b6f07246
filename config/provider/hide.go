// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"context"
	"log/slog"
	"slices"
	"strconv"
	"strings"
)

// shortSecret is the length from which a value is looked for in any text: a shorter one may be a part of words.
const shortSecret = 6

// Hider puts references back into texts that quote what they stand for: that may be secret. A nil Hider changes nothing. It is
// immutable.
type Hider struct {
	given map[string]string // properties with their references
	pairs []pair            // the longest value first
}

type pair struct{ value, reference string }

// newHider makes a Hider of what references stood for, by their text; nil without any.
func newHider(given, found map[string]string) *Hider {
	h := &Hider{given: given}
	for reference, value := range found {
		forms := append(strings.Split(value, ","), value, strings.Trim(strconv.Quote(value), `"`))
		for _, form := range forms {
			if form = strings.TrimSpace(form); form != "" && !slices.Contains(h.pairs, pair{form, reference}) {
				h.pairs = append(h.pairs, pair{form, reference})
			}
		}
	}
	if len(h.pairs) == 0 {
		return nil
	}
	slices.SortFunc(h.pairs, func(x, y pair) int {
		if len(x.value) != len(y.value) {
			return len(y.value) - len(x.value)
		}
		return strings.Compare(x.value+x.reference, y.value+y.reference)
	})
	return h
}

// Text is a text with references in the place of what they stand for, unless that is short.
func (h *Hider) Text(text string) string { return h.Of("", text) }

// Of is Text, for what is said about a property: that property's own references are put back where they are short, too.
func (h *Hider) Of(property, text string) string {
	if h == nil {
		return text
	}
	own := h.given[property]
	for _, p := range h.pairs {
		if len(p.value) >= shortSecret || strings.Contains(own, p.reference) {
			text = strings.ReplaceAll(text, p.value, p.reference)
		}
	}
	return text
}

// Error is an error whose message is hidden; what it wraps stays to be found.
func (h *Hider) Error(err error) error {
	if h == nil || err == nil {
		return err
	}
	return &hidden{err, h.Text(err.Error())}
}

type hidden struct {
	err  error
	text string
}

// Error is the message with references.
func (e *hidden) Error() string { return e.text }

// Unwrap is the error as it was.
func (e *hidden) Unwrap() error { return e.err }

// Log is a log in which messages and attributes are hidden.
func (h *Hider) Log(log *slog.Logger) *slog.Logger {
	if h == nil {
		return log
	}
	return slog.New(&handler{log.Handler(), h})
}

type handler struct {
	slog.Handler
	hider *Hider
}

var _ slog.Handler = (*handler)(nil)

// Handle passes a record on, hidden.
func (l *handler) Handle(ctx context.Context, r slog.Record) error {
	out := slog.NewRecord(r.Time, r.Level, l.hider.Text(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(l.attr(a))
		return true
	})
	return l.Handler.Handle(ctx, out)
}

// WithAttrs is the handler with more attributes, hidden.
func (l *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := make([]slog.Attr, len(attrs))
	for n, a := range attrs {
		out[n] = l.attr(a)
	}
	return &handler{l.Handler.WithAttrs(out), l.hider}
}

// WithGroup is the handler with a group.
func (l *handler) WithGroup(name string) slog.Handler {
	return &handler{l.Handler.WithGroup(name), l.hider}
}

func (l *handler) attr(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindString:
		return slog.String(a.Key, l.hider.Text(v.String()))
	case slog.KindGroup:
		group := v.Group()
		out := make([]slog.Attr, len(group))
		for n, inner := range group {
			out[n] = l.attr(inner)
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(out...)}
	case slog.KindAny: // an error, a list of addresses
		text := v.String()
		if hidden := l.hider.Text(text); hidden != text {
			return slog.String(a.Key, hidden)
		}
	}
	return slog.Attr{Key: a.Key, Value: v}
}
