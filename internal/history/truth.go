// SPDX-License-Identifier: Apache-2.0

package history

import (
	"fmt"
	"maps"
	"slices"
)

// truth is what the source's journal says of one table: the events that must be told, in order, the versions of each row,
// and the fingerprint of the table at each commit.
type truth struct {
	steps    []step
	versions map[string][]version // by key; the first is that there is no row
	prints   map[int]uint64       // by the number of a commit that changed the table
	rows     map[string]Row       // at the end
	print    uint64               // of rows
	keyless  bool                 // rows cannot be told apart: their events are judged, the table is not

	next    int            // the step that must come; -1 until streaming began
	current map[string]int // the version of each key that the topic tells now
	pending []compared     // commits that are judged at the end
	began   int            // the first step that was told
}

// step is an event that must be told.
type step struct {
	commit   int // number of the commit
	xid      int64
	op       string
	key      string
	old, new Row
	version  int // that it makes, of key
}

// version is what a step made of a row; a nil row is none.
type version struct {
	step int
	row  Row
}

// compared is a commit at which the topic's rows are compared with the source's.
type compared struct {
	commit int // -1 is before the first
	print  uint64
	offset int64
}

// newTruth reads the journal; nil where it never saw the table.
func newTruth(source []Commit, table string) *truth {
	t := &truth{versions: map[string][]version{}, prints: map[int]uint64{}, rows: map[string]Row{}, next: -1, current: map[string]int{}}
	seen := false
	for n, c := range source {
		touched := false
		for i := range c.Changes {
			if ch := &c.Changes[i]; ch.Table == table {
				seen, touched = true, true
				t.note(n, c.XID, ch)
			}
		}
		if touched {
			t.prints[n] = t.print
		}
	}
	if !seen {
		return nil
	}
	return t
}

// note adds a change of the journal. An update of the key is told as delete and create.
func (t *truth) note(commit int, xid int64, ch *Change) {
	add := func(op, key string, old, row Row) {
		s := step{commit: commit, xid: xid, op: op, key: key, old: old, new: row}
		if op != "t" {
			s.version = t.make(key, row)
		}
		t.steps = append(t.steps, s)
	}
	oldKey, newKey := ch.Old.only(ch.Key).text(), ch.New.only(ch.Key).text()
	switch {
	case ch.Op == "t":
		for _, key := range slices.Sorted(maps.Keys(t.rows)) {
			t.make(key, nil)
		}
		add("t", "", nil, nil)
	case ch.Op == "u" && oldKey != newKey:
		add("d", oldKey, ch.Old, nil)
		add("c", newKey, nil, ch.New)
	case ch.Op == "d":
		add("d", oldKey, ch.Old, nil)
	default:
		add(ch.Op, newKey, ch.Old, ch.New)
	}
	if old := t.rows[oldKey]; old != nil {
		t.print ^= fingerprint(old)
	}
	if ch.Op == "t" {
		t.print = 0
	}
	if ch.New != nil {
		t.print ^= fingerprint(ch.New)
	}
	t.keyless = t.keyless || len(ch.Key) == 0
	ch.apply(t.rows)
}

// make adds a version of a row.
func (t *truth) make(key string, row Row) int {
	if t.versions[key] == nil {
		t.versions[key] = []version{{step: -1}}
	}
	t.versions[key] = append(t.versions[key], version{len(t.steps), row})
	return len(t.versions[key]) - 1
}

// read places a row of a snapshot: at the first version that is not older than what was told.
func (t *truth) read(e *event) (what, rule string) {
	all, current := t.versions[e.keyText], t.current[e.keyText]
	if t.keyless {
		current = 0
	}
	for i := current; i < len(all); i++ {
		if all[i].row != nil && differs(e.after, all[i].row) == "" {
			t.current[e.keyText] = i
			return "", ""
		}
	}
	for i := range min(current, len(all)) {
		if all[i].row != nil && differs(e.after, all[i].row) == "" {
			return fmt.Sprintf("snapshot row of %s is version %d, and version %d was told before", e.keyText, i, current), "R6"
		}
	}
	return fmt.Sprintf("snapshot row of %s never was in the source: %s", e.keyText, e.after.text()), "R3"
}

