// SPDX-License-Identifier: Apache-2.0

package schema

import (
	"strconv"
	"strings"
	"unicode/utf16"
)

// AdjustName makes a name valid for Avro as Debezium's *.name.adjustment.mode does: "avro" replaces what is invalid by an
// underscore, "avro_unicode" by _u and the hexadecimal UTF-16 unit (an underscore counts as invalid there). Any other
// mode changes nothing. Dots are valid separators in schema names (dots true), not in field names.
func AdjustName(mode, name string, dots bool) string {
	if mode != "avro" && mode != "avro_unicode" {
		return name
	}
	var out strings.Builder
	for i, u := range utf16.Encode([]rune(name)) {
		letter := u >= 'a' && u <= 'z' || u >= 'A' && u <= 'Z'
		digit := u >= '0' && u <= '9'
		switch {
		case letter, digit && i > 0, u == '.' && dots && i > 0, u == '_' && mode == "avro":
			out.WriteByte(byte(u))
		case mode == "avro_unicode":
			hex := strconv.FormatUint(uint64(u), 16)
			if len(hex) <= 2 {
				hex = strings.Repeat("0", 4-len(hex)) + hex
			}
			out.WriteString("_u" + hex)
		case digit:
			out.WriteByte('_')
			out.WriteByte(byte(u))
		default:
			out.WriteByte('_')
		}
	}
	return out.String()
}
