// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/emitter/topic"
	"freshet/emitter/topic/local"
	"freshet/internal/history"
	"freshet/internal/store"
	"freshet/internal/testdb"
	"freshet/internal/verify"
	"freshet/schema"
)

// aborted is in every row of a transaction or savepoint that is rolled back: nobody may ever see it.
const aborted = "never committed"

// shape is what a seed makes of tables and configuration.
type shape struct {
	rows      int // of both tables, before the first start
	hot       int // keys that the writers change
	truncates bool
	batch     int // max.batch.size
	threads   int // snapshot.max.threads
	blocks    int // snapshot.max.threads.multiplier
	pause     int // streaming.delay.ms: what comes meanwhile is in the spool
	sinkBatch int
	metadata  bool // provide.transaction.metadata
	windows   bool // snapshots on demand, by signals, while the writers go on
}

// newShape is one in which all steps can be reached.
func newShape(rnd *rand.Rand, chosen []step) *shape {
	s := &shape{
		rows: pick(rnd, 0, 30, 300, 2000), hot: pick(rnd, 12, 60, 300), truncates: rnd.IntN(4) == 0,
		batch: pick(rnd, 1, 7, 50, 500, 2048), threads: 1 + rnd.IntN(2), sinkBatch: pick(rnd, 10, 100, 1000),
		metadata: rnd.IntN(2) == 0, windows: rnd.IntN(2) == 0, blocks: pick(rnd, 1, 6), pause: pick(rnd, 0, 0, 300),
	}
	for _, step := range chosen {
		switch kind, rest, _ := strings.Cut(step.name, "."); {
		case kind == "spool":
			s.pause = 500
		case strings.HasPrefix(rest, "block"):
			s.rows, s.batch, s.blocks, s.truncates = max(s.rows, 300), min(s.batch, 50), 6, false
		case strings.HasPrefix(rest, "window"):
			s.windows = true
		case strings.HasPrefix(rest, "transaction"):
			s.batch = min(s.batch, 7)
		}
	}
	if s.truncates {
		s.blocks = 1 // a snapshot in blocks is taken again for each TRUNCATE that it meets
	}
	return s
}

// create makes the tables, their journal, and the target's tables in a schema of the same database.
//
//   - counters: the replica identity is the key; notes are often too long for the row and are not sent when they stay;
//   - moves: old rows are told in full; keys change, rows come by COPY, the table may be truncated.
func (s *shape) create(t *testing.T, db *testdb.Server) {
	t.Helper()
	db.Exec(t, `create table counters(id int primary key, n bigint not null, note text);
alter table counters alter note set storage external;
create table moves(id int primary key, n bigint not null, note text);
alter table moves replica identity full;
create table signals(id text primary key, type text not null, data text);
create schema copy;
create table copy.counters (like counters including indexes);
create table copy.moves (like moves including indexes);
insert into counters select g, 0, repeat('x', g % 5 * 900) from generate_series(1, `+strconv.Itoa(s.rows)+`) g;
insert into moves select g, 0, 'first' from generate_series(1, `+strconv.Itoa(s.rows)+`) g;
`+history.Journal+`select history.watch('counters'), history.watch('moves');`)
}

// tables are the captured ones.
var tables = []string{"counters", "moves"}

// equal says whether the target is the source now.
func (s *shape) equal(t *testing.T, db *testdb.Server) bool {
	t.Helper()
	for _, name := range tables {
		if db.Text(t, fmt.Sprintf(`select count(*) from public.%[1]s a full join copy.%[1]s b using (id) where a is distinct from b`, name)) != "0" {
			return false
		}
	}
	return true
}

// check judges the topics and the target.
func (s *shape) check(t *testing.T, db *testdb.Server, data string) {
	t.Helper()
	commits, err := history.ParseJournal(db.Rows(t, history.JournalQuery))
	require.NoError(t, err)
	c := history.New(history.Options{
		Prefix: "kill", Tags: []string{aborted}, Source: commits, Full: map[string]bool{"public.moves": true}, Exact: true,
	})
	for _, name := range []string{"public.counters", "public.moves", "public.signals", "transaction"} {
		eachRecord(t, data, "kill."+name, func(r *topic.Record) {
			c.Add(history.Record{Topic: r.Topic, Offset: r.Offset, Key: bytes.Clone(r.Key.Bytes()), Value: bytes.Clone(r.Value.Bytes())})
		})
	}
	rep, err := c.Finish()
	t.Logf("%+v: %+v", *s, rep)
	require.NoError(t, err)
	require.False(t, t.Failed())
	require.NotZero(t, rep.Changes)
	require.NotZero(t, rep.Commits)
	require.Equal(t, s.metadata, rep.Transactions > 0)
	for _, name := range tables {
		r, err := verify.Compare(t.Context(), db.Connect(t), db.Connect(t), verify.Table{
			Source: schema.ID{Schema: "public", Name: name}, Target: schema.ID{Schema: "copy", Name: name},
		}, 5)
		require.NoError(t, err)
		require.Empty(t, r.First)
	}
}

// eachRecord reads a topic of a stopped worker's folder. A topic that does not exist has no records.
func eachRecord(t *testing.T, data, name string, f func(*topic.Record)) {
	t.Helper()
	db, err := store.Open(data, store.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	log, err := local.Open(db, local.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, log.Close(t.Context())) }()
	infos, err := log.List(t.Context())
	require.NoError(t, err)
	left := int64(0)
	for _, i := range infos {
		if i.Name == name {
			left = i.Partitions[0].End - i.Partitions[0].Start
		}
	}
	if left == 0 {
		return
	}
	c, err := log.Subscribe(t.Context(), topic.Subscription{Topics: []string{name}})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close(t.Context())) }()
	for left > 0 {
		records, err := c.Poll(t.Context(), 1000)
		require.NoError(t, err)
		for i := range records {
			f(&records[i])
		}
		left -= int64(len(records))
	}
}
