// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// column is a column of a random table, as it is at a point of the case.
type column struct {
	name    string
	kind    kind
	notNull bool
	def     string // "" is none
	toast   bool
}

func (c *column) declaration() string {
	s := c.name + " " + c.kind.sql
	if c.def != "" {
		s += " default " + c.def
	}
	if c.notNull {
		s += " not null"
	}
	return s
}

// table is a random table while a case is made.
type table struct {
	id       int
	name     string // as SQL writes it
	keys     []*column
	columns  []*column // the others
	keyless  bool
	identity string
	live     [][]string // keys of its rows
	next     int        // number of the next key
	nextCol  int
}

// optional are the names of the columns that a smaller case may leave out.
func (t *table) optional() []string {
	var out []string
	for i := range t.nextCol {
		out = append(out, "c"+strconv.Itoa(i))
	}
	return out
}

// statement is one statement, in parts: so that a column can be left out of it.
type statement struct {
	table int    // -1 for none
	verb  string // insert, update, or "" for sql
	sql   string // the statement, or what stands behind its columns
	cols  []string
	vals  []string
	drops string // the column that the statement is about
}

// step is what is done at once: the statements of a transaction, one statement, or a word of the runner.
type step struct {
	word       string // "@start", "@stop", "@resume", or "mark"
	statements []statement
	together   bool // in one transaction
}

// scenario is a random case before it is text.
type scenario struct {
	seed   uint64
	config map[string]string
	tables []*table
	steps  []step
	gone   map[string]bool // "0.c3": left out; "1.": the whole table
}

// without is the scenario without a column, or without a whole table.
func (s scenario) without(table int, column string) scenario {
	gone := map[string]bool{strconv.Itoa(table) + "." + column: true}
	for k := range s.gone {
		gone[k] = true
	}
	s.gone = gone
	if column == "" {
		var left []*tableRef
		for _, t := range s.tables {
			if t.id != table {
				left = append(left, t)
			}
		}
		s.tables = left
	}
	return s
}

type tableRef = table

// maker makes a scenario.
type maker struct {
	r *rand.Rand
	s scenario
	t []*table
	// open are the statements of the step that is being made.
	open []statement
}

// generate makes the case of a seed.
func generate(seed uint64) scenario {
	m := &maker{r: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)), s: scenario{seed: seed, config: map[string]string{}}}
	for _, o := range settings {
		if chance(m.r, 22) {
			m.s.config[o.name] = pick(m.r, o.values)
		}
	}
	_, including := m.s.config["column.include.list"]
	if including {
		delete(m.s.config, "column.exclude.list")
	}
	if _, excluding := m.s.config["column.exclude.list"]; including || excluding {
		delete(m.s.config, "message.key.columns") // the original streams key columns that are filtered as optional ones
	}
	for i := range 2 + m.r.IntN(2) {
		m.newTable(i)
	}
	for range m.r.IntN(8) {
		m.write()
	}
	m.word("@start")
	m.work()
	for range 1 + m.r.IntN(3) {
		switch {
		case chance(m.r, 35):
			m.word("@stop")
			if chance(m.r, 60) {
				m.work()
			}
			m.word("@resume")
		case chance(m.r, 70):
			m.change()
		}
		m.work()
	}
	m.s.tables = m.t
	return m.s
}

func (m *maker) word(w string) { m.s.steps = append(m.s.steps, step{word: w}) }

// work is a few transactions, and the mark behind them.
func (m *maker) work() {
	for range 2 + m.r.IntN(6) {
		if chance(m.r, 40) {
			m.transaction()
		} else {
			m.write()
		}
	}
	m.word("mark")
}

// add puts a statement into the open transaction, or makes a step of it.
func (m *maker) add(st statement) {
	if m.open != nil {
		m.open = append(m.open, st)
		return
	}
	m.s.steps = append(m.s.steps, step{statements: []statement{st}})
}

func (m *maker) raw(table int, format string, args ...any) {
	m.add(statement{table: table, sql: fmt.Sprintf(format, args...)})
}

