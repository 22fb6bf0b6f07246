// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/internal/testdb"
	"freshet/schema"
	"freshet/sinks"
)

// eachSize runs a test with few rows and with many, which take different ways to the server.
func eachSize(t *testing.T, f func(t *testing.T, n int)) {
	t.Helper()
	for _, n := range []int{few, many} {
		t.Run(fmt.Sprint(n, " rows"), func(t *testing.T) { f(t, n) })
	}
}

// upsert are the properties of an upsert by record key with deletes; pairs are more of them.
func upsert(s *testdb.Server, pairs ...string) map[string]string {
	p := map[string]string{
		"connection.url": s.DSN(), "insert.mode": "upsert", "primary.key.mode": "record_key", "delete.enabled": "true", "truncate.enabled": "true",
		"schema.evolution": "basic",
	}
	for i := 0; i < len(pairs); i += 2 {
		p[pairs[i]] = pairs[i+1]
	}
	return p
}

func TestRowErrorsNameCauseAndNextStep(t *testing.T) {
	cases := []refusal{
		{
			"not null", "create table items(id bigint primary key, v text not null, n int)",
			[]any{int64(7000), nil, int64(1)},
			`null value in column "v"`, "make the column nullable",
		},
		{
			"too long", "create table items(id bigint primary key, v varchar(3), n int)",
			[]any{int64(7000), "long", int64(1)},
			"value too long for type character varying(3)", "widen the column",
		},
		{
			"overflow", "create table items(id bigint primary key, v text, n smallint)",
			[]any{int64(7000), "v", int64(70000)},
			`value "70000" is out of range for type smallint`, "widen the column",
		},
		{
			"check", "create table items(id bigint primary key, v text, n int check (n > 0))",
			[]any{int64(7000), "v", int64(-1)},
			`violates check constraint`, "correct the row",
		},
		{
			"foreign key", "create table p(id int primary key); insert into p values (1); create table items(id bigint primary key, v text, n int references p)",
			[]any{int64(7000), "v", int64(2)},
			"violates foreign key constraint", "DEFERRABLE",
		},
		{"nul", "create table items(id bigint primary key, v text, n int)", []any{int64(7000), "a\x00b", int64(1)}, "invalid byte sequence", "correct the row"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			eachSize(t, func(t *testing.T, n int) { c.check(t, servers["PostgreSQL"](t), n) })
		})
	}
}

func TestNewSchemaCommitsWhatCameBefore(t *testing.T) {
	s := testdb.Postgres(t)
	w := open(t, upsert(s), nil)
	old := items()
	wider := newFeed("items", 1, required("id", schema.Int64), fieldOf("v", schema.String), fieldOf("n", schema.Int32), required("r", schema.Int32))
	e := refused(t, w, func(b *sinks.Batch) {
		old.change(b, change.Create, int64(1), "v", int64(1))
		wider.next = old.next
		wider.change(b, change.Create, int64(2), "v", int64(1), int64(1))
	})
	require.ErrorContains(t, e, "Cannot ALTER table 'items' because field 'r' is not optional but has no default value")
	require.Equal(t, 1, e.Index)
	require.Equal(t, 1, e.Applied)
	require.Equal(t, "1 v 1", rows(t, s, "select * from items"))
}

func TestNullKeysAreRefused(t *testing.T) {
	s := testdb.Postgres(t)
	w := open(t, upsert(s), nil)
	f := newFeed("items", 1, fieldOf("id", schema.Int64), fieldOf("v", schema.String))
	e := refused(t, w, func(b *sinks.Batch) { f.change(b, change.Delete, nil, "v") })
	require.ErrorContains(t, e, `null value in key column "id"`)
}

func TestGeneratedAndIdentityColumns(t *testing.T) {
	eachSize(t, func(t *testing.T, n int) {
		s := testdb.Postgres(t)
		s.Exec(t, "create table items(id bigint generated always as identity primary key, v text, n int generated always as (length(v)) stored)")
		w := open(t, upsert(s), nil)
		f := items()
		for range 2 {
			write(t, w, func(b *sinks.Batch) {
				for i := range n {
					f.change(b, change.Create, int64(i+10), "four", int64(99))
				}
			})
		}
		require.Equal(t, fmt.Sprint(n), s.Text(t, "select count(*) from items where n = 4 and id >= 10"))
	})
}

