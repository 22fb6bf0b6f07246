// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/emitter"
	"freshet/emitter/json"
	"freshet/emitter/topic"
	"freshet/emitter/topic/local"
	"freshet/internal/pgserver"
	"freshet/internal/testdb"
)

// fullLog is a log of topics that has no room: what is appended never becomes durable.
type fullLog struct {
	topic.Log
	appended atomic.Int64
}

func (l *fullLog) Append(ctx context.Context, _ topic.Unit, done func(error)) {
	l.appended.Add(1)
	context.AfterFunc(ctx, func() { done(ctx.Err()) })
}

// stuck streams into a log that has no room, until the walsender waits for freshet with a full socket. run brings the end of
// the pipeline, once ctx ends or the Reader fails.
func (f *fixture) stuck(ctx context.Context, t *testing.T) (s *session, run <-chan error) {
	t.Helper()
	f.Exec(t, `create table a(id int, v text); alter table a replica identity full; alter table a alter v set storage external`)
	s = f.open("")
	format, ended := json.New(json.Options{}), make(chan error, 1)
	log := &fullLog{}
	go func() {
		ended <- emitter.NewPipeline(s.r, log, emitter.Options{
			MarkKey: "m", Topics: emitter.TopicNames{Prefix: "p"}, Key: format, Value: format, DrainTimeout: time.Second,
			Source: emitter.SourcePlan{Block: sourceBlock(), Version: "1", Connector: "postgresql", Name: "p"}, Log: slog.New(slog.DiscardHandler),
		}).Run(ctx)
	}()
	f.walsender(t)
	f.fillSocket(t)
	waitFor(t, "a unit in the log", func() bool { return log.appended.Load() > 0 })
	return s, ended
}

// fillSocket writes until the walsender waits for freshet, which does not read.
func (f *fixture) fillSocket(t *testing.T) {
	t.Helper()
	f.Exec(t, `insert into a select g, repeat('x', 8000) from generate_series(1, 8000) g`) // 64 MB
	waitFor(t, "a walsender that waits for its client", func() bool {
		return f.Text(t, `select count(*) from pg_stat_activity where backend_type = 'walsender' and wait_event = 'WalSenderWriteData'`) == "1"
	})
}

// A checkpoint that gives up a slot ends its walsender and waits for that. One whose client does not read never ends: it has a
// last word to say. So the client that cannot read lets go.
func TestCheckpointDoesNotWaitForAFullLog(t *testing.T) {
	f := smallSlots(t).with("snapshot.mode", "no_data")
	s, run := f.stuck(t.Context(), t)
	f.checkpoint(t)
	var err error
	select {
	case err = <-run:
		lost(t, err, "lost")
	case <-time.After(30 * time.Second):
		require.Fail(t, "the pipeline did not fail")
	}
	s.close()
}

// smallSlots is a server that gives slots up at a checkpoint of the test, and a guard that looks often.
func smallSlots(t *testing.T) *fixture {
	t.Helper()
	return fixtureOn(t, testdb.NewPostgres(t, testdb.Options{Settings: map[string]string{
		"max_slot_wal_keep_size": "1MB", "min_wal_size": "32MB", "max_wal_size": "1GB", "wal_keep_size": "0", // no checkpoint but ours
	}}), "slot.guard.interval.ms", "1000")
}

// checkpoint wants one that comes to its end, and has given up the slot.
func (f *fixture) checkpoint(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err := f.Connect(t).Exec(ctx, `checkpoint`)
	require.NoError(t, err, "a checkpoint waits for freshet")
	require.Equal(t, "lost", f.Text(t, `select wal_status from pg_replication_slots where slot_name = '`+f.raw["slot.name"]+`'`))
}

// fullSpool is a log that has no room for more once it is full.
type fullSpool struct {
	*local.Log
	full atomic.Bool
}

func (l *fullSpool) Append(ctx context.Context, u topic.Unit, done func(error)) {
	if !l.full.Load() {
		l.Log.Append(ctx, u, done)
		return
	}
	<-ctx.Done()
	go done(ctx.Err())
}

// The same during a snapshot, where the stream goes into the spool.
func TestCheckpointDoesNotWaitForAFullSpool(t *testing.T) {
	f := smallSlots(t).with("max.batch.size", "2")
	log := &fullSpool{Log: newSpoolLog(t)}
	f.spool = capture.NewSpool(log, "src")
	f.Exec(t, `create table a(id int, v text); alter table a alter v set storage external; insert into a select generate_series(1, 100)`)
	s := f.open("")
	s.next() // the snapshot is not over
	f.walsender(t)
	log.full.Store(true)
	f.fillSocket(t)
	f.checkpoint(t)
	lost(t, f.untilFailed(s, 30*time.Second), "the slot")
}

// So it is with a server that is shut down: it waits for its walsenders, as long as they answer.
func TestShutdownDoesNotWaitForAFullLog(t *testing.T) {
	f := fixtureOn(t, testdb.NewPostgres(t, testdb.Options{}), "snapshot.mode", "no_data", "slot.guard.interval.ms", "1000")
	ctx, stop := context.WithCancel(t.Context())
	s, run := f.stuck(ctx, t)
	began := time.Now()
	f.Stop(t, pgserver.Fast)
	require.Less(t, time.Since(began), 30*time.Second)
	stop()
	require.Error(t, <-run, "drained in vain")
	s.close()
}
