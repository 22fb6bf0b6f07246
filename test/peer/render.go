// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"
	"strings"
)

// render writes the scenario as a case.
func (s scenario) render() peerCase {
	c := peerCase{
		Title: fmt.Sprintf("random case of seed %d", s.seed), Source: "postgres", Config: s.config, files: map[string]string{},
	}
	var text strings.Builder
	text.WriteString(prelude + "create table " + marks + " (id int primary key);\n")
	file, marked := "setup.sql", 0
	flush := func() {
		if text.Len() > 0 {
			c.files[file] = text.String()
			c.Steps = append(c.Steps, file)
		}
		text.Reset()
		file = fmt.Sprintf("%02d.sql", len(c.files))
	}
	for _, st := range s.steps {
		switch {
		case st.word == "mark":
			marked++
			fmt.Fprintf(&text, "insert into %s values (%d);\n", marks, marked)
			flush()
		case st.word != "":
			flush()
			c.Steps = append(c.Steps, st.word)
		default:
			s.write(&text, st)
		}
	}
	flush()
	return c
}

func (s scenario) write(text *strings.Builder, st step) {
	var lines []string
	for _, one := range st.statements {
		if line := s.statement(one); line != "" {
			lines = append(lines, line+";\n")
		}
	}
	if st.together {
		if len(lines) < 2 {
			return
		}
		text.WriteString("begin;\n")
	}
	text.WriteString(strings.Join(lines, ""))
}

// statement is the text of a statement without the columns that are gone; "" when nothing is left.
func (s scenario) statement(st statement) string {
	table := strconv.Itoa(st.table) + "."
	if st.table >= 0 && s.gone[table] {
		return ""
	}
	var cols, vals, sets []string
	for i, c := range st.cols {
		if c != "" && s.gone[table+c] {
			continue
		}
		cols, vals, sets = append(cols, c), append(vals, st.vals[i]), append(sets, c+" = "+st.vals[i])
	}
	switch st.verb {
	case "create":
		return "create table " + st.sql + " (" + strings.Join(vals, ", ") + ")"
	case "insert":
		return "insert into " + st.sql + " (" + strings.Join(cols, ", ") + ") values (" + strings.Join(vals, ", ") + ")"
	case "update":
		if len(sets) == 0 {
			return ""
		}
		return "update " + strings.TrimSuffix(st.sql, " set ") + " set " + strings.Join(sets, ", ") + " where " + st.drops
	}
	if st.drops != "" && s.gone[table+st.drops] {
		return ""
	}
	return st.sql
}
