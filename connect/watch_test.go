// SPDX-License-Identifier: Apache-2.0

package connect_test

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/connect/connecttest"
	"freshet/connect/standalone"
	"freshet/internal/plugins"
	"freshet/internal/testdb"
)

// A walsender that is frozen sends nothing while the server's log grows: the watchdog notices, the worker is not ready until
// changes come again, and none is lost.
func TestWatchdogAndAFrozenWalsender(t *testing.T) {
	server := testdb.NewPostgres(t, testdb.Options{})
	server.Exec(t, `create table a(id int primary key, v text)`)
	db, log := connecttest.NewLog(t)
	worker := connect.NewWorker(connect.WorkerOptions{
		Plugins: plugins.All(), Topics: log, Log: slog.New(slog.DiscardHandler),
		Config: connect.WorkerConfig{StallTimeout: time.Second, DrainTimeout: time.Second, Backoff: connect.Backoff{Min: 10 * time.Millisecond, Max: time.Second}},
	})
	h := standalone.New(standalone.Options{Worker: worker, Store: db, WorkerID: "w:1", Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { require.NoError(t, h.Close(context.WithoutCancel(t.Context()))) })
	_, _, err := h.Put(t.Context(), "src", map[string]string{
		"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "topic.prefix": "p", "plugin.name": "pgoutput",
		"database.hostname": server.Host, "database.port": strconv.Itoa(server.Port), "database.dbname": server.Database,
		"database.user": server.User, "database.password": server.Password, "snapshot.mode": "no_data",
		"slot.guard.interval.ms": "100", "slot.retry.delay.ms": "200", "slot.max.retries": "200",
	}, true, "")
	require.NoError(t, err)
	report := func() connect.Report { return connect.NewReport(h.Reports()) }
	source := func() *connect.SourceReport { return report().Connectors[0].Tasks[0].Source }
	within := func(what string, f func() bool) {
		t.Helper()
		require.Eventually(t, f, 30*time.Second, 20*time.Millisecond, what)
	}
	within("ready", func() bool {
		return report().Ready && source().Connected && source().Slot != nil && source().Slot.Active
	})
	server.Exec(t, `insert into a values (1, 'x')`)
	within("the first event", func() bool { return source().Events.Create == 1 })

	pid, err := strconv.Atoi(server.Text(t, `select active_pid from pg_replication_slots`))
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	thawed := false
	thaw := func() {
		if !thawed {
			thawed = true
			require.NoError(t, syscall.Kill(pid, syscall.SIGCONT))
		}
	}
	t.Cleanup(thaw)
	server.Exec(t, `insert into a select g, repeat('x', 1000) from generate_series(2, 1000) g`)
	within("the watchdog", func() bool { return report().Connectors[0].Tasks[0].Reopened >= 1 })
	within("not ready", func() bool { return !report().Ready })
	require.True(t, strings.HasPrefix(report().Reasons[0], "connector src: "), report().Reasons)
	thaw()
	within("all events", func() bool { return source().Events.Create >= 1000 })
	within("ready again", func() bool { return report().Ready })
}
