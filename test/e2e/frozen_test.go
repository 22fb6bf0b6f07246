// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/connect"
	"freshet/internal/testdb"
)

// TestFrozenWorkerOverwritesNothing: a worker of a group stands still while its task moves, with a request before its door. When it
// goes on it does what it is asked with what it knew, which must not take the place of what the next worker has kept meanwhile.
func TestFrozenWorkerOverwritesNothing(t *testing.T) {
	t.Parallel()
	c := newCluster(t, testdb.Kafka(t).Address())
	workers := []*worker{c.start(t), c.start(t)}
	require.NoError(t, os.WriteFile(c.file("a"), nil, 0o600))
	c.fileSource(t, workers[0], "a")
	where := func(asked *worker, state connect.State) int { return taskIn(t, workers, asked, "a", state) }
	waitFor(t, "the task to run", func() bool { return where(workers[0], connect.Running) >= 0 })
	workers[0].do(t, "PUT", "/connectors/a/pause", nil) // so that snapshots wait
	at := -1
	waitFor(t, "the task to pause", func() bool {
		at = where(workers[0], connect.Paused)
		return at >= 0 && at == where(workers[1], connect.Paused)
	})
	frozen, next := workers[at], workers[1-at]
	ask := func(id string) string { return fmt.Sprintf(`{"id":%q,"tables":["public.t"]}`, id) }
	next.do(t, "POST", "/connectors/a/snapshots", json.RawMessage(ask("one")))
	frozen.signal(t, syscall.SIGSTOP)
	t.Cleanup(func() { _ = frozen.cmd.Process.Signal(syscall.SIGCONT) }) // it may have ended
	waitFor(t, "the task to move", func() bool { return where(next, connect.Paused) == 1-at })
	waitFor(t, "the next worker to take a request", func() bool {
		code, _ := next.ask(t, "POST", "/connectors/a/snapshots", json.RawMessage(ask("two")))
		return code == http.StatusAccepted
	})

	address := strings.TrimPrefix(frozen.url, "http://")
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST /connectors/a/snapshots HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", address, len(ask("three")), ask("three"))
	require.NoError(t, err)
	frozen.signal(t, syscall.SIGCONT)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	want := []string{"one", "two"}
	if answer.StatusCode == http.StatusAccepted {
		want = append(want, "three") // it was in the group again, and passed the request on
	} else {
		require.Equal(t, http.StatusConflict, answer.StatusCode)
	}
	for _, w := range workers {
		waitFor(t, "all that was taken to be there", func() bool {
			var jobs []capture.SnapshotJob
			code, text := w.ask(t, "GET", "/connectors/a/snapshots", nil)
			if code != http.StatusOK {
				return false
			}
			require.NoError(t, json.Unmarshal([]byte(text), &jobs))
			ids := make([]string, len(jobs))
			for n, j := range jobs {
				ids[n] = j.ID
			}
			require.Equal(t, want, ids)
			return true
		})
	}
	for _, w := range workers {
		w.stop(t)
	}
}
