// SPDX-License-Identifier: Apache-2.0

// Package history judges what was captured: the records of topics in offset order, against what the source did.
//
// Its main type is Checker. It is fed with raw records and, where the source kept a Journal, with every committed change of
// it. Each rule has the name of its invariant (R2, R3, R4, R5, R6, R7, R10, R15 of the reliability rules); a violation names the
// rule, the topic and the offset. It knows nothing of databases or logs, so the same rules serve every test.
//
// What it looks at without a journal:
//
//	R2   a transaction that was left does not come back; positions of one transaction do not fall
//	R3   before and after agree with the version of the row that the topic had; no tag of a rolled-back row
//	R4   repeats are contiguous runs of what came before, up to its end, and byte-equal but for the time of processing
//	R5   the last commit that a change names never falls
//	R6   no row of a snapshot replaces a newer change of its key
//	R10  changes are numbered within their transactions without a gap, and END counts them
//	R15  topic, key, row, schema names and source block agree
//
// and with one:
//
//	R1   every change of every transaction is there, from the first streamed one to the last
//	R2   in the order of the commits
//	R3   with the values of the source, and nothing else
//	R7   at every commit the rows that the topic tells are the rows that the source had
package history

import (
	"errors"
	"fmt"
	"strings"
)

// Record is one record of a topic. A nil Value is a tombstone.
type Record struct {
	Topic  string
	Offset int64
	Key    []byte
	Value  []byte
}

// Options say what the records are held against.
type Options struct {
	// Prefix is topic.prefix.
	Prefix string
	// Tags are texts that only rows which were rolled back hold.
	Tags []string
	// Source are the committed changes, in the order of their commits; nil looks at the topics alone. Tables without one are
	// looked at alone too.
	Source []Commit
	// Full names tables, such as public.t, whose old rows are told in full.
	Full map[string]bool
	// Partial topics begin in mid-life: their rows were not read by a snapshot first.
	Partial bool
	// Open topics end in mid-life: changes at the end of Source may be missing.
	Open bool
	// Placeholder stands for values that were not sent; "" is Debezium's.
	Placeholder string
	// NoTombstones is tombstones.on.delete=false.
	NoTombstones bool
	// Exact forbids repeats of streamed changes: the log keeps records and position in one write.
	Exact bool
}

// ViolationError is a broken rule.
type ViolationError struct {
	Rule   string
	Topic  string
	Offset int64 // -1 where it is not about one record
	What   string
}

// Error is a line for people.
func (v *ViolationError) Error() string {
	if v.Offset < 0 {
		return fmt.Sprintf("%s: topic %s: %s", v.Rule, v.Topic, v.What)
	}
	return fmt.Sprintf("%s: topic %s offset %d: %s", v.Rule, v.Topic, v.Offset, v.What)
}

// Report is what was looked at: a check of nothing passes, so tests look at the counts.
type Report struct {
	Records  int
	Snapshot int // rows of snapshots
	Changes  int // streamed, repeats not counted
	Repeats  int
	Runs     int // of repeats
	Commits  int // at which the rows were compared with the source's
	// Transactions whose END counts what was told.
	Transactions int
	Fallbacks    int // values taken from the version before, because the event does not tell them
}

// most is how many violations are kept.
const most = 10

// Checker takes records. It is for one goroutine.
type Checker struct {
	o          Options
	lanes      map[string]*lane
	order      []string // of lanes
	report     Report
	violations []error
	more       int

	transactions transactions
}

// New makes a Checker.
func New(o Options) *Checker {
	if o.Placeholder == "" {
		o.Placeholder = "__debezium_unavailable_value"
	}
	return &Checker{o: o, lanes: map[string]*lane{}, transactions: transactions{}}
}

// Check judges records in one call; those of one topic come in offset order. The error joins violations.
func Check(o Options, records []Record) (Report, error) {
	c := New(o)
	for i := range records {
		c.Add(records[i])
	}
	return c.Finish()
}

// Add takes the next record of its topic. It keeps the bytes.
func (c *Checker) Add(r Record) {
	c.report.Records++
	if r.Topic == c.o.Prefix+".transaction" {
		c.boundary(&r)
		return
	}
	l := c.lanes[r.Topic]
	if l == nil {
		l = c.newLane(r.Topic)
		c.lanes[r.Topic] = l
		c.order = append(c.order, r.Topic)
	}
	l.add(&r)
}

// Finish judges what can be judged at the end, and returns everything that was wrong.
func (c *Checker) Finish() (Report, error) {
	for _, name := range c.order {
		c.lanes[name].finish()
	}
	c.missingTopics()
	c.finishTransactions()
	errs := c.violations
	if c.more > 0 {
		errs = append(errs, fmt.Errorf("and %d more", c.more))
	}
	return c.report, errors.Join(errs...)
}

// missingTopics finds tables of the source that have rows or changes and no topic at all.
func (c *Checker) missingTopics() {
	if c.o.Open {
		return
	}
	for table, rows := range finalRows(c.o.Source) {
		name := c.o.Prefix + "." + table
		if c.lanes[name] == nil && len(rows) > 0 {
			c.violate("R1", name, -1, "%d rows in the source and no record", len(rows))
		}
	}
}

func (c *Checker) violate(rule, topic string, offset int64, format string, args ...any) {
	if len(c.violations) >= most {
		c.more++
		return
	}
	c.violations = append(c.violations, &ViolationError{rule, topic, offset, fmt.Sprintf(format, args...)})
}

// tableOf is the table that a topic is named after, "" where it is none's.
func (c *Checker) tableOf(topic string) string {
	rest, ok := strings.CutPrefix(topic, c.o.Prefix+".")
	if !ok || strings.Count(rest, ".") != 1 {
		return ""
	}
	return rest
}