func (m *maker) newTable(i int) {
	t := &table{id: i, name: "t" + strconv.Itoa(i)}
	if i > 0 {
		switch m.r.IntN(6) {
		case 0:
			t.name = `"S 2"."T ` + strconv.Itoa(i) + `"`
		case 1:
			t.name = `"tÄ` + strconv.Itoa(i) + `"`
		}
	}
	k := &column{name: "k", kind: m.keyKind(), notNull: true}
	t.keys = []*column{k}
	if chance(m.r, 25) {
		t.keys = append(t.keys, &column{name: "k2", kind: m.keyKind(), notNull: true})
	}
	t.keyless = chance(m.r, 12)
	for range 2 + m.r.IntN(9) {
		m.newColumn(t)
	}
	m.t = append(m.t, t)
	m.create(t)
}

func (m *maker) keyKind() kind {
	for {
		if k := pick(m.r, kinds); k.key != nil {
			return k
		}
	}
}

func (m *maker) newColumn(t *table) *column {
	c := &column{name: "c" + strconv.Itoa(t.nextCol), kind: pick(m.r, kinds)}
	for c.kind.sql == "citext" && m.masks() { // the original shows it
		c.kind = pick(m.r, kinds)
	}
	t.nextCol++
	c.notNull = chance(m.r, 25)
	if chance(m.r, 30) {
		c.def = pick(m.r, c.kind.values)
		if strings.Contains(strings.Trim(c.def, "E'"), `'`) {
			c.def = "" // a quote within is cut by the original
		}
	}
	c.toast = c.kind.sql == "text" || c.kind.sql == "varchar"
	t.columns = append(t.columns, c)
	return c
}

// masks says whether values of columns are masked.
func (m *maker) masks() bool {
	for name := range m.s.config {
		if strings.HasPrefix(name, "column.mask.") {
			return true
		}
	}
	return false
}

// create makes the table. Its columns stand in the statement's parts, so that they can be left out.
func (m *maker) create(t *table) {
	st := statement{table: t.id, verb: "create", sql: t.name}
	var keys []string
	for _, c := range t.keys {
		st.cols, st.vals, keys = append(st.cols, c.name), append(st.vals, c.declaration()), append(keys, c.name)
	}
	for _, c := range t.columns {
		st.cols, st.vals = append(st.cols, c.name), append(st.vals, c.declaration())
	}
	if !t.keyless {
		st.cols, st.vals = append(st.cols, ""), append(st.vals, "primary key ("+strings.Join(keys, ", ")+")")
	}
	m.add(st)
	if t.keyless || chance(m.r, 30) {
		m.identity(t)
	}
}

func (m *maker) identity(t *table) {
	t.identity = pick(m.r, []string{"full", "nothing", "default", "full"})
	if t.keyless && t.identity == "default" {
		t.identity = "full"
	}
	m.raw(t.id, "alter table %s replica identity %s", t.name, t.identity)
}

// transaction is several writes in one, with savepoints, some of them rolled back.
func (m *maker) transaction() {
	m.open = []statement{}
	before := m.remember()
	for range 1 + m.r.IntN(5) {
		if !chance(m.r, 25) {
			m.write()
			continue
		}
		m.raw(-1, "savepoint s")
		inner := m.remember()
		m.write()
		m.write()
		if chance(m.r, 50) {
			m.raw(-1, "rollback to s")
			m.restore(inner)
		}
	}
	end := "commit"
	if chance(m.r, 15) {
		end = "rollback"
		m.restore(before)
	}
	st := append(m.open, statement{table: -1, sql: end})
	m.open = nil
	m.s.steps = append(m.s.steps, step{statements: st, together: true})
}

// remember and restore keep the rows' keys over a rollback.
func (m *maker) remember() [][][]string {
	var out [][][]string
	for _, t := range m.t {
		out = append(out, append([][]string{}, t.live...))
	}
	return out
}

func (m *maker) restore(live [][][]string) {
	for i, rows := range live {
		m.t[i].live = rows
	}
}

// write is an insert, update, delete or truncate.
func (m *maker) write() {
	t := pick(m.r, m.t)
	n := m.r.IntN(100)
	// Without an identity the server refuses updates and deletes.
	writable := t.identity != "nothing" && !(t.id < 2 && strings.Contains(m.s.config["replica.identity.autoset.values"], "NOTHING"))
	switch {
	case len(t.live) == 0 || n < 45 || !writable:
		m.insert(t)
	case n < 70:
		m.update(t)
	case n < 78 && !t.keyless:
		m.rekey(t)
	case n < 92:
		i := m.r.IntN(len(t.live))
		m.raw(t.id, "delete from %s where %s", t.name, where(t, t.live[i]))
		t.live = append(append([][]string{}, t.live[:i]...), t.live[i+1:]...)
	case n < 94:
		m.raw(t.id, "truncate %s", t.name)
		t.live = nil
	default:
		m.raw(t.id, "update %s set k = k where %s", t.name, where(t, pick(m.r, t.live)))
	}
}

