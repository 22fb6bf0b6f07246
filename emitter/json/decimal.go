// SPDX-License-Identifier: Apache-2.0

package json

import (
	"strconv"

	"freshet/change"
	"freshet/change/java"
)

// decimal reads a Decimal: its bytes as base64, or a number, which is brought to the scale of the schema. A number with
// more digits than the scale has is refused: cutting them off would change it.
func (r *reader) decimal(pl *plan, c byte) (change.Value, error) {
	if c == '"' {
		v, err := r.base64("Invalid bytes for Decimal field")
		if err == nil && len(r.b.Bytes(v)) == 0 {
			err = refuse("Invalid bytes for Decimal field")
		}
		return v, err
	}
	if c != '-' && c-'0' > 9 {
		return change.Value{}, r.wrongKind("Invalid type for Decimal, underlying representation should be numeric or bytes but was ", c)
	}
	text, _, _, err := r.number()
	if err == nil {
		err = pl.scaleErr
	}
	if err != nil {
		return change.Value{}, err
	}
	d, scratch := java.ParseNumber(r.scratch, text)
	r.scratch = scratch
	mark := len(r.b.Arena)
	out, ok := d.AppendUnscaled(r.b.Arena, pl.scale)
	if !ok {
		return change.Value{}, refuse("Invalid number for Decimal field of scale " + strconv.Itoa(pl.scale) + ": " + string(text[:min(len(text), 64)]))
	}
	r.b.Arena = out
	return r.b.BytesFrom(mark), nil
}
