// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"strconv"
	"strings"
	"unicode/utf16"
)

// Modes of AdjustName, as schema.name.adjustment.mode and field.name.adjustment.mode have them.
const (
	AdjustNone        = "none"
	AdjustAvro        = "avro"         // what Avro does not allow becomes an underscore
	AdjustAvroUnicode = "avro_unicode" // it becomes _u and its code in hexadecimal; an underscore too
)

// AdjustName makes a name fit for Avro: letters, digits and underscores, no digit in front. dotsAllowed keeps dots, as
// schema names have them between their parts; field names have none. Characters are UTF-16 code units, as in Java: one
// beyond the basic plane counts twice.
func AdjustName(mode, s string, dotsAllowed bool) string {
	if mode != AdjustAvro && mode != AdjustAvroUnicode {
		return s
	}
	var out strings.Builder
	for i, u := range utf16.Encode([]rune(s)) {
		switch digit := u >= '0' && u <= '9'; {
		case digit && i == 0 && mode == AdjustAvro:
			out.WriteByte('_')
			out.WriteByte(byte(u))
		case digit && i > 0, u >= 'a' && u <= 'z', u >= 'A' && u <= 'Z', u == '.' && dotsAllowed, u == '_' && mode == AdjustAvro:
			out.WriteByte(byte(u))
		case mode == AdjustAvro:
			out.WriteByte('_')
		default:
			hex := strconv.FormatUint(uint64(u), 16)
			out.WriteString("_u")
			if len(hex) <= 2 {
				out.WriteString("00")
			}
			out.WriteString(hex)
		}
	}
	return out.String()
}
