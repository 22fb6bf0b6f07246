// SPDX-License-Identifier: Apache-2.0

package history_test

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/internal/history"
)

// world makes a faithful history: what the source committed, and what the topic tells of it.
type world struct {
	commits []history.Commit
	records []history.Record
	rows    map[int]history.Row
	xid     int64
	lsn     int64
	commit  int64
	n       int
}

const topicName = "p.public.t"

func row(id int, v string) history.Row {
	return history.Row{"id": strconv.Itoa(id), "v": strconv.Quote(v)}
}

func (w *world) json(r history.Row) string {
	if r == nil {
		return "null"
	}
	return `{"id":` + r["id"] + `,"v":` + r["v"] + `}`
}

func (w *world) emit(op string, id int, before, after history.Row, snapshot string) {
	w.n++
	value := fmt.Sprintf(`{"before":%s,"after":%s,"source":{"name":"p","db":"d","schema":"public","table":"t","txId":%d,"lsn":%d,"snapshot":%q,"sequence":"[\"%d\",\"%d\"]"},"op":%q,"ts_ms":%d}`,
		w.json(before), w.json(after), w.xid, w.lsn, snapshot, w.commit, w.lsn, op, w.n)
	w.append(id, []byte(value))
	if op == "d" {
		w.append(id, nil)
	}
}

func (w *world) append(id int, value []byte) {
	key := []byte(`{"id":` + strconv.Itoa(id) + `}`)
	if id < 0 {
		key = nil
	}
	w.records = append(w.records, history.Record{Topic: topicName, Offset: int64(len(w.records)), Key: key, Value: value})
}

// tx commits changes: c1=x, u1=y, d1, k1>2 (the key), t.
func (w *world) tx(told bool, changes ...string) {
	w.xid++
	c := history.Commit{XID: w.xid}
	for _, text := range changes {
		w.lsn++
		ch, emit := w.change(text)
		c.Changes = append(c.Changes, ch)
		if told {
			emit()
		}
	}
	w.lsn++
	w.commit = w.lsn
	w.commits = append(w.commits, c)
}

func (w *world) change(text string) (history.Change, func()) {
	var id, to int
	var v string
	ch := history.Change{Table: "public.t", Op: text[:1], Key: []string{"id"}}
	switch text[0] {
	case 'c', 'u':
		_, _ = fmt.Sscanf(text[1:], "%d=%s", &id, &v)
		ch.Old, ch.New = w.rows[id], row(id, v)
		w.rows[id] = ch.New
		return ch, func() { w.emit(ch.Op, id, nil, ch.New, "false") }
	case 'k':
		_, _ = fmt.Sscanf(text[1:], "%d>%d", &id, &to)
		ch.Op, ch.Old = "u", w.rows[id]
		ch.New = history.Row{"id": strconv.Itoa(to), "v": ch.Old["v"]}
		delete(w.rows, id)
		w.rows[to] = ch.New
		return ch, func() {
			w.emit("d", id, history.Row{"id": ch.Old["id"], "v": "null"}, nil, "false")
			w.emit("c", to, nil, ch.New, "false")
		}
	case 'd':
		_, _ = fmt.Sscanf(text[1:], "%d", &id)
		ch.Old = w.rows[id]
		delete(w.rows, id)
		return ch, func() { w.emit("d", id, ch.Old, nil, "false") }
	}
	clear(w.rows)
	return ch, func() { w.emit("t", -1, nil, nil, "false") }
}

// snapshot tells all rows.
func (w *world) snapshot() {
	w.lsn++
	ids := []int{}
	for id := range w.rows {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		w.emit("r", id, nil, w.rows[id], "true")
	}
}

func newWorld() *world { return &world{rows: map[int]history.Row{}, xid: 100, lsn: 1000} }

// life is a history with everything in it.
func life() *world {
	w := newWorld()
	w.tx(false, "c1=a", "c2=b", "c3=c")
	w.tx(false, "u1=b", "d3")
	w.snapshot()
	w.tx(true, "u1=c", "c3=x")
	w.tx(true, "u2=c", "u2=d", "k3>4")
	w.tx(true, "d4", "c5=e")
	w.tx(true, "t", "c1=n")
	w.tx(true, "u1=o")
	return w
}

func options(w *world) history.Options { return history.Options{Prefix: "p", Source: w.commits} }

func TestFaithfulHistoryIsAccepted(t *testing.T) {
	w := life()
	rep, err := history.Check(options(w), w.records)
	require.NoError(t, err)
	require.Equal(t, history.Report{Records: 15, Snapshot: 2, Changes: 11, Commits: 6}, rep)
	rep, err = history.Check(history.Options{Prefix: "p"}, w.records)
	require.NoError(t, err, "without a journal")
	require.Equal(t, 11, rep.Changes)
}

