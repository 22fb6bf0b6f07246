// SPDX-License-Identifier: Apache-2.0

package json

import (
	"math"

	"freshet/change/java"
)

// appendFloat appends a number in Java's form. NaN and the infinities are JSON strings.
func appendFloat(dst []byte, f float64, size int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(java.AppendFloat(append(dst, '"'), f, size), '"')
	}
	return java.AppendFloat(dst, f, size)
}
