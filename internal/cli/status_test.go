// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/connect"
	"freshet/connect/rest"
)

func statusOf(t *testing.T, task connect.TaskReport, args ...string) (code int, out, err string) {
	t.Helper()
	reports := func() []connect.ConnectorReport {
		return []connect.ConnectorReport{{Name: "orders", Type: "source", State: connect.Running, Tasks: []connect.TaskReport{task}}}
	}
	s := httptest.NewServer(rest.New(rest.Options{Reports: reports}))
	defer s.Close()
	var stdout, stderr bytes.Buffer
	code = Execute(t.Context(), Env{Args: append([]string{"status", "--worker", s.URL}, args...), Out: &stdout, Err: &stderr})
	return code, stdout.String(), stderr.String()
}

func TestStatusForPeople(t *testing.T) {
	task := connect.TaskReport{
		State: connect.Running, Since: time.Now(), Attempts: 2,
		Source: &connect.SourceReport{
			Phase: "snapshot", Position: json.RawMessage(`{"lsn":1}`), LagBytes: 3 << 20, UndurableBytes: -1, LagMillis: 12,
			Events: connect.EventCounts{Create: 5}, Queue: connect.QueueReport{Batches: 1, Capacity: 4},
			Slot: &capture.SlotState{Name: "s", Status: "extended", Retained: 1 << 30, Safe: 100, HoursLeft: 1.5, Confirmed: "0/1", Warning: "in danger"},
			Snapshot: &connect.SnapshotReport{Running: true, Rows: 10, Tables: []connect.TableReport{
				{TableProgress: capture.TableProgress{Table: "public.a", Rows: 10, Estimated: 20, Blocks: 4, BlocksDone: 2, RowsPerSec: 5, ETASeconds: 2}},
				{TableProgress: capture.TableProgress{Table: "public.b", Done: true}},
			}},
			Demand: &connect.DemandReport{Running: true, Chunk: &capture.SnapshotChunk{Number: 3, Table: "public.c", From: "21", To: "30", TableTo: "99"}},
		},
	}
	code, out, _ := statusOf(t, task)
	require.Equal(t, exitOK, code)
	for _, part := range []string{
		"1 connector(s), all well", "orders (source): RUNNING", "opened 2 time(s)", `{"lsn":1}`, "3.0 MiB to read, unknown not durable, newest change 12 ms old",
		"s: extended, 1.0 GiB retained, 100 B left, confirmed 0/1", "1.5 hours", "in danger", "create 5", "1 of 4 batches", "running: 10 rows", "1 of 2 tables", "10 of about 20 rows, block 2 of 4, 5 rows/s, 2 s left",
		"chunk 3, public.c from 21 to 30 of 99",
	} {
		require.Contains(t, out, part)
	}
	require.NotContains(t, out, "public.b")
}

func TestStatusFailsWhereATaskFailed(t *testing.T) {
	code, out, stderr := statusOf(t, connect.TaskReport{State: connect.Failed, Cause: "slot lost"})
	require.Equal(t, exitFailed, code)
	require.Contains(t, out, "NOT READY")
	require.Contains(t, out, "slot lost")
	require.Empty(t, stderr, "the report has told why")
	code, out, _ = statusOf(t, connect.TaskReport{State: connect.Running}, "--output", "json")
	require.Equal(t, exitOK, code)
	var r connect.Report
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	require.True(t, r.Ready)
	code, _, stderr = statusOf(t, connect.TaskReport{}, "--output", "xml")
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "none of table, json")
}

// A file of tokens may be the worker's own: its first token is the one that is shown.
func TestTokenOfAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	for text, want := range map[string]string{
		"secret\n":                         "secret",
		"# people\n\nanne secret\nbob x\n": "secret",
		"anne secret viewer contents\n":    "secret",
	} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		got, err := readToken(path)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	require.NoError(t, os.WriteFile(path, []byte("# none\n"), 0o600))
	_, err := readToken(path)
	require.ErrorContains(t, err, "holds no token")
}
