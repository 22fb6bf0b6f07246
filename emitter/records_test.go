// SPDX-License-Identifier: Apache-2.0

package emitter_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/change"
	"freshet/change/java"
	"freshet/config"
	"freshet/emitter"
	"freshet/emitter/json"
	"freshet/emitter/topic"
	"freshet/emitter/transform"
	"freshet/schema"
)

// person is a row of the test table; an empty name is null.
type person struct {
	id   int64
	name string
}

// item is a change to be emitted.
type item struct {
	op            change.Op
	before, after *person
	partial       bool // before holds the key alone
	snapshot      change.Snapshot
}

// itemReader yields one batch of items.
type itemReader struct {
	table *schema.Table
	items []item
	done  bool
}

func (r *itemReader) Next(_ context.Context, b *change.Batch) error {
	if r.done {
		return io.EOF
	}
	r.done = true
	for _, x := range r.items {
		c := change.Change{Table: r.table, Op: x.op, Snapshot: x.snapshot, SourceMicros: 1_700_000_000_000_001}
		c.Source = b.NewRow(1)
		b.Set(c.Source, 0, change.IntValue(77))
		if x.before != nil {
			c.Before, c.OldKey = r.row(b, x.before, x.partial), r.key(b, x.before)
			c.Key = c.OldKey
		}
		if x.after != nil {
			c.After, c.Key = r.row(b, x.after, false), r.key(b, x.after)
		}
		if len(r.table.Key) == 0 {
			c.Key, c.OldKey = change.Row{}, change.Row{}
		}
		b.Changes = append(b.Changes, c)
	}
	b.End = `{"lsn":77}`
	return nil
}

func (*itemReader) row(b *change.Batch, p *person, partial bool) change.Row {
	row := b.NewRow(2)
	b.Set(row, 0, change.IntValue(p.id))
	if p.name != "" && !partial {
		b.Set(row, 1, b.Text(p.name))
	}
	return row
}

func (*itemReader) key(b *change.Batch, p *person) change.Row {
	row := b.NewRow(1)
	b.Set(row, 0, change.IntValue(p.id))
	return row
}

func (*itemReader) Commit(context.Context, change.Position) error { return nil }
func (*itemReader) Close(context.Context) error                   { return nil }

// headers is the header format: SimpleHeaderConverter's.
type headers struct{}

func (headers) AppendHeader(dst []byte, t *schema.Type, b *change.Batch, v change.Value) ([]byte, error) {
	out, _ := java.AppendHeader(dst, t, b, v)
	return out, nil
}

func persons(keyed bool) *schema.Table {
	t := &schema.Table{ID: schema.ID{Catalog: "db", Schema: "public", Name: "persons"}}
	id := schema.Column{Name: "id", Type: &schema.Type{Kind: schema.Int32}, Fallback: int64(0)}
	if keyed {
		t.Key = []schema.Column{id}
	}
	t.Columns = []schema.Column{id, {Name: "name", Type: &schema.Type{Kind: schema.String}, Fallback: ""}}
	return t
}

// emit runs items through a pipeline and shows its records: key, op, before, after and headers, without what is the same
// in all.
func emit(t *testing.T, table *schema.Table, set func(*emitter.Options), items ...item) []topic.Record {
	t.Helper()
	format := json.New(json.Options{ReplaceNullWithDefault: true})
	block := capture.SourceBlock{Connector: "testdb", Name: "Source", Fields: []capture.SourceField{
		{Name: "connector", Type: &schema.Type{Kind: schema.String}, From: capture.FromConnector},
		{Name: "ts_ms", Type: &schema.Type{Kind: schema.Int64}, From: capture.FromMillis},
		{Name: "ts_ns", Type: &schema.Type{Kind: schema.Int64}, From: capture.FromNanos},
		{Name: "snapshot", Type: &schema.Type{Kind: schema.String, Optional: true, Default: "false"}, From: capture.FromSnapshot},
		{Name: "db", Type: &schema.Type{Kind: schema.String}, From: capture.FromCatalog},
		{Name: "table", Type: &schema.Type{Kind: schema.String}, From: capture.FromTable},
		{Name: "lsn", Type: &schema.Type{Kind: schema.Int64, Optional: true}},
	}}
	o := emitter.Options{
		MarkKey: "m", Topics: emitter.TopicNames{Prefix: "p"}, Key: format, Value: format, Header: headers{}, Tombstones: true,
		Source: emitter.SourcePlan{Block: block, Version: "1", Connector: "testdb", Name: "p"},
		Now:    func() time.Time { return time.Unix(1_700_000_001, 500) },
	}
	if set != nil {
		set(&o)
	}
	l := newFakeLog()
	require.NoError(t, emitter.NewPipeline(&itemReader{table: table, items: items}, l, o).Run(t.Context()))
	require.NoError(t, l.Close(t.Context()))
	return l.appended()[0].Records
}

