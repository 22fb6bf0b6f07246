// SPDX-License-Identifier: Apache-2.0

package jdbc

import (
	"context"
	"fmt"
	"strconv"

	"freshet/change"
	"freshet/emitter/topic"
	"freshet/schema"
	"freshet/sinks"
	"freshet/sinks/jdbc/dialect"
)

// positions are the offsets to go on at.
type positions = map[topic.Partition]int64

// offsets keeps the consumed offsets in a table of the target, in the transaction of the rows (I1 at the target): a
// commit whose answer was lost is read back by the next writer. The methods of a nil *offsets do nothing.
type offsets struct {
	group string
	plan  *dialect.Plan
	rows  []int32
	slab  []change.Value
}

// offsetFields are the columns of the table; the first three are its key.
var offsetFields = []struct {
	name string
	typ  *schema.Type
}{
	{"connector_group", &schema.Type{Kind: schema.String}},
	{"topic", &schema.Type{Kind: schema.String}},
	{"partition", &schema.Type{Kind: schema.Int32}},
	{"next_offset", &schema.Type{Kind: schema.Int64}},
}

// groupIn is the consumer group as the table has it: with the log that the offsets are of. A data folder that was made
// anew counts from 0 again, and must not be read from where the old one ended.
func groupIn(env sinks.Env) string {
	if env.Origin == "" {
		return env.Group
	}
	return env.Group + "@" + env.Origin
}

// openOffsets finds or creates the table. A lock that ends with the session makes it the only writer of its task: one
// that lost its connection may still be committing on the server.
func (w *writer) openOffsets(ctx context.Context) error {
	if err := w.session.Lock(ctx, "freshet "+w.opt.offsetsTable+" "+w.env.Group+" "+strconv.Itoa(w.env.Task)); err != nil {
		return w.targetProblem(err)
	}
	t, err := w.targetOf(ctx, w.opt.offsetsTable)
	if err != nil {
		return err
	}
	var fields []wanted
	for i, f := range offsetFields {
		fields = append(fields, wanted{field: f.name, column: w.storedName(f.name), typ: f.typ, key: i < 3})
	}
	if t.table == nil {
		create, err := w.createTable(t.name, fields)
		if err != nil {
			return err
		}
		if err := w.define(ctx, t, create); err != nil {
			return err
		}
	}
	if missing := missingFields(t.table, fields); len(missing) > 0 {
		return refuse(fmt.Errorf("offsets.table.name: table %q has no column %q", t.shown, missing[0].field), "drop it or name another table")
	}
	p, err := w.match(t, fields)
	if err != nil {
		return err
	}
	w.offsets = &offsets{group: groupIn(w.env), plan: p.plan}
	return nil
}

// of are the positions behind records.
func (o *offsets) of(records []sinks.Record) positions {
	if o == nil {
		return nil
	}
	next := positions{}
	for i := range records {
		next[records[i].Source] = records[i].Offset + 1
	}
	return next
}

// with appends the group that stores positions. It comes last, so that its rows are locked shortly.
func (o *offsets) with(groups []dialect.Group, b *sinks.Batch, next positions) []dialect.Group {
	if o == nil || len(next) == 0 {
		return groups
	}
	o.rows, o.slab = o.rows[:0], o.slab[:0]
	group := b.Data.Text(o.group)
	for p, at := range next {
		o.rows = append(o.rows, int32(len(o.slab)))
		o.slab = append(o.slab, group, b.Data.Text(p.Topic), change.IntValue(int64(p.Partition)), change.IntValue(at))
	}
	return append(groups, dialect.Group{Kind: dialect.Upsert, Set: o.plan.Full, Slab: o.slab, Rows: o.rows})
}

// Positions reads the stored offsets; none without a table for them.
func (w *writer) Positions(ctx context.Context) (map[topic.Partition]int64, error) {
	if w.offsets == nil {
		return nil, nil
	}
	x := w.opt.dialect
	columns := w.offsets.plan.Full.Columns(x)
	sql := "SELECT " + columns[1] + ", " + columns[2] + ", " + columns[3] + " FROM " + dialect.QuoteTable(x, w.offsets.plan.Table.Name) +
		" WHERE " + columns[0] + "=" + x.Placeholder(1)
	out := positions{}
	err := w.session.Query(ctx, sql, func(c [][]byte) error {
		partition, err := strconv.ParseInt(string(c[1]), 10, 32)
		if err != nil {
			return err
		}
		next, err := strconv.ParseInt(string(c[2]), 10, 64)
		if err != nil {
			return err
		}
		out[topic.Partition{Topic: string(c[0]), Partition: int32(partition)}] = next
		return nil
	}, w.offsets.group)
	if err != nil {
		return nil, w.targetProblem(fmt.Errorf("read offsets: %w", err))
	}
	return out, nil
}
