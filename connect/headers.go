// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"freshet/change"
	"freshet/change/java"
	"freshet/emitter"
	"freshet/schema"
)

// convertedHeaders writes header values by a converter.
type convertedHeaders struct{ format emitter.Format }

var _ emitter.HeaderFormat = (*convertedHeaders)(nil)

// AppendHeader appends head and body; nil is a header without a value.
func (h *convertedHeaders) AppendHeader(dst []byte, t *schema.Type, b *change.Batch, v change.Value) ([]byte, error) {
	e, err := h.format.Compile(t)
	if err != nil {
		return nil, err
	}
	if head := e.Head(); head != nil {
		dst = append(dst, head.Bytes...)
	}
	dst, ok, err := e.Append(dst, b, v)
	return present(dst, ok), err
}

// simpleHeaders writes header values as SimpleHeaderConverter does.
type simpleHeaders struct{}

var _ emitter.HeaderFormat = simpleHeaders{}

// AppendHeader appends the text; nil is a header without a value.
func (simpleHeaders) AppendHeader(dst []byte, t *schema.Type, b *change.Batch, v change.Value) ([]byte, error) {
	dst, ok := java.AppendHeader(dst, t, b, v)
	return present(dst, ok), nil
}

// present tells an empty value from none.
func present(p []byte, ok bool) []byte {
	switch {
	case !ok:
		return nil
	case p == nil:
		return []byte{}
	}
	return p
}
