// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"
	"log/slog"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/internal/testdb"
)

func TestVisibleSet(t *testing.T) {
	const epoch = 5 << 32
	cases := []struct {
		snapshot string
		xid      uint32
		visible  bool
	}{
		{"100:100:", 99, true},
		{"100:100:", 100, false},
		{"100:100:", 101, false},
		{"90:100:90,95", 89, true},
		{"90:100:90,95", 90, false},
		{"90:100:90,95", 94, true},
		{"90:100:90,95", 95, false},
		{fmt.Sprintf("%d:%d:", epoch+3, epoch+3), 2, true},
		{fmt.Sprintf("%d:%d:", epoch+3, epoch+3), 4, false},
		{fmt.Sprintf("%d:%d:", epoch+3, epoch+3), 0xFFFFFFF0, true}, // of the epoch before
		{fmt.Sprintf("%d:%d:%d", epoch-5, epoch+3, epoch-5), 0xFFFFFFFB, false},
		{fmt.Sprintf("%d:%d:", epoch-5, epoch-5), 3, false}, // of the epoch after
	}
	for _, c := range cases {
		s, err := parseVisibleSet(c.snapshot)
		require.NoError(t, err)
		require.Equal(t, c.visible, s.has(c.xid), "%d in %s", c.xid, c.snapshot)
	}
	for _, bad := range []string{"", "1:2", "1:2:3:4", "a:2:", "1:2:x"} {
		_, err := parseVisibleSet(bad)
		require.ErrorContains(t, err, "want the form", bad)
	}
}

// TestCatalogViewIsNoOlderThanTheTransaction asks for many tables, until all are read at once, and then for one that was
// altered after that: its transaction was not visible, so the catalog is asked again.
func TestCatalogViewIsNoOlderThanTheTransaction(t *testing.T) {
	s := testdb.Postgres(t)
	const tables = viewMisses + 4
	oids := make([]uint32, tables)
	for i := range oids {
		s.Exec(t, fmt.Sprintf("create table t%d(id int primary key)", i))
		n, err := strconv.ParseUint(s.Text(t, fmt.Sprintf("select 't%d'::regclass::oid", i)), 10, 32)
		require.NoError(t, err)
		oids[i] = uint32(n)
	}
	o := serverOptions(t, s, nil)
	conn, err := dialer{o: o, name: "test"}.connect(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	v := &catalogView{o: o, log: slog.New(slog.DiscardHandler)}
	columns := func(i int, xid uint32) int {
		t.Helper()
		got := v.known(xid, oids[i])
		if got == nil {
			var err error
			got, err = v.ask(t.Context(), conn, xid, oids[i])
			require.NoError(t, err)
		}
		return len(got.Columns)
	}
	now := func() uint32 {
		n, err := strconv.ParseUint(s.Text(t, "select txid_current()"), 10, 64)
		require.NoError(t, err)
		return uint32(n)
	}
	xid := now()
	for i := range oids {
		require.Equal(t, 1, columns(i, xid))
	}
	require.Len(t, v.tables, tables, "all were read at once")
	s.Exec(t, "alter table t0 add column v text")
	require.Equal(t, 1, columns(0, xid), "what was read serves the transactions that were visible then")
	require.Equal(t, 2, columns(0, now()))
	s.Exec(t, "drop table t1")
	gone, err := v.ask(t.Context(), conn, now(), oids[1])
	require.NoError(t, err)
	require.Nil(t, gone)
}
