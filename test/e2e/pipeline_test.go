// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/internal/pgserver"
	"freshet/internal/testdb"
	"freshet/internal/verify"
	"freshet/schema"
)

// Names of the two connectors of most tests.
const (
	sourceName = "e2e-source"
	sinkName   = "e2e-sink"
)

// pgFast is the usual stop of a server.
const pgFast = pgserver.Fast

// itemsTopic is the topic of the table items.
const itemsTopic = "e2e.public.items"

// itemsDDL makes the table of most tests: n counts the changes of a row.
const itemsDDL = `create table items(id int primary key, n int not null, note text);`

// sourceConfig captures all tables of a database. Its slot has a name of its own, as the database has.
func sourceConfig(s *testdb.Server) properties {
	return properties{
		"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "topic.prefix": "e2e", "plugin.name": "pgoutput",
		"database.hostname": s.Host, "database.port": strconv.Itoa(s.Port), "database.user": s.User,
		"database.password": s.Password, "database.dbname": s.Database,
		"slot.name": "e2e_" + s.Database, "publication.name": "e2e", "publication.autocreate.mode": "filtered", "schema.exclude.list": "history",
		"slot.retry.delay.ms": "100", "status.update.interval.ms": "100", "retriable.restart.connector.wait.ms": "100",
	}
}

// sinkConfig keeps tables of the same names in another database.
func sinkConfig(s *testdb.Server) properties {
	return properties{
		"connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector", "topics.regex": `e2e\..*`,
		"connection.url":      jdbcURL(s),
		"connection.username": s.User, "connection.password": s.Password, "insert.mode": "upsert",
		"primary.key.mode": "record_key", "delete.enabled": "true", "truncate.enabled": "true", "schema.evolution": "basic",
		"collection.name.format": "${source.schema}.${source.table}", "quote.identifiers": "true",
	}
}

func jdbcURL(s *testdb.Server) string {
	return "jdbc:postgresql://" + net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) + "/" + s.Database
}

// pair is a setup with both connectors.
func pair(t *testing.T, source, target *testdb.Server) *setup {
	t.Helper()
	s := newSetup(t)
	s.connectors[sourceName], s.connectors[sinkName] = sourceConfig(source), sinkConfig(target)
	s.journal(t, source)
	return s
}

// equal waits until tables, such as public.items, are the same on both sides.
func equal(t *testing.T, source, target *testdb.Server, tables ...schema.ID) {
	t.Helper()
	if len(tables) == 0 {
		tables = []schema.ID{{Schema: "public", Name: "items"}}
	}
	var last string
	defer func() {
		if t.Failed() {
			t.Logf("last difference: %s", last)
		}
	}()
	waitFor(t, "the target to be equal to the source", func() bool {
		var err error
		last, err = difference(t, source, target, tables)
		if err != nil {
			last = err.Error()
		}
		return last == ""
	})
}

// difference is the first difference between tables, "" where there is none.
func difference(t *testing.T, source, target *testdb.Server, tables []schema.ID) (string, error) {
	t.Helper()
	a, err := pgx.Connect(t.Context(), source.DSN())
	if err != nil {
		return "", err
	}
	defer a.Close(t.Context())
	b, err := pgx.Connect(t.Context(), target.DSN())
	if err != nil {
		return "", err
	}
	defer b.Close(t.Context())
	for _, id := range tables {
		r, err := verify.Compare(t.Context(), a, b, verify.Table{Source: id, Target: id}, 1)
		if err != nil {
			return "", err
		}
		if !r.Equal() {
			return r.First[0].String(), nil
		}
	}
	return "", nil
}

// record is one record of a topic.
type record struct {
	Topic     string          `json:"topic"`
	Partition int             `json:"partition"`
	Offset    int64           `json:"offset"`
	Key       json.RawMessage `json:"key"`
	Value     json.RawMessage `json:"value"`
}

// awaitRecords waits until a topic has so many records.
func (w *worker) awaitRecords(t *testing.T, topic string, n int) {
	t.Helper()
	waitFor(t, strconv.Itoa(n)+" records in "+topic, func() bool { return len(w.records(t, topic)) == n })
}

// event is the payload of a change event.
type event struct {
	Op            string
	Before, After map[string]any
}

// event decodes a record of the JSON converter with schemas; ok is false for a tombstone.
func (r *record) event(t *testing.T) (e event, ok bool) {
	t.Helper()
	var v *struct{ Payload event }
	require.NoError(t, json.Unmarshal(r.Value, &v), "%s", r.Value)
	if v == nil {
		return event{}, false
	}
	return v.Payload, true
}

// records reads a topic from its beginning to its end. A topic that does not exist has none.
func (w *worker) records(t *testing.T, topic string) []record {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", w.url+"/freshet/topics/"+url.PathEscape(topic)+"/records?from=beginning&exit=true", nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil
	}
	require.Equal(t, 200, resp.StatusCode)
	var out []record
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, 512<<20)
	for lines.Scan() {
		var r record
		require.NoError(t, json.Unmarshal(lines.Bytes(), &r), "%s", lines.Text())
		out = append(out, r)
	}
	require.NoError(t, lines.Err())
	require.Empty(t, resp.Trailer.Get("Freshet-Error"))
	return out
}

// history is what the topic of items tells of each row: op and n of its changes, in order.
func (w *worker) history(t *testing.T) map[string]string {
	t.Helper()
	out := map[string][]string{}
	for _, r := range w.records(t, itemsTopic) {
		e, ok := r.event(t)
		if !ok {
			continue
		}
		row := e.After
		if row == nil {
			row = e.Before
		}
		id, step := text(row["id"]), e.Op
		if e.After != nil {
			step += text(row["n"])
		}
		out[id] = append(out[id], step)
	}
	joined := map[string]string{}
	for id, steps := range out {
		joined[id] = strings.Join(steps, " ")
	}
	return joined
}

// text is a number of JSON.
func text(v any) string {
	n, _ := v.(float64)
	return strconv.FormatFloat(n, 'f', -1, 64)
}

// awaitHistory waits until the topic of items tells exactly this.
func (w *worker) awaitHistory(t *testing.T, want map[string]string) {
	t.Helper()
	last := map[string]string{}
	defer func() {
		if t.Failed() {
			require.Equal(t, want, last)
		}
	}()
	waitFor(t, "every change to be in the topic", func() bool {
		last = w.history(t)
		return len(last) == len(want) && func() bool {
			for id, steps := range want {
				if last[id] != steps {
					return false
				}
			}
			return true
		}()
	})
}

// streaming waits until both connectors run and the snapshot is over.
func (w *worker) streaming(t *testing.T, source *testdb.Server) {
	t.Helper()
	w.await(t, sourceName, connect.Running)
	w.awaitSlot(t, source, "t")
}

// awaitSlot waits until the source's slot is in use ("t") or not ("f").
func (w *worker) awaitSlot(t *testing.T, source *testdb.Server, active string) {
	t.Helper()
	waitFor(t, "slot active "+active, func() bool {
		rows := source.Rows(t, "select active from pg_replication_slots where slot_name = 'e2e_"+source.Database+"'")
		return len(rows) == 1 && rows[0][0] == active
	})
}