// expected finds the step of a change that is told for the first time, and judges its place (R1, R2, R3). nil where the
// source made no such change.
func (l *lane) expected(e *event) *step {
	t := l.truth
	n := t.next
	if n < 0 {
		n = t.find(e, 0)
		if n > 0 && t.steps[n-1].commit == t.steps[n].commit {
			l.violate("R1", e, "the stream begins in the middle of transaction %d", e.source.TxID)
		}
		t.began = n
		if n >= 0 {
			l.compare(n, e)
		}
	} else if n >= len(t.steps) || !t.steps[n].is(e) {
		if n = t.find(e, n); n >= 0 {
			l.violate("R1", e, "%d changes are missing, the first is %s", n-t.next, t.steps[t.next].text())
		} else if n = t.find(e, 0); n >= 0 {
			l.violate("R2", e, "%s was to come before %s", t.steps[n].text(), t.following())
			return &t.steps[n]
		}
	}
	if n < 0 {
		l.violate("R3", e, "the source never committed %s of %s in transaction %d", e.op, e.keyText, e.source.TxID)
		return nil
	}
	s := &t.steps[n]
	if n > 0 && t.next >= 0 && t.steps[n-1].commit != s.commit {
		l.compare(n, e)
	}
	t.next = n + 1
	l.raise(e, s)
	return s
}

// raise moves the told version of a row on; a snapshot may have told a newer one (R6).
func (l *lane) raise(e *event, s *step) {
	t := l.truth
	if s.op == "t" {
		for key, all := range t.versions {
			for i, v := range all {
				if v.step <= t.next-1 {
					t.current[key] = max(t.current[key], i)
				}
			}
		}
		return
	}
	if at := t.current[s.key]; at >= s.version && !t.keyless {
		l.violate("R6", e, "%s of %s is version %d, and a snapshot has told version %d before", e.op, s.key, s.version, at)
	}
	t.current[s.key] = s.version
}

// compare notes the rows as they are ahead of step n, where a commit ended.
func (l *lane) compare(n int, e *event) {
	t := l.truth
	c := compared{-1, l.print, e.offset}
	if n > 0 {
		c.commit = t.steps[n-1].commit
	}
	if l.c.o.Partial && t.began > 0 || t.keyless {
		return // what was there before the stream is unknown to the topic
	}
	t.pending = append(t.pending, c)
}

// emptied takes a TRUNCATE that was told just now. Rows that a snapshot still owed will never come: a topic that never was
// complete, and only lacks rows, is judged from here on.
func (t *truth) emptied(told map[string]Row) {
	for _, p := range t.pending {
		if p.commit >= 0 && p.print == t.prints[p.commit] {
			return // it was complete
		}
	}
	for key, row := range told {
		var last Row
		for _, v := range t.versions[key] {
			if v.step < t.next-1 {
				last = v.row
			}
		}
		if last == nil || differs(row, last) != "" {
			return // it has what the source had not
		}
	}
	t.pending = nil
}

// find is the first step from n on that is the event, -1 for none.
func (t *truth) find(e *event, n int) int {
	for i := n; i < len(t.steps); i++ {
		if t.steps[i].is(e) {
			return i
		}
	}
	return -1
}

// following is the step that was to come, for messages.
func (t *truth) following() string {
	if t.next < len(t.steps) {
		return t.steps[t.next].text()
	}
	return "the end"
}

// is says whether the event is that of the step.
func (s *step) is(e *event) bool {
	return s.xid == e.source.TxID && s.op == e.op && s.key == e.keyText
}

func (s *step) text() string { return fmt.Sprintf("%s of %s in transaction %d", s.op, s.key, s.xid) }

// finishTruth judges the end of the topic, and the rows at each commit (R1, R7).
func (l *lane) finishTruth() {
	t := l.truth
	if !l.c.o.Open {
		if t.next >= 0 && t.next < len(t.steps) {
			l.violate("R1", nil, "the last %d changes are missing, the first is %s", len(t.steps)-t.next, t.steps[t.next].text())
		}
		if !t.keyless && (!l.c.o.Partial || t.began == 0 && t.next >= 0) {
			l.lastRows()
		}
	}
	for _, p := range t.pending {
		l.c.report.Commits++
		if p.print != t.prints[p.commit] {
			l.c.violate("R7", l.topic, p.offset, "ahead of it, after the source's commit %d, the rows are not the source's", p.commit)
			return // the commits behind it differ too
		}
	}
}

// lastRows compares the rows at the end.
func (l *lane) lastRows() {
	l.c.report.Commits++
	for _, key := range slices.Sorted(maps.Keys(l.truth.rows)) {
		got, ok := l.rows[key]
		if !ok {
			l.violate("R7", nil, "at the end %s is not in the topic", key)
			return
		}
		if column := differs(got, l.truth.rows[key]); column != "" {
			l.violate("R7", nil, "at the end column %s of %s is %s, in the source %s", column, key, short(got[column]), short(l.truth.rows[key][column]))
			return
		}
	}
	for _, key := range slices.Sorted(maps.Keys(l.rows)) {
		if _, ok := l.truth.rows[key]; !ok {
			l.violate("R7", nil, "at the end %s is in the topic, and not in the source", key)
			return
		}
	}
}
