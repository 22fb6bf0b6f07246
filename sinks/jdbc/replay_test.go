// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/emitter/topic"
	"freshet/internal/testdb"
	"freshet/schema"
	"freshet/sinks"
	"freshet/sinks/sinktest"
)

// versions decodes the n-th version of one row, whose number is the record's value.
type versions struct{ f *feed }

func (d versions) Decode(b *sinks.Batch, r *topic.Record) (sinks.Record, error) {
	n, err := strconv.ParseInt(string(r.Value.Body), 10, 64)
	if err != nil {
		return sinks.Record{}, err
	}
	records := b.Records // the task's
	b.Records = nil
	d.f.change(b, change.Update, int64(1), fmt.Sprint("v", n), n)
	rec := b.Records[0]
	b.Records = records
	rec.Source, rec.Offset = topic.Partition{Topic: r.Topic}, r.Offset
	return rec, nil
}

// watched is a database with a table whose one row never goes back to an older version unseen: a trigger keeps every version
// that was ever there.
func watched(t *testing.T) *testdb.Server {
	t.Helper()
	s := testdb.Postgres(t)
	s.Exec(t, postgresItems+`; create table seen(at serial, n int);
		create function see() returns trigger language plpgsql as $$ begin insert into seen(n) values (new.n); return new; end $$;
		create trigger t after insert or update on items for each row execute function see()`)
	return s
}

const wentBack = "select count(*) from seen a join seen b on b.at = a.at + 1 where b.n < a.n"

// TestAReplayNeverGoesBackWithOffsets: with offsets.table.name the target says where to go on, whatever the consumer group
// believes, and an older change is never seen after a newer one.
func TestAReplayNeverGoesBackWithOffsets(t *testing.T) {
	s := watched(t)
	const count = 200
	log := sinktest.NewLog()
	for n := range count {
		log.Append(t.Context(), topic.Unit{Records: []topic.Record{{Topic: "items", Value: topic.Data{Body: []byte(strconv.Itoa(n))}}}}, func(error) {})
	}
	run := func(group string) {
		w := open(t, upsert(s, "offsets.table.name", "freshet_offsets", "batch.size", "7"), nil)
		task := sinks.NewTask(sinks.Options{
			Log: log, Subscription: topic.Subscription{Group: group, Topics: []string{"items"}}, Decoder: versions{items()}, Writer: w,
			Logger: slog.New(slog.DiscardHandler), CommitInterval: time.Millisecond, BatchSize: 7,
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- task.Run(ctx) }()
		require.Eventually(t, func() bool { return s.Text(t, "select coalesce(max(n), -1) from items") == fmt.Sprint(count-1) }, 20*time.Second, 10*time.Millisecond)
		cancel()
		require.NoError(t, <-done)
	}
	run("a group")
	applied := s.Text(t, "select count(*) from seen")
	run("another group, which has committed nothing")
	require.Equal(t, applied, s.Text(t, "select count(*) from seen"), "nothing was applied again")
	require.Equal(t, "0", s.Text(t, wentBack))
}

// TestAReplayGoesBackAndForthWithoutOffsets is what the original does: what is read again is applied again, in order, so that
// the row shows older versions until the end is reached, and the newest one then.
func TestAReplayGoesBackAndForthWithoutOffsets(t *testing.T) {
	s := watched(t)
	w := open(t, upsert(s), nil)
	f := newFeed("items", 1, required("id", schema.Int64), fieldOf("v", schema.String), fieldOf("n", schema.Int32))
	version := func(n int64) func(b *sinks.Batch) {
		return func(b *sinks.Batch) { f.change(b, change.Update, int64(1), fmt.Sprint("v", n), n) }
	}
	for _, n := range []int64{1, 2, 3} {
		write(t, w, version(n))
	}
	write(t, w, version(2))
	require.Equal(t, "1 v2 2", rows(t, s, "select * from items"), "as the original: the row goes back")
	write(t, w, version(3))
	require.Equal(t, "1 v3 3", rows(t, s, "select * from items"))
	require.Equal(t, "1", s.Text(t, wentBack))
	require.NoError(t, w.Close(t.Context()))
}
