// SPDX-License-Identifier: Apache-2.0

package capturetest

import (
	"fmt"
	"strconv"
	"strings"

	"freshet/change"
)

// Render is a change as text: operation, table, marker, and the rows that are present. The source block is left out: it
// may differ between two readings.
func Render(b *change.Batch, c *change.Change) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%c %s", c.Op, c.Table.ID)
	if c.Snapshot != change.NoSnapshot {
		fmt.Fprintf(&s, " %s", c.Snapshot)
	}
	for _, row := range []struct {
		name string
		row  change.Row
	}{{"key", c.Key}, {"oldkey", c.OldKey}, {"before", c.Before}, {"after", c.After}} {
		if row.row.Present() {
			s.WriteString(" " + row.name + "(")
			renderValues(&s, b, b.Values(row.row))
			s.WriteString(")")
		}
	}
	return s.String()
}

func renderValues(s *strings.Builder, b *change.Batch, values []change.Value) {
	for i, v := range values {
		if i > 0 {
			s.WriteString(", ")
		}
		switch v.Kind() {
		case change.Null:
			s.WriteString("null")
		case change.Unavailable:
			s.WriteString("unavailable")
		case change.Bool:
			s.WriteString(strconv.FormatBool(v.Bool()))
		case change.Int:
			s.WriteString(strconv.FormatInt(v.Int(), 10))
		case change.Float:
			s.WriteString(strconv.FormatFloat(v.Float(), 'g', -1, 64))
		case change.Text:
			s.WriteString(strconv.Quote(b.String(v)))
		case change.Bytes:
			fmt.Fprintf(s, "x'%x'", b.Bytes(v))
		default:
			s.WriteString("[")
			renderValues(s, b, b.Elems(v))
			s.WriteString("]")
		}
	}
}
