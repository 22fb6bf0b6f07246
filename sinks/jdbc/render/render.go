// SPDX-License-Identifier: Apache-2.0

// Package render writes values as texts that the dialects of the JDBC sink share: days, clocks, decimals and JSON. Every
// function appends to what it is given and allocates nothing beyond.
package render

import (
	"strconv"

	"freshet/schema"
)

// IntParam is a parameter of a schema as a number; 0 where it is missing or no number.
func IntParam(t *schema.Type, name string) int {
	s, _ := t.Param(name)
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}
