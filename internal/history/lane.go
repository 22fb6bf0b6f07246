// SPDX-License-Identifier: Apache-2.0

package history

import (
	"bytes"
	"strings"
	"unicode/utf16"
)

// lane is one topic being judged: what it told so far.
type lane struct {
	c     *Checker
	topic string
	table string // that it is named after, "" for a topic of something else
	truth *truth // nil where the source's journal knows nothing of the table

	rows  map[string]Row // the topic replayed, by key
	print uint64         // fingerprint of rows
	moved Row            // the row that the last delete took away: a changed key may refer to its values

	last     *event // the record before
	numbered place  // of the change before
	runs     runs
	xid      int64 // of the transaction being told
	lsn      int64
	commit   uint64         // the last commit that a change named
	left     map[int64]bool // transactions that were left
	changed  map[string]int64
}

func (c *Checker) newLane(topic string) *lane {
	l := &lane{
		c: c, topic: topic, table: c.tableOf(topic), rows: map[string]Row{}, runs: runs{byID: map[string]int{}, at: -1},
		left: map[int64]bool{}, changed: map[string]int64{},
	}
	if l.table != "" {
		l.truth = newTruth(c.o.Source, l.table)
	}
	return l
}

func (l *lane) violate(rule string, e *event, format string, args ...any) {
	offset := int64(-1)
	if e != nil {
		offset = e.offset
	}
	l.c.violate(rule, l.topic, offset, format, args...)
}

// add judges the next record.
func (l *lane) add(r *Record) {
	for _, tag := range l.c.o.Tags {
		if bytes.Contains(r.Value, []byte(tag)) || bytes.Contains(r.Key, []byte(tag)) {
			l.c.violate("R3", l.topic, r.Offset, "%q is in a row that was rolled back", tag)
		}
	}
	if l.table == "" {
		return
	}
	e, names, err := parse(r)
	if err != nil {
		l.c.violate("R15", l.topic, r.Offset, "no change event: %v", err)
		return
	}
	l.tombstone(e)
	l.last = e
	if e.tombstone {
		return
	}
	l.identity(e, names)
	switch {
	case e.op == "m":
	case e.snapshot():
		l.snapshotRow(e)
	case l.repeated(e):
	default:
		l.order(e)
		l.number(e)
		l.change(e)
	}
}

// tombstone judges that every delete has its tombstone right behind it, and nothing else has one.
func (l *lane) tombstone(e *event) {
	owed := l.last != nil && l.last.op == "d" && !l.c.o.NoTombstones && l.last.key != nil
	switch {
	case e != nil && e.tombstone && (!owed || e.keyText != l.last.keyText):
		l.violate("R4", e, "tombstone of %s without its delete", e.keyText)
	case owed && (e == nil || !e.tombstone):
		l.violate("R4", l.last, "delete of %s without its tombstone", l.last.keyText)
	}
}

// identity judges that topic, key, row, schema names and source block name the same table and row (R15).
func (l *lane) identity(e *event, names [2]string) {
	s := &e.source
	if got := s.Name + "." + s.Schema + "." + s.Table; topicName(got) != l.topic {
		l.violate("R15", e, "the source block names %s", got)
	}
	for i, want := range []string{l.topic + ".Key", l.topic + ".Envelope"} {
		if names[i] != "" && names[i] != want {
			l.violate("R15", e, "schema %s, want %s", names[i], want)
		}
	}
	row := e.after
	if e.op == "d" {
		row = e.before
	}
	if e.op == "t" || e.key == nil {
		return
	}
	if row == nil {
		l.violate("R15", e, "%s without a row", e.op)
		return
	}
	for name, value := range e.key {
		if got, ok := row[name]; ok && got != value {
			l.violate("R15", e, "the key says %s=%s, the row %s", name, value, got)
		}
	}
}

// repeated judges runs of repeats (R4), and says whether the change was told before.
func (l *lane) repeated(e *event) bool {
	again, what := l.runs.take(e)
	if what != "" {
		l.violate("R4", e, "%s", what)
	}
	if again {
		l.c.report.Repeats++
		if l.c.o.Exact {
			l.violate("R4", e, "%s %s was told before", e.op, e.keyText)
		}
	}
	return again
}

// order judges the positions of changes that are told for the first time (R2, R5).
func (l *lane) order(e *event) {
	s := &e.source
	if s.TxID != l.xid {
		if l.xid != 0 {
			l.left[l.xid] = true
		}
		if l.left[s.TxID] {
			l.violate("R2", e, "transaction %d comes again after others", s.TxID)
		}
		l.xid, l.lsn = s.TxID, 0
	}
	if s.LSN < l.lsn {
		l.violate("R2", e, "lsn %d after %d in transaction %d", s.LSN, l.lsn, s.TxID)
	}
	l.lsn = s.LSN
	if at := e.lastCommit(); at < l.commit {
		l.violate("R5", e, "the last commit was %d and is %d now", l.commit, at)
	} else {
		l.commit = at
	}
}

