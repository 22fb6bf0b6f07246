// SPDX-License-Identifier: Apache-2.0

//go:build peer

package e2e

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/connect"
)

// This test is for make test-peer: with other tests beside it Debezium does not let go of its slot in time.

// workers are the addresses of the workers that connectors and tasks run on.
func (h *handover) workers(t *testing.T, w *worker) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, name := range []string{sourceName, sinkName} {
		code, answer := w.ask(t, "GET", "/connectors/"+name+"/status", nil)
		var s connect.Status
		if code != http.StatusOK || json.Unmarshal([]byte(answer), &s) != nil || s.Connector.State != connect.Running || len(s.Tasks) != 1 || s.Tasks[0].State != connect.Running {
			return nil
		}
		out[s.Connector.WorkerID], out[s.Tasks[0].WorkerID] = true, true
	}
	return out
}

// TestMixedGroup has a worker of Kafka Connect and one of ours in one group: they share the work, and either has all of it when the
// other has gone.
func TestMixedGroup(t *testing.T) {
	h := newHandover(t, false)
	h.source.Exec(t, itemsDDL)
	java, w := h.java(t)
	w.do(t, "PUT", "/connectors/"+sourceName+"/config", h.capturing())
	h.running(t, w, sourceName)
	w.awaitSlot(t, h.source, "t")
	const rows = 10
	rounds, stop := h.counting(t, rows)
	defer stop()
	w.do(t, "PUT", "/connectors/"+sinkName+"/config", sinkConfig(h.target).with(properties{"topics.regex": "", "topics": h.topic()}))
	h.running(t, w, sourceName, sinkName)
	h.more(t, rounds)

	second := *h
	second.listener, second.file = "http://127.0.0.1:"+closedPort(t), filepath.Join(t.TempDir(), "worker.properties")
	text, err := os.ReadFile(h.file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(second.file, bytes.ReplaceAll(text, []byte(h.listener), []byte(second.listener)), 0o600))
	own := second.ours(t)
	both := map[string]bool{strings.TrimPrefix(h.listener, "http://"): true, strings.TrimPrefix(second.listener, "http://"): true}
	waitFor(t, "both to have work", func() bool { return maps.Equal(both, h.workers(t, own)) })
	h.more(t, rounds)

	java.Stop()
	waitFor(t, "ours to have all", func() bool {
		return maps.Equal(map[string]bool{strings.TrimPrefix(second.listener, "http://"): true}, h.workers(t, own))
	})
	h.more(t, rounds)
	require.NoError(t, java.Start(t.Context()))
	w = h.serving(t)
	waitFor(t, "both to have work again", func() bool { return maps.Equal(both, h.workers(t, own)) })
	own.stop(t)
	waitFor(t, "Kafka Connect to have all", func() bool {
		return maps.Equal(map[string]bool{strings.TrimPrefix(h.listener, "http://"): true}, h.workers(t, w))
	})
	h.more(t, rounds)
	stop()
	equal(t, h.source, h.target)
	java.Stop()
	require.Len(t, orderOf(t, h.events(t)), rows*int(rounds.Load()), "no change is missing")
}
