// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"cmp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/sinks"
	"freshet/sinks/jdbc"
	"freshet/sinks/sinktest"
)

// TestConformance runs the suite with and without offsets in the target, with several connections, and with tables in which
// rows of different keys may collide, so that reduced batches fall back to single statements.
func TestConformance(t *testing.T) {
	defer jdbc.SetLaneRows(1)()
	cases := []struct{ name, extra, offsets, connections, only string }{
		{name: "plain"},
		{name: "offsets", offsets: "freshet_offsets"},
		{name: "connections", connections: "3"},
		{name: "connections, offsets", connections: "4", offsets: "freshet_offsets"},
		{name: "another unique index", extra: "alter table items add unique (n)", only: "MySQL MariaDB"},
		{name: "deferred constraint", extra: "alter table items add unique (n) deferrable initially deferred", offsets: "public.offs", only: "PostgreSQL"},
		{name: "cascading reference", extra: "create table child(id bigint, foreign key (id) references items(id) on delete cascade)", offsets: "offs"},
	}
	for kind, newServer := range servers {
		for _, c := range cases {
			if !strings.Contains(cmp.Or(c.only, kind), kind) {
				continue
			}
			t.Run(kind+" "+c.name, func(t *testing.T) {
				sinktest.Run(t, func(t *testing.T) sinktest.Target {
					s := newServer(t)
					s.Exec(t, "create table items(id bigint primary key, v varchar(60), n int)")
					if c.extra != "" {
						s.Exec(t, c.extra)
					}
					return target(s, c.offsets, c.connections)
				})
			})
		}
	}
}

func target(s server, offsets, connections string) sinktest.Target {
	return sinktest.Target{
		Open: func(t testing.TB) sinks.Writer {
			return open(t, s.upsert("collection.name.format", "items", "offsets.table.name", offsets, "write.connections", cmp.Or(connections, "1")), nil)
		},
		Rows: func(t testing.TB) map[int64]string {
			rows := map[int64]string{}
			for _, r := range s.Rows(t, "select id, coalesce(v, '"+sinktest.Null+"') from items") {
				id, err := strconv.ParseInt(r[0], 10, 64)
				require.NoError(t, err)
				rows[id] = r[1]
			}
			return rows
		},
		Break:        s.breakWriters,
		InParts:      connections != "",
		Poison:       strings.Repeat("too long ", 10),
		KeepsOffsets: offsets != "",
	}
}
