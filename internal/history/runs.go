// SPDX-License-Identifier: Apache-2.0

package history

import (
	"fmt"
	"strconv"
)

// runs splits the changes of a topic into first emissions and repeats of them (R4): a repeat begins somewhere in what was
// told, goes on without a gap, and ends where the telling had ended; or it is interrupted by another one.
type runs struct {
	firsts []emission
	byID   map[string]int
	at     int // index in firsts of the change before, -1 for none
	count  int // of runs of repeats

	ordinal  int // of changes without a key that share one place
	ordinary string
}

// emission is a change when it was told first.
type emission struct {
	id     string
	body   uint64
	offset int64
}

// take places the next change: again says whether it was told before, what is wrong with its place.
func (r *runs) take(e *event) (again bool, what string) {
	id, body := r.id(e), fingerprint(Row{"": e.body})
	i, known := r.byID[id]
	tail := len(r.firsts) - 1
	if !known {
		if r.at != tail {
			what = fmt.Sprintf("a repeat ended %d changes before its end", tail-r.at)
		}
		r.byID[id] = len(r.firsts)
		r.firsts = append(r.firsts, emission{id, body, e.offset})
		r.at = len(r.firsts) - 1
		return false, what
	}
	switch {
	case i > r.at+1:
		what = fmt.Sprintf("a repeat skips %d changes", i-r.at-1)
	case i <= r.at:
		r.count++
	}
	if r.firsts[i].body != body {
		what = fmt.Sprintf("the repeat of offset %d is not the same", r.firsts[i].offset)
	}
	r.at = i
	return true, what
}

// id of a change. Changes without a key that share one LSN are counted.
func (r *runs) id(e *event) string {
	id := e.id()
	if e.key != nil {
		return id
	}
	place := strconv.FormatInt(e.source.TxID, 10) + "/" + strconv.FormatInt(e.source.LSN, 10)
	if place != r.ordinary {
		r.ordinary, r.ordinal = place, 0
	}
	r.ordinal++
	return id + "#" + strconv.Itoa(r.ordinal)
}

// open says what is wrong at the end of the topic.
func (r *runs) open() string {
	if left := len(r.firsts) - 1 - r.at; left > 0 {
		return fmt.Sprintf("the last repeat ends %d changes before its end", left)
	}
	return ""
}
