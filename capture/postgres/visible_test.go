// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"log/slog"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/internal/testdb"
)

func TestVisible(t *testing.T) {
	server := testdb.Postgres(t)
	writer, reader := server.Connect(t).PgConn(), server.Connect(t).PgConn()
	ctx := t.Context()
	run := func(sql string) string {
		t.Helper()
		results, err := writer.Exec(ctx, sql).ReadAll()
		require.NoError(t, err)
		if rows := results[len(results)-1].Rows; len(rows) > 0 {
			return string(rows[0][0])
		}
		return ""
	}
	for _, end := range []string{"commit", "rollback"} {
		n, err := strconv.ParseUint(run("begin; select pg_current_xact_id()::text::bigint & 4294967295"), 10, 32)
		require.NoError(t, err)
		xid := uint32(n)
		ok, err := visible(ctx, reader, xid)
		require.NoError(t, err)
		require.False(t, ok, "the newest transaction, open")

		run("create table if not exists t(i int)")
		server.Exec(t, "create table if not exists later(i int)") // so that it is not the newest any more
		ok, err = visible(ctx, reader, xid)
		require.NoError(t, err)
		require.False(t, ok, "one of several, open")

		done := make(chan error, 1)
		go func() { done <- awaitVisible(ctx, reader, xid, slog.New(slog.DiscardHandler)) }()
		select {
		case err := <-done:
			t.Fatalf("it does not wait: %v", err)
		default:
		}
		run(end)
		require.NoError(t, <-done)
	}
	ok, err := visible(ctx, reader, 3)
	require.NoError(t, err)
	require.True(t, ok, "an old one")
}
