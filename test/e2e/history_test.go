// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"context"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/emitter/topic"
	"freshet/emitter/topic/local"
	"freshet/internal/history"
	"freshet/internal/store"
	"freshet/internal/testdb"
)

// mostJudged is the size of a topic beyond which its records are too large to be read again in every test.
const mostJudged = 64 << 20

// journaled are the tables whose values have the same JSON in a journal and in a topic.
const journaled = `select format('%I.%I', n.nspname, c.relname) from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and n.nspname = 'public' and not exists (select from pg_attribute a where a.attrelid = c.oid and a.attnum > 0
  and not a.attisdropped and a.atttypid not in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'bool'::regtype, 'text'::regtype))
  and c.relname !~ '[^a-z_]'`

var journaling sync.Mutex

// journal lets a source keep what it commits from now on, and the setup be judged by it.
func (s *setup) journal(t *testing.T, source *testdb.Server) {
	t.Helper()
	s.source = source
	journaling.Lock() // setups on one source may be made at the same time
	defer journaling.Unlock()
	if source.Text(t, "select count(*) from pg_namespace where nspname = 'history'") != "0" {
		return // by another setup on the same source
	}
	source.Exec(t, history.Journal)
	for _, row := range source.Rows(t, journaled) {
		source.Exec(t, "select history.watch('"+row[0]+"')")
	}
}

// judge looks at every record of every topic of a table once the test is over, whatever it was about: by all rules that
// hold without a journal, and against the source's journal where it has one and nothing was lost on purpose.
func (s *setup) judge(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(s.data); err != nil || t.Failed() || s.unjudged {
		return
	}
	o := history.Options{Prefix: "e2e", Exact: true, Partial: s.gaps || s.connectors[sourceName]["snapshot.mode"] == "no_data"}
	if s.source != nil && !s.gaps {
		commits, err := history.ParseJournal(s.source.Rows(t, history.JournalQuery))
		require.NoError(t, err)
		o.Source, o.Open = commits, true // the test itself says what must have come
	}
	judgeFolder(t, s.data, o)
}

// judgeFolder judges the topics in the folder of a worker that has ended.
func judgeFolder(t *testing.T, data string, o history.Options) {
	t.Helper()
	c := history.New(o)
	eachRecord(t, data, o.Prefix, func(r *topic.Record) {
		c.Add(history.Record{Topic: r.Topic, Offset: r.Offset, Key: bytes.Clone(r.Key.Bytes()), Value: bytes.Clone(r.Value.Bytes())})
	})
	rep, err := c.Finish()
	require.NoError(t, err, "%+v", rep)
}

// eachRecord reads the topics of tables, one after the other.
func eachRecord(t *testing.T, data, prefix string, f func(*topic.Record)) {
	t.Helper()
	db, err := store.Open(data, store.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	log, err := local.Open(db, local.Options{RetentionInterval: -1})
	require.NoError(t, err)
	ctx := context.WithoutCancel(t.Context()) // cleanups come after its end
	defer func() { require.NoError(t, log.Close(ctx)) }()
	infos, err := log.List(ctx)
	require.NoError(t, err)
	for _, i := range infos {
		left := i.Partitions[0].End - i.Partitions[0].Start
		if !strings.HasPrefix(i.Name, prefix+".") || left == 0 || len(i.Partitions) > 1 || i.Partitions[0].Start > 0 {
			continue
		}
		c, err := log.Subscribe(ctx, topic.Subscription{Topics: []string{i.Name}})
		require.NoError(t, err)
		for size := 0; left > 0 && size < mostJudged; {
			records, err := c.Poll(ctx, 1000)
			require.NoError(t, err)
			for n := range records {
				size += records[n].Value.Len()
				f(&records[n])
			}
			left -= int64(len(records))
		}
		require.NoError(t, c.Close(ctx))
	}
}
