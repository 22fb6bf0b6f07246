// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/internal/testdb"
)

func TestGuardrail(t *testing.T) {
	for _, mode := range []string{"initial", "initial_only"} {
		t.Run(mode, func(t *testing.T) {
			f := newFixture(t, "snapshot.mode", mode, "guardrail.collections.max", "1", "table.include.list", `public\.[ab]`)
			f.Exec(t, `create table a(id int primary key); create table b(id int primary key); create table other(id int)`)
			f.with("guardrail.collections.limit.action", "fail").refused("", "2 tables would be captured", "guardrail.collections.max=1")
			require.Equal(t, "0", f.Text(t, `select count(*) from pg_replication_slots where slot_name = '`+f.Database+`'`), "nothing was made")
			require.Equal(t, "0", f.Text(t, `select count(*) from pg_publication`), "nothing was made")

			for _, few := range []*fixture{f.with("guardrail.collections.max", "2"), f.with("guardrail.collections.max", "0")} {
				few.with("guardrail.collections.limit.action", "fail").open("").close()
			}
			require.NotContains(t, f.log.String(), "guardrail")
			f.open("").close()
			require.Contains(t, f.log.String(), "more tables are captured than guardrail.collections.max allows")
		})
	}
}

func TestCheckOfTheGuardrail(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, `create table a(id int primary key); create table b(id int primary key)`)
	limit := map[string]string{"guardrail.collections.max": "1"}
	requireFinding(t, examined(t, s, serverOptions(t, s, limit)), capture.Warn, "guardrail.collections.max", "2 tables, at most 1")
	limit["guardrail.collections.limit.action"] = "fail"
	requireFinding(t, examined(t, s, serverOptions(t, s, limit)), capture.Fail, "guardrail.collections.max", "2 tables, at most 1")
}

func TestCheckOfMaskedKeys(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, `create table a(mail text, x text, primary key (mail)); create table b(id int primary key, mail text)`)
	findings := examined(t, s, serverOptions(t, s, map[string]string{"column.mask.hash.v2.SHA-256.with.salt.s": `.*\.mail`}))
	requireFinding(t, findings, capture.Warn, "masks of public.a", "key columns mail")
	for _, f := range findings {
		require.NotEqual(t, "masks of public.b", f.Subject)
	}
	findings = examined(t, s, serverOptions(t, s, map[string]string{"column.truncate.to.2.chars": `.*\.mail`}))
	for _, f := range findings {
		require.NotEqual(t, "masks of public.a", f.Subject, "a truncation hides nothing")
	}
}
