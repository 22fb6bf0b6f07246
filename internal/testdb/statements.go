// SPDX-License-Identifier: Apache-2.0

package testdb

import (
	"regexp"
	"strings"
)

// Statement is one statement of a script, and the data of a COPY FROM STDIN.
type Statement struct{ SQL, Data string }

var copyRE = regexp.MustCompile(`(?is)^\s*copy\s.*\sfrom\s+stdin\b`)

// dollarRE is a dollar quote's tag at the start of a text.
var dollarRE = regexp.MustCompile(`^\$([\pL_][\pL\pN_]*)?\$`)

// Statements splits a script at its semicolons as psql does, except those within quotes, comments and dollar quotes.
func Statements(script string) []Statement {
	var out []Statement
	start := 0
	for i := 0; i < len(script); {
		if script[i] != ';' {
			i += skip(script[i:])
			continue
		}
		st := Statement{SQL: strings.TrimSpace(script[start:i])}
		i++
		if copyRE.MatchString(st.SQL) {
			// The data begins on the next line and ends before the line with \.
			_, rest, _ := strings.Cut(script[i:], "\n")
			data, after, _ := strings.Cut(rest, "\\.\n")
			st.Data = data
			i = len(script) - len(after)
		}
		if st.SQL != "" {
			out = append(out, st)
		}
		start = i
	}
	if last := strings.TrimSpace(script[start:]); last != "" && strings.Trim(last, "\\.") != "" {
		out = append(out, Statement{SQL: last})
	}
	return out
}

// skip returns how many bytes the token at the start of s has: a quoted text, a comment, or one byte.
func skip(s string) int {
	upTo := func(from int, end string) int {
		if i := strings.Index(s[from:], end); i >= 0 {
			return from + i + len(end)
		}
		return len(s)
	}
	switch {
	case s[0] == '\'' || s[0] == '"':
		return upTo(1, s[:1]) // a doubled quote is the end of one text and the start of the next
	case strings.HasPrefix(s, "E'") || strings.HasPrefix(s, "e'"):
		for i := 2; i < len(s); i++ {
			switch s[i] {
			case '\\':
				i++
			case '\'':
				return i + 1
			}
		}
		return len(s)
	case strings.HasPrefix(s, "--"):
		return upTo(2, "\n")
	case strings.HasPrefix(s, "/*"):
		return upTo(2, "*/")
	case s[0] == '$':
		if tag := dollarRE.FindString(s); tag != "" {
			return upTo(len(tag), tag)
		}
	}
	return 1
}
