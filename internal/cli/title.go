// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"

	"freshet/connect"
)

// TakeArgs returns copies of the process's arguments, and puts asterisks over the passwords in the originals: they are
// what other users of the machine see of a process (ps, /proc/PID/cmdline), and the URLs of `freshet replicate` hold
// passwords. Nothing may have kept a part of args before.
func TakeArgs(args []string) []string {
	out := make([]string, len(args))
	for i, arg := range args {
		out[i] = strings.Clone(arg)
		if from, to := secretSpan(out[i]); from < to {
			blank(arg, from, to)
		}
	}
	return out
}

// secretSpan is the part of a text that has all of its passwords. It is wider than they are where there are several.
func secretSpan(s string) (from, to int) {
	shown := connect.RedactValue(s)
	if shown == s {
		return 0, 0
	}
	to = len(s)
	for from < min(len(s), len(shown)) && s[from] == shown[from] {
		from++
	}
	for end := len(shown); to > from && end > from && s[to-1] == shown[end-1]; to-- {
		end--
	}
	return from, to
}
