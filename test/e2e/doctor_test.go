// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/internal/testdb"
)

// TestDoctor: findings with the statement that mends them, nothing changed, and exit codes that scripts can use.
func TestDoctor(t *testing.T) {
	t.Parallel()
	source := testdb.Postgres(t)
	source.Exec(t, itemsDDL+"create table keyless(n int)")
	s := newSetup(t)
	s.connectors[sourceName] = sourceConfig(source)
	code, out, said := run(t, "doctor", s.sourceFile(t))
	require.Zero(t, code, said)
	requireWords(t, out, "wal_level", "logical", "table public.keyless", `ALTER TABLE "public"."keyless" REPLICA IDENTITY FULL`, "0 fault(s)")

	// A role that may do little: each fault with what mends it; then it is mended that way.
	role := "r_" + source.Database
	source.Exec(t, `create role "`+role+`" login password 'Right-4711'`)
	t.Cleanup(func() { source.Exec(t, `drop owned by "`+role+`" cascade; drop role "`+role+`"`) })
	s.connectors[sourceName] = s.connectors[sourceName].with(properties{"database.user": role, "database.password": "Right-4711"})
	code, out, _ = run(t, "doctor", s.sourceFile(t))
	require.Equal(t, 3, code)
	requireWords(t, out, "FAIL", "role "+role, `WITH REPLICATION`, `GRANT SELECT ON "public"."items" TO "`+role+`"`, "publication e2e", "CREATE PUBLICATION")
	code, out, _ = run(t, "doctor", s.sourceFile(t), "--output", "json")
	require.Equal(t, 3, code)
	var report struct {
		Connector string
		OK        bool
		Findings  []struct{ Level, Subject, Seen, Fix string }
	}
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.Equal(t, sourceName, report.Connector)
	require.False(t, report.OK)
	mended := 0
	for _, f := range report.Findings {
		if f.Level == "FAIL" {
			mended++
			require.NotEmpty(t, f.Fix, f.Subject)
			source.Exec(t, f.Fix)
		}
	}
	require.GreaterOrEqual(t, mended, 3)
	s.connectors[sourceName] = s.connectors[sourceName].with(properties{"publication.autocreate.mode": "disabled"})
	code, out, _ = run(t, "doctor", s.sourceFile(t))
	require.Zero(t, code, out)
	require.Equal(t, "0", source.Text(t, "select count(*) from pg_replication_slots where database = current_database()"), "the doctor changes nothing")

	// What keeps the doctor from looking.
	for _, c := range []struct {
		changes properties
		code    int
		words   []string
	}{
		{properties{"database.password": "Wrong-4711"}, 3, []string{"FAIL", "connection", "password authentication failed", "database.password"}},
		{properties{"database.port": closedPort(t)}, 3, []string{"FAIL", "connection", "refused"}},
		{properties{"snapshot.mode": "initiial"}, 2, []string{"snapshot.mode", "initiial"}},
		{properties{"connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector"}, 2, []string{"connection.url"}},
	} {
		broken := &setup{connectors: map[string]properties{sourceName: s.connectors[sourceName].with(c.changes)}}
		code, out, said := run(t, "doctor", broken.sourceFile(t))
		require.Equal(t, c.code, code, said)
		requireWords(t, out+said, c.words...)
		require.NotContains(t, out+said, "4711")
	}
	w := s.start(t)
	w.streaming(t, source)
	w.stop(t)
}