// repeat appends records again, as a restart does.
func (w *world) repeat(from, to int) {
	for i := from; i < to; i++ {
		r := w.records[i]
		r.Offset = int64(len(w.records))
		w.records = append(w.records, r)
	}
}

func TestRepeats(t *testing.T) {
	first := func() *world { // a snapshot of nothing, then three transactions
		w := newWorld()
		w.tx(true, "c1=a", "c2=b")
		w.tx(true, "u1=b", "d2")
		return w
	}
	for _, c := range []struct {
		name string
		do   func(w *world)
		want string
	}{
		{"whole", func(w *world) { w.repeat(0, 5) }, ""},
		{"the end", func(w *world) { w.repeat(2, 5) }, ""},
		{"interrupted by another", func(w *world) { w.repeat(0, 2); w.repeat(1, 5) }, ""},
		{"and on", func(w *world) { w.repeat(2, 5); w.tx(true, "c3=c") }, ""},
		{"that stops early", func(w *world) { w.repeat(0, 2) }, "R4"},
		{"that stops early, and on", func(w *world) { w.repeat(0, 2); w.tx(true, "c3=c") }, "R4"},
		{"with a gap", func(w *world) { w.repeat(0, 1); w.repeat(2, 5) }, "R4"},
		{"of other bytes", func(w *world) { w.repeat(2, 5); w.records[5].Value = replace(w.records[5].Value, `"v":"b"`, `"v":"z"`) }, "R4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := first()
			c.do(w)
			// The rows of a repeat go back: only runs are judged here, not the table.
			rep, err := history.Check(history.Options{Prefix: "p", Open: true}, w.records)
			require.Equal(t, c.want, ruleOf(err), "%v", err)
			require.NotZero(t, rep.Repeats)
		})
	}
	w := first()
	w.repeat(2, 5)
	_, err := history.Check(history.Options{Prefix: "p", Exact: true}, w.records)
	require.Equal(t, "R4", ruleOf(err), "no repeat where none is allowed")
}

func replace(text []byte, old, by string) []byte {
	out := []byte{}
	for i := 0; i < len(text); {
		if n := len(old); i+n <= len(text) && string(text[i:i+n]) == old {
			out = append(out, by...)
			i += n
			continue
		}
		out = append(out, text[i])
		i++
	}
	return out
}

