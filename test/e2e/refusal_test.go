// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/internal/testdb"
)

// TestTargetRefusesRow: the task fails at the row, by name. What was applied before stays; of the batch with the bad row
// nothing is, as recorded of the original (pg-none-not-null). All of it is once the target takes the row.
func TestTargetRefusesRow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		target string // the table there
		bad    string // the values of row 3
		words  []string
		mend   string
	}{
		{"null", "id int primary key, n int not null, note text not null", "0, null", []string{`"note"`, "null", "make the column nullable"}, "alter column note drop not null"},
		{"number too large", "id int primary key, n smallint not null, note text", "100000, 'large'", []string{"out of range", "smallint", "widen the column"}, "alter column n type int"},
		{"text too long", "id int primary key, n int not null, note varchar(5)", "0, 'too long'", []string{"too long", "character varying(5)", "widen the column"}, "alter column note type text"},
		{"check", "id int primary key, n int not null, note text, constraint positive check (n >= 0)", "-1, 'less'", []string{`"positive"`}, "drop constraint positive"},
	} {
		for _, way := range []string{"snapshot", "stream"} {
			t.Run(c.name+" in "+way, func(t *testing.T) {
				t.Parallel()
				source, target := testdb.Postgres(t), testdb.Postgres(t)
				good, bad := "insert into items values (1, 0, 'a'), (2, 0, 'b');", "insert into items values (3, "+c.bad+"), (4, 0, 'd'), (5, 0, 'e')"
				source.Exec(t, itemsDDL)
				target.Exec(t, "create table items("+c.target+")")
				applied := [][]string(nil)
				s := pair(t, source, target)
				var w *worker
				if way == "snapshot" {
					source.Exec(t, good+bad)
					w = s.start(t)
				} else {
					source.Exec(t, good)
					w = s.start(t)
					w.streaming(t, source)
					equal(t, source, target)
					source.Exec(t, bad)
					applied = [][]string{{"1"}, {"2"}}
				}
				trace := w.await(t, sinkName, connect.Failed)
				requireWords(t, trace, c.words...)
				requireWords(t, trace, "record e2e.public.items-0@2 (key id=3)", `table "items"`)
				require.Equal(t, applied, target.Rows(t, "select id from items order by id"))

				w.restart(t, sinkName)
				require.Equal(t, trace, w.await(t, sinkName, connect.Failed), "the same again, where nothing was mended")
				target.Exec(t, "alter table items "+c.mend)
				source.Exec(t, "update items set n = 7 where id = 1")
				w.restart(t, sinkName)
				equal(t, source, target)
				w.await(t, sinkName, connect.Running)
				w.stop(t)
			})
		}
	}
}

// TestRecordWithoutSchema: Kafka Connect's words, which people search for; and the way on past the record.
func TestRecordWithoutSchema(t *testing.T) {
	t.Parallel()
	target := testdb.Postgres(t)
	s := newSetup(t)
	s.connectors[sinkName] = sinkConfig(target).with(properties{"collection.name.format": "items", "topics": "plain", "topics.regex": "", "primary.key.mode": "record_value", "primary.key.fields": "id", "delete.enabled": "false"})
	w := s.start(t)
	const typed = `{"value":{"schema":{"type":"struct","optional":false,"fields":[{"field":"id","type":"int32","optional":false}]},"payload":{"id":%}}}` + "\n"
	produce := func(lines string) {
		t.Helper()
		p := start(t, strings.NewReader(lines), "topics", "produce", "plain", "--worker", w.url)
		require.Zero(t, p.wait(t), "%s", p.err)
	}
	produce(strings.Replace(typed, "%", "1", 1))
	waitFor(t, "the first record to be applied", func() bool {
		return target.Text(t, "select count(*) from pg_tables where tablename = 'items'") == "1" && target.Text(t, "select count(*) from items") == "1"
	})
	produce(`{"key":{"id":2},"value":{"id":2}}` + "\n" + strings.Replace(typed, "%", "3", 1))
	trace := w.await(t, sinkName, connect.Failed)
	requireWords(t, trace, "org.apache.kafka.connect.errors.DataException: "+goldenMessage(t), "Tolerance exceeded in error handler", "plain-0@1")
	require.Equal(t, [][]string{{"1"}}, target.Rows(t, "select id from items"))

	// The operator's way on: move the offset behind the record.
	w.do(t, "PUT", "/connectors/"+sinkName+"/stop", nil)
	w.do(t, "PATCH", "/connectors/"+sinkName+"/offsets", map[string]any{"offsets": []any{map[string]any{
		"partition": map[string]any{"kafka_topic": "plain", "kafka_partition": 0}, "offset": map[string]any{"kafka_offset": 2},
	}}})
	w.do(t, "PUT", "/connectors/"+sinkName+"/resume", nil)
	waitFor(t, "the record behind to be applied", func() bool {
		return target.Text(t, "select string_agg(id::text, ',' order by id) from items") == "1,3"
	})
	w.stop(t)
}

// goldenMessage is what Kafka's JsonConverter said to a record without a schema.
func goldenMessage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../testdata/golden/connect/converters/json-read-envelope.jsonl")
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		var c struct{ Error [][]string } // class and message of each cause
		if json.Unmarshal([]byte(line), &c) == nil && len(c.Error) > 0 && strings.HasPrefix(c.Error[0][1], `JsonConverter with schemas.enable requires`) {
			return c.Error[0][1]
		}
	}
	t.Fatal("the recorded message is not there")
	return ""
}
