// SPDX-License-Identifier: Apache-2.0

package history

import (
	"encoding/json"
	"strings"
)

// transactions judges transaction metadata (R10): the changes of a transaction are numbered without a gap, in each table and
// altogether, and its END counts them, also where the telling was interrupted.
type transactions map[string]*counted

// counted is what was told of one transaction.
type counted struct {
	events, highest int64
	ends            int
	told            int64 // event_count of END
}

// of finds a transaction by the number before the colon of an id: the place behind it is that of the change.
func (t transactions) of(id string) *counted {
	id, _, _ = strings.Cut(id, ":")
	c := t[id]
	if c == nil {
		c = &counted{}
		t[id] = c
	}
	return c
}

// boundary takes a record of the topic of transactions.
func (c *Checker) boundary(r *Record) {
	payload, _, err := unwrap(r.Value)
	var b boundary
	if err == nil {
		err = json.Unmarshal(payload, &b)
	}
	switch {
	case err != nil:
		c.violate("R10", r.Topic, r.Offset, "no end of a transaction: %v", err)
	case b.Status == "END":
		t := c.transactions.of(b.ID)
		t.ends++
		if b.Events != nil {
			t.told = *b.Events
		}
		if t.ends > 1 && c.o.Exact {
			c.violate("R10", r.Topic, r.Offset, "transaction %s ends again", b.ID)
		}
	default:
		c.transactions.of(b.ID)
	}
}

// number judges the numbers of a change that is told for the first time.
func (l *lane) number(e *event) {
	if e.tx == nil {
		l.numbered = place{}
		return
	}
	t := l.c.transactions.of(e.tx.ID)
	t.events++
	t.highest = max(t.highest, e.tx.Total)
	want, before := int64(1), l.numbered
	same := before.xid == e.source.TxID
	if same {
		want = before.Table + 1
	}
	if e.tx.Table != want || e.tx.Total < e.tx.Table || same && e.tx.Total <= before.Total {
		l.violate("R10", e, "number %d of its table and %d of all in transaction %s, want %d of the table", e.tx.Table, e.tx.Total, e.tx.ID, want)
	}
	l.numbered = *e.tx
	l.numbered.xid = e.source.TxID
}

// finishTransactions judges the counts.
func (c *Checker) finishTransactions() {
	for id, t := range c.transactions {
		switch {
		case t.highest != t.events:
			c.violate("R10", c.o.Prefix+".transaction", -1, "transaction %s has %d changes, numbered up to %d", id, t.events, t.highest)
		case t.ends > 0 && t.told != t.events:
			c.violate("R10", c.o.Prefix+".transaction", -1, "transaction %s has %d changes, its END says %d", id, t.events, t.told)
		case t.ends == 0 && !c.o.Open:
			c.violate("R10", c.o.Prefix+".transaction", -1, "transaction %s has no END", id)
		case t.ends > 0:
			c.report.Transactions++
		}
	}
}
