// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/connect"
	"freshet/internal/testdb"
)

// snapshots lists the snapshots on demand of the source, by the command.
func (w *worker) snapshots(t *testing.T) map[string]capture.SnapshotJob {
	t.Helper()
	code, out, said := run(t, "snapshot", "list", sourceName, "--output", "json", "--worker", w.url)
	require.Zero(t, code, said)
	var jobs []capture.SnapshotJob
	require.NoError(t, json.Unmarshal([]byte(out), &jobs))
	byID := map[string]capture.SnapshotJob{}
	for _, j := range jobs {
		byID[j.ID] = j
	}
	return byID
}

func (w *worker) awaitSnapshot(t *testing.T, id, state string) capture.SnapshotJob {
	t.Helper()
	waitFor(t, "snapshot "+id+" to be "+state, func() bool { return w.snapshots(t)[id].State == state })
	return w.snapshots(t)[id]
}

// TestSnapshotsOnDemand asks for snapshots by the command and over REST: a target that lacks rows gets them, nothing is
// written to the source, and jobs outlive the process.
func TestSnapshotsOnDemand(t *testing.T) {
	t.Parallel()
	source, target := testdb.Postgres(t), testdb.Postgres(t)
	source.Exec(t, itemsDDL+"insert into items select g, 0, 'old' from generate_series(1, 3000) g")
	s := pair(t, source, target)
	s.connectors[sourceName] = s.connectors[sourceName].with(properties{"snapshot.mode": "no_data"})
	w := s.start(t)
	w.streaming(t, source)
	source.Exec(t, "update items set n = n + 1 where id % 100 = 0")
	code, id, said := run(t, "snapshot", "start", sourceName, "public.items", "--worker", w.url)
	require.Zero(t, code, said)
	source.Exec(t, "update items set n = n + 1 where id % 50 = 0; delete from items where id % 70 = 0")
	job := w.awaitSnapshot(t, strings.TrimSpace(id), "completed")
	require.Equal(t, []string{"public.items"}, job.Tables)
	equal(t, source, target)

	// One that cannot be done is failed with its cause, and can be taken away.
	code, _, said = run(t, "snapshot", "start", sourceName, "public.items", "--where", "public.items=no_such_column > 1", "--id", "bad", "--worker", w.url)
	require.Zero(t, code, said)
	require.Contains(t, w.awaitSnapshot(t, "bad", "failed").Error, "no_such_column")
	code, _, said = run(t, "snapshot", "start", sourceName, "public.items", "--id", "bad", "--worker", w.url)
	require.Equal(t, 1, code)
	require.Contains(t, said, "already exists")
	code, _, said = run(t, "snapshot", "cancel", sourceName, "bad", "--worker", w.url)
	require.Zero(t, code, said)
	require.NotContains(t, w.snapshots(t), "bad")

	// What is asked for while the connector is stopped is done when it runs again, also in another process.
	w.do(t, "PUT", "/connectors/"+sourceName+"/stop", nil)
	w.do(t, "POST", "/connectors/"+sourceName+"/snapshots", map[string]any{"id": "later", "tables": []string{"public.items"}, "type": "blocking"})
	require.Equal(t, "queued", w.snapshots(t)["later"].State)
	w.kill(t)
	target.Exec(t, "delete from items where id > 1000")
	w = s.start(t)
	w.awaitSnapshot(t, "later", "completed")
	equal(t, source, target)
	require.Contains(t, w.snapshots(t), strings.TrimSpace(id), "those that ended are remembered")
	w.stop(t)
}

// TestInitialSnapshotIsListed: the initial snapshot is a snapshot like others to operators, table by table, and is remembered.
func TestInitialSnapshotIsListed(t *testing.T) {
	t.Parallel()
	source, target := testdb.Postgres(t), testdb.Postgres(t)
	source.Exec(t, itemsDDL+"insert into items select g, 0, 'old' from generate_series(1, 3000) g")
	s := pair(t, source, target)
	w := s.start(t)
	w.streaming(t, source)
	check := func(w *worker) {
		t.Helper()
		job := w.awaitSnapshot(t, capture.InitialSnapshot, "completed")
		require.Equal(t, "initial", job.Type)
		require.EqualValues(t, 3000, job.Rows)
		require.Equal(t, []string{"public.items"}, job.Tables)
		require.Len(t, job.Progress, 1)
		p := job.Progress[0]
		require.True(t, p.Done)
		require.EqualValues(t, 3000, p.Rows)
		require.Positive(t, p.Blocks)
		require.Equal(t, p.Blocks, p.BlocksDone)
		require.Zero(t, p.ETASeconds)
	}
	check(w)
	code, out, said := run(t, "snapshot", "list", sourceName, "--worker", w.url)
	require.Zero(t, code, said)
	require.Contains(t, out, "public.items")
	require.Contains(t, out, "block 1 of 1, done")
	w.kill(t)
	check(s.start(t))
}

func TestSnapshotRefuses(t *testing.T) {
	t.Parallel()
	source, target := testdb.Postgres(t), testdb.Postgres(t)
	source.Exec(t, itemsDDL)
	s := pair(t, source, target)
	w := s.start(t)
	w.await(t, sourceName, connect.Running)
	for _, c := range []struct {
		method, path string
		body         any
		status       int
		says         string
	}{
		{"POST", "/connectors/nobody/snapshots", map[string]any{"tables": []string{"a"}}, 404, "nobody not found"},
		{"POST", "/connectors/" + sinkName + "/snapshots", map[string]any{"tables": []string{"a"}}, 400, "only sources"},
		{"POST", "/connectors/" + sourceName + "/snapshots", map[string]any{}, 400, "tables is missing"},
		{"POST", "/connectors/" + sourceName + "/snapshots", map[string]any{"tables": []string{"("}}, 400, "regular expression"},
		{"POST", "/connectors/" + sourceName + "/snapshots", map[string]any{"tables": []string{"a"}, "type": "quick"}, 400, "incremental, blocking"},
		{"POST", "/connectors/" + sourceName + "/snapshots", map[string]any{"table": "a"}, 400, "unknown field"},
		{"GET", "/connectors/" + sourceName + "/snapshots/x", nil, 404, "Snapshot x not found"},
		{"DELETE", "/connectors/" + sourceName + "/snapshots/x", nil, 404, "Snapshot x not found"},
		{"PUT", "/connectors/" + sourceName + "/snapshots/x/pause", nil, 404, "Snapshot x not found"},
	} {
		status, answer := w.ask(t, c.method, c.path, c.body)
		require.Equal(t, c.status, status, "%s %s: %s", c.method, c.path, answer)
		require.Contains(t, answer, c.says)
	}
	code, _, said := run(t, "snapshot", "start", sourceName)
	require.Equal(t, 2, code)
	require.Contains(t, said, "usage: freshet snapshot start CONNECTOR TABLE...")
	code, _, said = run(t, "snapshot", "begin")
	require.Equal(t, 2, code)
	require.Contains(t, said, "unknown command")
	w.stop(t)
}
