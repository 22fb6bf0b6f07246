// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"freshet/capture/postgres/walsendertest"
	"freshet/internal/testdb"
)

// A silent connection is broken where its process waits for the client, and where the server answers nobody. A process that
// works is left alone, whatever it waits for.
func TestProbe(t *testing.T) {
	f := newFixture(t)
	o, err := parseOptions(f.values())
	require.NoError(t, err)
	d := dialer{o: &o, name: "x"}
	conn, err := d.connect(t.Context())
	require.NoError(t, err)
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()

	// It has answered a moment ago, and a probe is right not to call a process broken that has yet to come to its wait.
	waitFor(t, "the process to wait", func() bool {
		err = d.probe(t.Context(), conn.PID(), waitsForClient)
		return err != nil
	})
	require.ErrorContains(t, err, "the server's process waits for this client (ClientRead)")
	require.NoError(t, d.probe(t.Context(), 4_000_000, waitsForClient), "a process that cannot be seen")

	lock := sqlConn{t, f.Connect(t)}
	lock.run(`begin; select pg_advisory_xact_lock(1)`)
	works := make(chan error, 1)
	go func() { works <- conn.Exec(t.Context(), `select pg_advisory_xact_lock(1)`).Close() }()
	waitFor(t, "the lock to be waited for", func() bool {
		return f.Text(t, `select count(*) from pg_locks where pid = `+fmt.Sprint(conn.PID())+` and not granted`) == "1"
	})
	require.NoError(t, d.probe(t.Context(), conn.PID(), waitsForClient))
	lock.run(`commit`)
	require.NoError(t, <-works)

	other := o
	other.Database = "there is no such database"
	require.NoError(t, dialer{o: &other}.probe(t.Context(), conn.PID(), waitsForClient), "a server that refuses answers")
	other.Port = 1
	err = dialer{o: &other}.probe(t.Context(), conn.PID(), waitsForClient)
	require.ErrorContains(t, err, "does not answer on a new connection")
	require.True(t, serverSilent(err))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, dialer{o: &other}.probe(ended, conn.PID(), waitsForClient))
}

// A read that waits is ended once a probe says that nothing will come, and not as long as the server works.
func TestWatchedConnection(t *testing.T) {
	t.Parallel()
	client, server := net.Pipe()
	defer func() { require.NoError(t, server.Close()) }()
	c := &watchedConn{Conn: client}
	probes, broken := 0, errors.New("it is broken")
	c.watch(func(context.Context) error {
		if probes++; probes == 1 {
			return nil
		}
		return &silentError{broken, true}
	})
	go func() { _, _ = server.Write([]byte("x")) }()
	n, err := c.Read(make([]byte, 10))
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, err = c.Read(make([]byte, 10))
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "no byte from the server for")
	require.True(t, serverSilent(err))
	require.Equal(t, 2, probes)
	require.NoError(t, c.Close())
}

// The replication connection alone is dead, as where a firewall has forgotten it: with the server's usual patience it would be
// noticed after two minutes.
func TestForgottenReplicationConnection(t *testing.T) {
	t.Parallel()
	db := testdb.NewPostgres(t, testdb.Options{Settings: map[string]string{"wal_sender_timeout": "60s"}})
	f, w := fixtureOn(t, db, "snapshot.mode", "no_data").between()
	bodies, want := recordStream(t, f, w)
	w.Script(walsendertest.Send(bodies...))
	s := f.open("")
	require.Len(t, s.events(len(want)), len(want))
	began := time.Now()
	var err error
	for err == nil {
		_, _, err = s.tryNext(30 * time.Second)
	}
	require.ErrorContains(t, err, "no byte from the server for")
	require.ErrorContains(t, err, "the server's process waits for this client")
	require.True(t, retriable(err))
	require.Less(t, time.Since(began), 30*time.Second)
	require.Greater(t, time.Since(began), silencePatience)
	var answered *pgconn.PgError
	require.NotErrorAs(t, err, &answered)
}
