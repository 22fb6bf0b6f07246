// SPDX-License-Identifier: Apache-2.0

package jdbc

import (
	"errors"
	"fmt"
	"strconv"

	"freshet/change"
	"freshet/schema"
	"freshet/sinks"
	"freshet/sinks/jdbc/dialect"
)

// refusal is what is wrong with a record whatever the state of the target's connection: it becomes a RowError.
type refusal struct {
	err  error
	hint string
}

func refuse(err error, hint string) error { return &refusal{err, hint} }

func (r *refusal) Error() string { return r.err.Error() }
func (r *refusal) Unwrap() error { return r.err }

// targetError is trouble with the target that is not a record's.
type targetError struct {
	err       error
	hint      string
	retriable bool
}

// Error is the cause and the next step.
func (e *targetError) Error() string {
	if e.hint == "" {
		return e.err.Error()
	}
	return e.err.Error() + ": " + e.hint
}

// Unwrap is the cause.
func (e *targetError) Unwrap() error { return e.err }

// Retriable says whether a new session may succeed.
func (e *targetError) Retriable() bool { return e.retriable }

// targetProblem wraps an error of the session. A stale plan is made anew by a new session.
func (w *writer) targetProblem(err error) error {
	class, hint := w.opt.dialect.Classify(err)
	return &targetError{err: err, hint: hint, retriable: class == dialect.Retry || class == dialect.Stale}
}

// recordProblem makes a RowError of what is wrong with a record, and leaves trouble with the target as it is.
func (w *writer) recordProblem(b *sinks.Batch, index, applied int, err error) error {
	var r *refusal
	if !errors.As(err, &r) {
		return err
	}
	rec := &b.Records[index]
	return &sinks.RowError{
		Index: index, Applied: applied, Topic: rec.Source.Topic, Partition: rec.Source.Partition, Offset: rec.Offset,
		Key: keyText(&b.Data, rec.KeyType, rec.Key), Err: r.err, Hint: r.hint,
	}
}

const (
	maxKeyText   = 120 // bytes of a key in a message
	maxFieldText = 40  // bytes of a text in it
)

// keyText is a key as messages show it.
func keyText(b *change.Batch, t *schema.Type, v change.Value) string {
	if v.Kind() != change.Struct || t == nil || t.Kind != schema.Struct {
		return string(appendShort(nil, b, v))
	}
	var out []byte
	row := b.RowOf(v)
	for i := range t.Fields {
		if i > 0 {
			out = append(out, ',')
		}
		if len(out) > maxKeyText {
			return string(append(out, "..."...))
		}
		out = append(append(out, t.Fields[i].Name...), '=')
		out = appendShort(out, b, b.At(row, i))
	}
	return string(out)
}

func appendShort(dst []byte, b *change.Batch, v change.Value) []byte {
	switch v.Kind() {
	case change.Null:
		return append(dst, "null"...)
	case change.Bool:
		return strconv.AppendBool(dst, v.Bool())
	case change.Int:
		return strconv.AppendInt(dst, v.Int(), 10)
	case change.Float:
		return strconv.AppendFloat(dst, v.Float(), 'g', -1, 64)
	case change.Text:
		if s := b.Bytes(v); len(s) > maxFieldText {
			return append(append(dst, s[:maxFieldText]...), "..."...)
		}
		return append(dst, b.Bytes(v)...)
	case change.Bytes:
		p := b.Bytes(v)
		return fmt.Appendf(dst, "%x", p[:min(len(p), maxFieldText/2)])
	}
	return fmt.Appendf(dst, "(%d values)", b.RowOf(v).Len())
}
