// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"freshet/change"
	"freshet/emitter/topic"
)

// rowFormat is f, or f with envelopes that are built as values first.
func rowFormat(f Format) RowFormat {
	if r, ok := f.(RowFormat); ok {
		return r
	}
	return builtFormat{f}
}

// builtFormat makes a RowFormat of any Format.
type builtFormat struct{ Format }

// CompileEnvelope compiles the envelope as one schema.
func (f builtFormat) CompileEnvelope(e *Envelope) (EnvelopeEncoder, error) {
	encoder, err := compileFor(f.Format, e.Topic, e.Type)
	if err != nil {
		return nil, err
	}
	return &builtEnvelope{encoder, e}, nil
}

type builtEnvelope struct {
	encoder  Encoder
	envelope *Envelope
}

// Head is the encoder's.
func (e *builtEnvelope) Head() *topic.Head { return e.encoder.Head() }

// AppendValue builds the envelope in the batch and encodes it.
func (e *builtEnvelope) AppendValue(dst []byte, b *change.Batch, c *change.Change, now int64) ([]byte, error) {
	dst, _, err := e.encoder.Append(dst, b, e.envelope.Build(b, c, now))
	return dst, err
}