// brief shows a record in one line.
func brief(r topic.Record) string {
	parts := []string{string(r.Key.Bytes())}
	if r.Value.IsNull() {
		parts = append(parts, "tombstone")
	} else {
		v := string(r.Value.Bytes())
		_, op, _ := strings.Cut(v, `"op":"`)
		v, _, _ = strings.Cut(v, `,"source"`)
		parts = append(parts, op[:1], v)
	}
	for _, h := range r.Headers {
		parts = append(parts, strings.TrimPrefix(h.Key, "__debezium.")+"="+string(h.Value))
	}
	return strings.Join(parts, " ")
}

func briefs(records []topic.Record) []string {
	var out []string
	for _, r := range records {
		out = append(out, brief(r))
	}
	return out
}

func TestRecords(t *testing.T) {
	ada, bob := &person{1, "Ada"}, &person{2, "Bob"}
	skip := func(ops string) func(*emitter.Options) {
		return func(o *emitter.Options) {
			o.Skip = map[change.Op]bool{}
			for _, op := range ops {
				o.Skip[change.Op(op)] = true
			}
		}
	}
	for _, c := range []struct {
		name    string
		keyless bool
		set     func(*emitter.Options)
		item    item
		want    []string
	}{
		{name: "create", item: item{op: 'c', after: ada}, want: []string{`{"id":1} c {"before":null,"after":{"id":1,"name":"Ada"}`}},
		{name: "update without old row", item: item{op: 'u', after: ada}, want: []string{`{"id":1} u {"before":null,"after":{"id":1,"name":"Ada"}`}},
		{
			name: "delete by key has fallbacks, and a tombstone", item: item{op: 'd', before: ada, partial: true},
			want: []string{`{"id":1} d {"before":{"id":1,"name":""},"after":null`, `{"id":1} tombstone`},
		},
		{
			name: "delete without tombstone", set: func(o *emitter.Options) { o.Tombstones = false }, item: item{op: 'd', before: ada},
			want: []string{`{"id":1} d {"before":{"id":1,"name":"Ada"},"after":null`},
		},
		{
			name: "keyless delete", keyless: true, item: item{op: 'd', before: ada},
			want: []string{` d {"before":{"id":1,"name":"Ada"},"after":null`, ` tombstone`},
		},
		{name: "truncate has no key", item: item{op: 't'}, want: []string{` t {"before":null,"after":null`}},
		{name: "change of the key", item: item{op: 'u', before: ada, after: bob}, want: []string{
			`{"id":1} d {"before":{"id":1,"name":"Ada"},"after":null newkey={"id":2}`, `{"id":1} tombstone newkey={"id":2}`,
			`{"id":2} c {"before":null,"after":{"id":2,"name":"Bob"} oldkey={"id":1}`,
		}},
		{name: "halves of a key change are skipped by their own op", set: skip("cu"), item: item{op: 'u', before: ada, after: bob}, want: []string{
			`{"id":1} d {"before":{"id":1,"name":"Ada"},"after":null newkey={"id":2}`, `{"id":1} tombstone newkey={"id":2}`,
		}},
		{name: "skipped", set: skip("c"), item: item{op: 'c', after: ada}},
		{
			name: "snapshots are never skipped", set: skip("r"), item: item{op: 'r', after: ada, snapshot: change.SnapshotLast},
			want: []string{`{"id":1} r {"before":null,"after":{"id":1,"name":"Ada"}`},
		},
		{name: "update without change", set: func(o *emitter.Options) { o.SkipUnchanged = true }, item: item{op: 'u', before: ada, after: ada}},
		{
			name: "context headers", set: func(o *emitter.Options) { o.ContextHeaders, o.RunID, o.Task = true, "run", 3 }, item: item{op: 'c', after: ada},
			want: []string{`{"id":1} c {"before":null,"after":{"id":1,"name":"Ada"} context.connectorLogicalName=p context.taskId=3 context.connectorName=testdb context.runId=run`},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, briefs(emit(t, persons(!c.keyless), c.set, c.item)))
		})
	}
}