func TestWithoutTheRightToTemporaryTables(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, "create table items(id bigint primary key, v text, n int)")
	role := "r" + s.Database
	s.Exec(t, fmt.Sprintf(`create role "%[1]s" login password 'x'; grant all on items to "%[1]s"; revoke temporary on database "%[2]s" from public`, role, s.Database))
	t.Cleanup(func() { s.Exec(t, fmt.Sprintf(`drop owned by "%[1]s"; drop role "%[1]s"`, role)) })
	w := open(t, upsert(s, "connection.url", s.DSNFor(s.Database, role, "x")), nil)
	f := items()
	write(t, w, func(b *sinks.Batch) {
		for i := range many {
			f.change(b, change.Update, int64(i), "v", int64(1))
		}
	})
	require.Equal(t, fmt.Sprint(many), s.Text(t, "select count(*) from items"))
	require.NoError(t, w.Close(t.Context()))
}

func TestManyTablesInOneBatch(t *testing.T) {
	s := testdb.Postgres(t)
	w := open(t, upsert(s), nil)
	const tables = 300 // more than a session keeps statements and staging tables for
	var feeds []*feed
	for i := range tables {
		feeds = append(feeds, newFeed(fmt.Sprint("t", i), 1, required("id", schema.Int64), fieldOf("v", schema.String)))
	}
	for range 3 {
		write(t, w, func(b *sinks.Batch) {
			for i, f := range feeds {
				for k := range 1 + 60*(i%2) {
					f.change(b, change.Update, int64(k), "v")
				}
			}
		})
	}
	require.Equal(t, "300", s.Text(t, "select count(*) from pg_tables where schemaname = 'public'"))
	require.Equal(t, "61", s.Text(t, "select count(*) from t1"))
	require.Less(t, s.Text(t, "select count(*) from pg_class where relname like 'freshet_stage_%'"), "9999")
}

// cloudEvent wraps the value of a record into the data of a CloudEvent.
func cloudEvent(b *sinks.Batch, r *sinks.Record) {
	d := &b.Data
	event := d.NewRow(2)
	d.Set(event, 0, d.Text("id"))
	d.Set(event, 1, r.Value)
	r.ValueType = &schema.Type{Kind: schema.Struct, Name: "x.CloudEvents.Envelope", Fields: []schema.Field{
		{Name: "id", Type: &schema.Type{Kind: schema.String}}, {Name: "data", Type: r.ValueType},
	}}
	r.Value = d.Run(change.Struct, event)
}

func TestShapesOfRecords(t *testing.T) {
	s := testdb.Postgres(t)
	var log bytes.Buffer
	w := open(t, upsert(s), slog.New(slog.NewTextHandler(&log, nil)))
	f := items()
	write(t, w, func(b *sinks.Batch) {
		f.change(b, change.Create, int64(1), "envelope", int64(1))
		f.flat(b, int64(2), "flat", int64(1))
		f.change(b, change.Create, int64(3), "in a CloudEvent", int64(1))
		cloudEvent(b, &b.Records[2])
		f.flat(b, int64(4), "deleted by a null with a schema", int64(1))
		f.flat(b, int64(4), nil, nil).Value = change.Value{}
		f.change(b, change.Message, int64(5), "left out", int64(1))
		f.tombstone(b, int64(2))
		f.tombstone(b, int64(99))
		r := f.flat(b, int64(6), "left out", int64(1))
		r.ValueType = &schema.Type{Kind: schema.Struct, Name: "io.debezium.connector.mysql.SchemaChangeValue", Fields: f.row.Fields}
	})
	require.Equal(t, "1 envelope 1; 3 in a CloudEvent 1", rows(t, s, "select * from items order by 1"))
	require.Contains(t, log.String(), "logical messages are not rows")
	require.Contains(t, log.String(), "schema changes are not rows")
}

func TestSourceBlockNamesTables(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, "create schema shop")
	var log bytes.Buffer
	w := open(t, upsert(s, "collection.name.format", "${source.schema}.${source.table}_copy"), slog.New(slog.NewTextHandler(&log, nil)))
	f := items()
	write(t, w, func(b *sinks.Batch) {
		f.change(b, change.Create, int64(1), "v", int64(1))
		f.flat(b, int64(2), "left out", int64(1))
		f.tombstone(b, int64(1))
	})
	require.Equal(t, "1 v 1", rows(t, s, "select * from shop.items_copy"))
	require.Equal(t, 1, strings.Count(log.String(), "no resolvable table name"), "said once for a topic")
}
