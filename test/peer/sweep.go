// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

// sweeps are configurations under which every value of every type is compared once.
var sweeps = []map[string]string{
	{},
	{"decimal.handling.mode": "double", "time.precision.mode": "connect", "binary.handling.mode": "base64", "interval.handling.mode": "string"},
	{"decimal.handling.mode": "string", "time.precision.mode": "isostring", "binary.handling.mode": "hex", "include.unknown.datatypes": "true"},
	{"time.precision.mode": "microseconds", "hstore.handling.mode": "map", "binary.handling.mode": "base64-url-safe", "include.unknown.datatypes": "true"},
	{"time.precision.mode": "adaptive_time_microseconds", "include.unknown.datatypes": "true", "money.fraction.digits": "4"},
	{"time.precision.mode": "nanoseconds", "money.fraction.digits": "0"},
}

// sweep is the case of one of them: a table for each type, with a column for each value, as the column's default and as
// the value of a row of the snapshot, of a row of the stream, and of an update to null.
func sweep(n int) scenario {
	s := scenario{seed: uint64(n), config: sweeps[n]}
	var rows, updates []step
	for i, k := range kinds {
		t := &table{id: i, name: fmt.Sprintf("s%d", i)}
		create := statement{table: i, verb: "create", sql: t.name, cols: []string{"k"}, vals: []string{"k int primary key"}}
		var nulls []string
		for _, v := range k.values {
			c := fmt.Sprintf("c%d", t.nextCol)
			t.nextCol++
			def := " default " + v
			if strings.Contains(strings.Trim(v, "E'"), "'") {
				def = "" // a quote within is cut by the original
			}
			create.cols, create.vals = append(create.cols, c), append(create.vals, c+" "+k.sql+def)
			nulls = append(nulls, "null")
		}
		s.tables = append(s.tables, t)
		s.steps = append(s.steps, step{statements: []statement{create}})
		for row := range 2 {
			insert := statement{table: i, verb: "insert", sql: t.name, cols: create.cols, vals: append([]string{fmt.Sprint(row)}, k.values...)}
			update := statement{table: i, verb: "update", sql: t.name, cols: create.cols[1:], vals: nulls, drops: fmt.Sprintf("k = %d", row)}
			if row == 0 {
				s.steps = append(s.steps, step{statements: []statement{insert}})
				updates = append(updates, step{statements: []statement{update}})
			} else {
				rows = append(rows, step{statements: []statement{insert}})
			}
		}
	}
	s.steps = append(append(append(append(s.steps, step{word: "@start"}), rows...), updates...), step{word: "mark"})
	return s
}