// change judges the rows of a streamed change, and makes it in the lane's own.
func (l *lane) change(e *event) {
	l.c.report.Changes++
	var want *step
	if l.truth != nil {
		want = l.expected(e)
		if e.op == "t" {
			l.truth.emptied(l.rows)
		}
	}
	old, known := l.rows[e.keyText]
	if want == nil && e.key != nil && !l.c.o.Partial && l.truth == nil {
		switch {
		case e.op == "c" && known:
			l.violate("R3", e, "%s is created, and is there already", e.keyText)
		case (e.op == "u" || e.op == "d") && !known:
			l.violate("R3", e, "%s of %s, which is not there", e.op, e.keyText)
		}
	}
	if want != nil {
		old, known = want.old, want.old != nil
	}
	l.before(e, old, known)
	after := l.resolve(e, old)
	if want != nil && e.op != "d" && e.op != "t" {
		if column := differs(after, want.new); column != "" {
			l.violate("R3", e, "%s of %s: column %s is %s, the source had %s", e.op, e.keyText, column, short(after[column]), short(want.new[column]))
		}
	}
	l.apply(e, after)
	l.changed[e.keyText] = e.source.LSN
}

// before judges that the old row that an event tells is the version that was there (R3). Under a replica identity that is
// not full, other columns than the key's are null, or the zero value where the schema allows no null.
func (l *lane) before(e *event, old Row, known bool) {
	full := l.c.o.Full[l.table]
	if full && e.before == nil && (e.op == "u" || e.op == "d") {
		l.violate("R3", e, "%s of %s does not tell the old row", e.op, e.keyText)
	}
	if e.before == nil || !known {
		return
	}
	for name, value := range e.before {
		had, ok := old[name]
		_, key := e.key[name]
		if !key && !full || value == had || had == l.c.placeholder() || !ok && l.truth == nil {
			continue
		}
		l.violate("R3", e, "%s of %s: the old %s was %s, the event says %s", e.op, e.keyText, name, short(had), short(value))
	}
}

// resolve is the new row with the values that were not sent, which are those of the version before.
func (l *lane) resolve(e *event, old Row) Row {
	for name, value := range e.after {
		if value != l.c.placeholder() {
			continue
		}
		l.c.report.Fallbacks++
		if had, ok := old[name]; ok {
			e.after[name] = had
		} else if had, ok := l.moved[name]; ok && e.op == "c" {
			e.after[name] = had
		}
	}
	return e.after
}

// apply changes the lane's rows.
func (l *lane) apply(e *event, after Row) {
	switch {
	case e.op == "t":
		clear(l.rows)
		l.print = 0
		return
	case e.key == nil:
		return // rows without a key are told, not kept
	}
	if old, ok := l.rows[e.keyText]; ok {
		l.print ^= fingerprint(old)
		delete(l.rows, e.keyText)
		l.moved = old
	}
	if e.op != "d" {
		l.rows[e.keyText] = after
		l.print ^= fingerprint(after)
	}
}

// snapshotRow judges a row of a snapshot (R6): it may be newer than the last change of its key, never older.
func (l *lane) snapshotRow(e *event) {
	l.c.report.Snapshot++
	if l.truth != nil {
		if what, rule := l.truth.read(e); what != "" {
			l.violate(rule, e, "%s", what)
		}
		l.truth.pending = nil // rows were missing until now
	} else if at, ok := l.changed[e.keyText]; ok && e.source.Snapshot != "incremental" && e.source.LSN < at {
		l.violate("R6", e, "snapshot row of %s from %d, behind a change at %d", e.keyText, e.source.LSN, at)
	}
	l.apply(e, e.after)
}

// finish judges what is known at the end only.
func (l *lane) finish() {
	if l.table == "" {
		return
	}
	l.tombstone(nil)
	l.c.report.Runs += l.runs.count
	if what := l.runs.open(); what != "" {
		l.violate("R4", nil, "%s", what)
	}
	if l.truth != nil {
		l.finishTruth()
	}
}

// topicName is the name with what Kafka does not allow in topics replaced, as the original does: by UTF-16 units.
func topicName(name string) string {
	var out strings.Builder
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r):
			out.WriteRune(r)
		default:
			out.WriteString("__"[:utf16.RuneLen(r)])
		}
	}
	return out.String()
}

func (c *Checker) placeholder() string { return `"` + c.o.Placeholder + `"` }

// short is a value for a message.
func short(value string) string {
	if value == "" {
		return "not there"
	}
	if len(value) > 60 {
		return strings.ToValidUTF8(value[:60], "") + "…"
	}
	return value
}
