// SPDX-License-Identifier: Apache-2.0

package recorded

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// number finds the numbers that may be floats: those with a point or an exponent.
var number = regexp.MustCompile(`-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?`)

// sameButFloats says whether two lines differ only in how equal floats are written: a shorter exact form is fine.
func sameButFloats(got, want string) bool {
	norm := func(s string) string {
		return number.ReplaceAllStringFunc(s, func(n string) string {
			if !strings.ContainsAny(n, ".eE") {
				return n
			}
			f, err := strconv.ParseFloat(n, 64)
			if err != nil {
				return n
			}
			return strconv.FormatFloat(f, 'g', -1, 64)
		})
	}
	return norm(got) == norm(want)
}

// Difference is what a comparison of lines found.
type Difference struct {
	Text   string   // for a person; "" is none
	Floats []string // lines equal but for the form of floats
}

// Compare compares line by line. The first few differences are shown around the place where they begin.
func Compare(got, want []string) Difference {
	var d Difference
	var b strings.Builder
	shown := 0
	for i := range max(len(got), len(want)) {
		g, w := lineAt(got, i), lineAt(want, i)
		if g == w {
			continue
		}
		if g != "" && w != "" && sameButFloats(g, w) {
			d.Floats = append(d.Floats, g)
			continue
		}
		if shown++; shown <= 3 {
			at := commonPrefix(g, w)
			fmt.Fprintf(&b, "line %d, byte %d:\n  got  %s\n  want %s\n", i+1, at, around(g, at), around(w, at))
		}
	}
	if shown > 0 {
		d.Text = fmt.Sprintf("%d lines, want %d; %d differ\n%s", len(got), len(want), shown, b.String())
	}
	return d
}

func lineAt(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

func commonPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// around shows a line near a byte, with the topic in front.
func around(s string, at int) string {
	if s == "" {
		return "(no line)"
	}
	head, _, _ := strings.Cut(s, ",")
	from, to := max(0, at-120), min(len(s), at+200)
	if from < len(head) {
		head = ""
	} else {
		head += " ... "
	}
	return head + s[from:to]
}