func where(t *table, key []string) string {
	var out []string
	for i, c := range t.keys {
		out = append(out, fmt.Sprintf("%s = %s", c.name, key[i]))
	}
	return strings.Join(out, " and ")
}

func (m *maker) newKey(t *table) []string {
	t.next++
	var out []string
	for _, c := range t.keys {
		out = append(out, c.kind.key(t.next))
	}
	return out
}

func (m *maker) value(c *column) string {
	switch {
	case !c.notNull && chance(m.r, 20):
		return "null"
	case c.toast && chance(m.r, 25):
		return toast(m.r.IntN(100))
	}
	return pick(m.r, c.kind.values)
}

func (m *maker) insert(t *table) {
	key := m.newKey(t)
	st := statement{table: t.id, verb: "insert", sql: t.name}
	for i, c := range t.keys {
		st.cols, st.vals = append(st.cols, c.name), append(st.vals, key[i])
	}
	for _, c := range t.columns {
		if c.def != "" && chance(m.r, 30) {
			continue
		}
		st.cols, st.vals = append(st.cols, c.name), append(st.vals, m.value(c))
	}
	m.add(st)
	t.live = append(t.live, key)
}

func (m *maker) update(t *table) {
	st := statement{table: t.id, verb: "update", sql: t.name + " set ", drops: where(t, pick(m.r, t.live))}
	for _, c := range t.columns {
		if chance(m.r, 40) {
			st.cols, st.vals = append(st.cols, c.name), append(st.vals, m.value(c))
		}
	}
	m.add(st)
}

// rekey changes the key of a row.
func (m *maker) rekey(t *table) {
	i := m.r.IntN(len(t.live))
	key := m.newKey(t)
	st := statement{table: t.id, verb: "update", sql: t.name, drops: where(t, t.live[i])}
	for j, c := range t.keys {
		st.cols, st.vals = append(st.cols, c.name), append(st.vals, key[j])
	}
	m.add(st)
	t.live[i] = key
}

// change is a DDL statement or two.
func (m *maker) change() {
	for range 1 + m.r.IntN(2) {
		t := pick(m.r, m.t)
		c := pick(m.r, t.columns)
		switch m.r.IntN(9) {
		case 0, 1:
			c = m.newColumn(t)
			if c.notNull && c.def == "" {
				c.notNull = false
			}
			m.add(statement{table: t.id, sql: fmt.Sprintf("alter table %s add column %s", t.name, c.declaration()), drops: c.name})
		case 2:
			if len(t.columns) > 2 {
				m.about(t, c, "drop column %s", c.name)
				m.forget(t, c)
			}
		case 3:
			c.kind = text("text", 0)
			c.def = ""
			m.about(t, c, "alter column %s drop default, alter column %[1]s type text using null, alter column %[1]s drop not null", c.name)
			c.notNull = false
		case 4:
			if v := pick(m.r, c.kind.values); !strings.Contains(strings.Trim(v, "E'"), `'`) {
				c.def = v
				m.about(t, c, "alter column %s set default %s", c.name, v)
			}
		case 5:
			c.def = ""
			m.about(t, c, "alter column %s drop default", c.name)
		case 6:
			c.notNull = false
			m.about(t, c, "alter column %s drop not null", c.name)
		case 7:
			m.identity(t)
		case 8:
			if _, filtered := m.s.config["publication.autocreate.mode"]; !filtered && len(m.t) < 5 {
				m.newTable(len(m.t))
			}
		}
	}
}

func (m *maker) about(t *table, c *column, format string, args ...any) {
	m.add(statement{table: t.id, sql: "alter table " + t.name + " " + fmt.Sprintf(format, args...), drops: c.name})
}

func (m *maker) forget(t *table, gone *column) {
	var left []*column
	for _, c := range t.columns {
		if c != gone {
			left = append(left, c)
		}
	}
	t.columns = left
}