// The chain of a record that nothing touches makes the same bytes as no chain at all.
func TestTransformedRecordsAreTheSameBytes(t *testing.T) {
	ada, bob := &person{1, "Ada"}, &person{2, "Bob"}
	items := []item{
		{op: 'r', after: ada, snapshot: change.SnapshotFirst},
		{op: 'c', after: ada},
		{op: 'u', before: ada, after: ada},
		{op: 'u', before: ada, after: bob},
		{op: 'd', before: bob, partial: true},
		{op: 't'},
	}
	plain := emit(t, persons(true), nil, items...)
	for _, touch := range []bool{false, true} {
		got := emit(t, persons(true), func(o *emitter.Options) { o.Chain = transform.Chain{looker{touch}} }, items...)
		require.Len(t, got, len(plain))
		for i := range plain {
			require.Equal(t, string(plain[i].Key.Bytes()), string(got[i].Key.Bytes()))
			require.Equal(t, string(plain[i].Value.Bytes()), string(got[i].Value.Bytes()), "record %d, rebuilt %v", i, touch)
			require.Equal(t, plain[i].Headers, got[i].Headers)
		}
	}
}

// Headers and topics that transforms change leave the value as it is: written by the plan of its table, or, where a later
// transform asks for it, from the value that was made of it.
func TestLazyTransformsWriteTheSameBytes(t *testing.T) {
	ada, bob := &person{1, "Ada"}, &person{2, "Bob"}
	items := []item{{op: 'r', after: ada, snapshot: change.SnapshotFirst}, {op: 'u', before: ada, after: bob}, {op: 'd', before: bob}, {op: 't'}}
	parse := func(more ...string) transform.Chain {
		cfg := map[string]string{
			"transforms": "h,d,g,r", "transforms.h.type": "InsertHeader", "transforms.h.header": "n", "transforms.h.value.literal": "5",
			"transforms.d.type": "DropHeaders", "transforms.d.headers": "__debezium.context.taskId",
			"transforms.g.type": "Filter", "transforms.g.predicate": "p", "predicates": "p", "predicates.p.type": "RecordIsTombstone",
			"transforms.r.type": "RegexRouter", "transforms.r.regex": "(.*)", "transforms.r.replacement": "new.$1",
		}
		for i := 0; i < len(more); i += 2 {
			cfg[more[i]] = more[i+1]
		}
		chain, problems := transform.Parse(cfg)
		require.Empty(t, config.Errors(problems))
		return chain
	}
	run := func(chain transform.Chain) []topic.Record {
		return emit(t, persons(true), func(o *emitter.Options) { o.Chain, o.ContextHeaders = chain, true }, items...)
	}
	want := run(parse())
	require.Len(t, want, 5, "tombstones are filtered")
	for _, r := range want {
		require.True(t, strings.HasPrefix(r.Topic, "new."))
		require.Equal(t, topic.Header{Key: "n", Value: []byte("5")}, r.Headers[len(r.Headers)-1])
	}
	plain := emit(t, persons(true), nil, items...)
	plain = slices.DeleteFunc(plain, func(r topic.Record) bool { return r.Value.IsNull() })
	for _, chain := range []transform.Chain{parse(), append(parse(), looker{false}), append(parse(), looker{true})} {
		got := run(chain)
		require.Len(t, got, len(want))
		for i := range want {
			require.Equal(t, string(plain[i].Value.Bytes()), string(got[i].Value.Bytes()))
			require.Equal(t, string(want[i].Key.Bytes()), string(got[i].Key.Bytes()))
			require.Equal(t, want[i].Headers, got[i].Headers)
		}
	}
}

// looker is a transform that asks for the value, and may say that it changed it.
type looker struct{ touch bool }

func (l looker) Apply(r *transform.Record) (bool, error) {
	if err := r.Load(); err != nil {
		return false, err
	}
	r.Touched = r.Touched || l.touch
	return true, nil
}

func TestUnwrapThroughThePipeline(t *testing.T) {
	chain, problems := transform.Parse(map[string]string{
		"transforms": "u", "transforms.u.type": "ExtractNewRecordState", "transforms.u.delete.tombstone.handling.mode": "rewrite-with-tombstone",
		"transforms.u.add.headers": "op",
	})
	require.Empty(t, config.Errors(problems))
	records := emit(t, persons(true), func(o *emitter.Options) { o.Chain = chain },
		item{op: 'c', after: &person{1, "Ada"}}, item{op: 'd', before: &person{1, "Ada"}})
	var got []string
	for _, r := range records {
		parts := []string{string(r.Key.Bytes()), string(r.Value.Bytes())}
		for _, h := range r.Headers {
			parts = append(parts, h.Key+"="+string(h.Value))
		}
		got = append(got, strings.Join(parts, " "))
	}
	require.Equal(t, []string{
		`{"id":1} {"id":1,"name":"Ada","__deleted":"false"} __op=c`,
		`{"id":1} {"id":1,"name":"Ada","__deleted":"true"} __op=d`,
		`{"id":1}  __op=d __op=d`,
	}, got)
}