func ruleOf(err error) string {
	var v *history.ViolationError
	if errors.As(err, &v) {
		return v.Rule
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

// TestCorruptedHistoriesAreRefused: each rule has a history that it must refuse, or it guards nothing.
func TestCorruptedHistoriesAreRefused(t *testing.T) {
	edit := func(i int, old, by string) func(w *world) {
		return func(w *world) {
			value := replace(w.records[i].Value, old, by)
			if string(value) == string(w.records[i].Value) {
				panic(fmt.Sprintf("%q is not in %s", old, value))
			}
			w.records[i].Value = value
		}
	}
	drop := func(from, to int) func(w *world) {
		return func(w *world) { w.records = slices.Delete(w.records, from, to) }
	}
	// The records are: r1 r2 | u1 c3 | u2 u2 d3 ∅ c4 | d4 ∅ c5 | t c1 | u1
	for _, c := range []struct {
		name  string
		rule  string // with a journal
		alone string // and without one, "" where that cannot tell
		do    func(w *world)
	}{
		{"a change lost", "R1", "", drop(4, 5)},
		{"a transaction lost", "R1", "R3", drop(4, 9)},
		{"the first changes lost", "R7", "R3", drop(2, 4)},
		{"half of the first transaction lost", "R1", "", drop(2, 3)},
		{"the last change lost", "R1", "", drop(14, 15)},
		{"a row of the snapshot lost", "R7", "R3", drop(1, 2)},
		{"two changes of a key exchanged", "R2", "R2", func(w *world) { w.records[4], w.records[5] = w.records[5], w.records[4] }},
		{"a transaction before another", "R1", "R3", func(w *world) {
			w.records = slices.Concat(w.records[:4], w.records[9:12], w.records[4:9], w.records[12:])
		}},
		{"a transaction twice, with others between", "R1", "R2", func(w *world) {
			w.records[13].Value = replace(w.records[13].Value, `"txId":106`, `"txId":104`)
		}},
		{"a value changed", "R3", "", edit(2, `"v":"c"`, `"v":"q"`)},
		{"a value of the snapshot changed", "R3", "", edit(0, `"v":"b"`, `"v":"q"`)},
		{"an old row changed", "R3", "R3", edit(9, `"before":{"id":4`, `"before":{"id":5`)},
		{"a transaction that nobody committed", "R3", "", func(w *world) { w.xid = 4711; w.emit("c", 9, nil, row(9, "x"), "false") }},
		{"a row of a rolled-back transaction", "R3", "R3", edit(3, `"v":"x"`, `"v":"never committed"`)},
		{"created twice", "R3", "R3", func(w *world) { w.xid = 4711; w.emit("c", 1, nil, row(1, "x"), "false") }},
		{"an older row of a snapshot behind a change", "R6", "R6", func(w *world) { w.repeat(0, 1) }},
		{"a snapshot older than the stream", "R6", "R6", func(w *world) {
			w.records = slices.Concat(w.records[1:3], w.records[:1], w.records[3:])
		}},
		{"a change behind a newer row of a snapshot", "R6", "", edit(1, `"v":"b"`, `"v":"d"`)},
		{"the last commit goes back", "R5", "R5", edit(14, `"sequence":"[\"1`, `"sequence":"[\"0`)},
		{"another table in the source block", "R15", "R15", edit(2, `"table":"t"`, `"table":"u"`)},
		{"another key than the row's", "R15", "R15", func(w *world) { w.records[2].Key = []byte(`{"id":2}`) }},
		{"another schema name", "R15", "R15", func(w *world) {
			w.records[2].Value = []byte(`{"schema":{"name":"p.public.u.Envelope"},"payload":` + string(w.records[2].Value) + `}`)
		}},
		{"no change event", "R15", "R15", func(w *world) { w.records[2].Value = []byte(`{"op":7}`) }},
		{"a tombstone lost", "R4", "R4", drop(10, 11)},
		{"a tombstone without a delete", "R4", "R4", drop(9, 10)},
		{"a delete at the end without its tombstone", "R4", "R4", func(w *world) {
			w.tx(true, "d1")
			w.records = w.records[:len(w.records)-1]
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := life()
			c.do(w)
			o := options(w)
			o.Tags = []string{"never committed"}
			_, err := history.Check(o, w.records)
			require.Contains(t, rulesOf(err), c.rule, "%v", err)
			o.Source = nil
			_, err = history.Check(o, w.records)
			if c.alone == "" {
				require.NoError(t, err)
				return
			}
			require.Contains(t, rulesOf(err), c.alone, "%v", err)
		})
	}
}

func rulesOf(err error) (out []string) {
	var list interface{ Unwrap() []error }
	if errors.As(err, &list) {
		for _, e := range list.Unwrap() {
			out = append(out, ruleOf(e))
		}
	}
	return out
}

// R7: intermediate states count, not only the last one.
func TestEveryCommitIsCompared(t *testing.T) {
	w := life()
	// A row that no step of the source explains, and that is gone before the end: only the states between show it.
	ghost := &world{rows: map[int]history.Row{}, xid: 90, lsn: 900}
	ghost.emit("r", 8, nil, row(8, "ghost"), "true")
	w.commits = slices.Insert(w.commits, 0, history.Commit{XID: 90, Changes: []history.Change{
		{Table: "public.t", Op: "c", New: row(8, "ghost"), Key: []string{"id"}},
		{Table: "public.t", Op: "d", Old: row(8, "ghost"), Key: []string{"id"}},
	}})
	_, err := history.Check(options(w), append(ghost.records, w.records...))
	require.Equal(t, "R7", ruleOf(err), "%v: a deleted row of an abandoned snapshot stays", err)
}

// Rows that an interrupted snapshot still owes are never told where the table is truncated first.
func TestTruncateOfRowsThatWereOwed(t *testing.T) {
	interrupted := func(unread bool) *world {
		w := newWorld()
		w.tx(false, "c1=a", "c2=b", "c3=c")
		if !unread {
			w.snapshot()
		}
		w.tx(true, "u1=b", "c4=d")
		w.tx(true, "d2")
		return w
	}
	w := interrupted(true)
	w.tx(true, "t", "c1=n")
	w.tx(true, "u1=o")
	_, err := history.Check(options(w), w.records)
	require.NoError(t, err)

	w = interrupted(true)
	w.tx(true, "c5=x")
	_, err = history.Check(options(w), w.records)
	require.Equal(t, "R7", ruleOf(err), "%v: without it they are missing", err)

	w = interrupted(false)
	w.rows[9] = row(9, "ghost") // of no step
	w.emit("c", 9, nil, w.rows[9], "false")
	w.tx(true, "t", "c1=n")
	_, err = history.Check(options(w), w.records)
	require.Error(t, err, "a row of no source")
}

func TestValuesThatWereNotSent(t *testing.T) {
	w := newWorld()
	w.tx(true, "c1=long", "u1=long")
	w.records[1].Value = replace(w.records[1].Value, `"v":"long"`, `"v":"__debezium_unavailable_value"`)
	rep, err := history.Check(options(w), w.records)
	require.NoError(t, err)
	require.Equal(t, 1, rep.Fallbacks)

	w = newWorld()
	w.tx(true, "c1=long", "u1=other")
	w.records[1].Value = replace(w.records[1].Value, `"v":"other"`, `"v":"__debezium_unavailable_value"`)
	_, err = history.Check(options(w), w.records)
	require.Equal(t, "R3", ruleOf(err), "the value had changed: %v", err)
}

func TestOldRowsInFull(t *testing.T) {
	w := newWorld()
	w.tx(true, "c1=a", "u1=b")
	o := options(w)
	o.Full = map[string]bool{"public.t": true}
	_, err := history.Check(o, w.records)
	require.Equal(t, "R3", ruleOf(err), "%v", err)
	w.records[1].Value = replace(w.records[1].Value, `"before":null`, `"before":{"id":1,"v":"a"}`)
	_, err = history.Check(o, w.records)
	require.NoError(t, err)
	w.records[1].Value = replace(w.records[1].Value, `"v":"a"`, `"v":null`)
	_, err = history.Check(o, w.records)
	require.Equal(t, "R3", ruleOf(err), "%v", err)
}

func TestPartialAndMissingTopics(t *testing.T) {
	w := newWorld()
	w.tx(false, "c1=a", "c2=b")
	w.tx(true, "u1=b", "d2")
	o := options(w)
	_, err := history.Check(o, w.records)
	require.Equal(t, "R7", ruleOf(err), "%v", err)
	o.Partial = true
	_, err = history.Check(o, w.records)
	require.NoError(t, err)
	_, err = history.Check(o, nil)
	require.Equal(t, "R1", ruleOf(err), "%v", err)
}

// R10: numbers and counts of transactions.
func TestTransactions(t *testing.T) {
	numbered := func() *world {
		w := newWorld()
		w.tx(true, "c1=a", "c2=b")
		w.tx(true, "u1=b", "d2")
		for i, block := range map[int]string{0: "1,1", 1: "2,2", 2: "1,1", 3: "2,2"} {
			var total, table int
			_, _ = fmt.Sscanf(block, "%d,%d", &total, &table)
			w.records[i].Value = replace(w.records[i].Value, `"ts_ms":`, fmt.Sprintf(`"transaction":{"id":"t%d:%d","total_order":%d,"data_collection_order":%d},"ts_ms":`, i/2, i, total, table))
		}
		for i := range 2 {
			w.records = append(w.records, history.Record{Topic: "p.transaction", Offset: int64(i), Value: fmt.Appendf(nil, `{"status":"END","id":"t%d:9","event_count":2}`, i)})
		}
		return w
	}
	w := numbered()
	o := history.Options{Prefix: "p", Exact: true}
	rep, err := history.Check(o, w.records)
	require.NoError(t, err)
	require.Equal(t, 2, rep.Transactions)
	for name, do := range map[string]func(w *world){
		"a number is left out": func(w *world) {
			w.records[1].Value = replace(w.records[1].Value, `"data_collection_order":2`, `"data_collection_order":3`)
		},
		"numbers begin anew": func(w *world) {
			w.records[1].Value = replace(w.records[1].Value, `"total_order":2,"data_collection_order":2`, `"total_order":1,"data_collection_order":1`)
		},
		"END counts another": func(w *world) { w.records[5].Value = replace(w.records[5].Value, `:2}`, `:3}`) },
		"no END":             func(w *world) { w.records = w.records[:6] },
		"END twice":          func(w *world) { w.records = append(w.records, w.records[6]) },
		"END is no END":      func(w *world) { w.records[5].Value = []byte("x") },
	} {
		t.Run(name, func(t *testing.T) {
			w := numbered()
			do(w)
			_, err := history.Check(o, w.records)
			require.Contains(t, rulesOf(err), "R10", "%v", err)
		})
	}
}

func TestParseJournal(t *testing.T) {
	commits, err := history.ParseJournal([][]string{
		{"7", "public.t", "c", "NULL", `{"id": 1, "v": "\u0041"}`, `["id"]`},
		{"7", "public.t", "u", `{"id": 1, "v": "A"}`, `{"id": 1, "v": null}`, `["id"]`},
		{"9", "public.t", "t", "NULL", "NULL", `["id"]`},
	})
	require.NoError(t, err)
	key := []string{"id"}
	require.Equal(t, []history.Commit{
		{XID: 7, Changes: []history.Change{
			{Table: "public.t", Op: "c", New: row(1, "A"), Key: key},
			{Table: "public.t", Op: "u", Old: row(1, "A"), New: history.Row{"id": "1", "v": "null"}, Key: key},
		}},
		{XID: 9, Changes: []history.Change{{Table: "public.t", Op: "t", Key: key}}},
	}, commits)
	_, err = history.ParseJournal([][]string{{"x", "", "", "NULL", "NULL", "[]"}})
	require.Error(t, err)
}
