// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
)

func TestPositionText(t *testing.T) {
	for _, c := range []struct {
		name          string
		p             position
		want          change.Position
		start         lsn
		inTransaction bool
	}{
		{
			"at rest",
			position{LSN: 20, Proc: 20, Commit: 20, Type: typeCommit, TxID: 7, Micros: 9},
			`{"lsn_proc":20,"messageType":"COMMIT","lsn_commit":20,"lsn":20,"txId":7,"ts_usec":9}`, 20, false,
		},
		{
			"in a transaction",
			position{LSN: 30, Proc: 30, Commit: 20, Type: typeUpdate, Events: 3, TxID: 8, Micros: 9},
			`{"lsn_proc":30,"messageType":"UPDATE","lsn_commit":20,"lsn_events_processed":3,"lsn":30,"txId":8,"ts_usec":9}`, 30, true,
		},
		{
			"in a transaction that began before another's commit",
			position{LSN: 30, Proc: 30, Commit: 40, Type: typeDelete, Events: 1, TxID: 8},
			`{"lsn_proc":30,"messageType":"DELETE","lsn_commit":40,"lsn_events_processed":1,"lsn":30,"txId":8}`, 40, true,
		},
		{
			"before the first commit",
			position{LSN: 30, Proc: 30, Type: typeInsert, Events: 1, TxID: 8},
			`{"lsn_proc":30,"messageType":"INSERT","lsn_events_processed":1,"lsn":30,"txId":8}`, 30, true,
		},
		{
			"moved by a keep-alive",
			position{LSN: 90, Proc: 90, Commit: 40, Type: typeCommit},
			`{"lsn_proc":90,"messageType":"COMMIT","lsn_commit":40,"lsn":90}`, 90, false,
		},
		{
			"with xmin",
			position{LSN: 20, Proc: 20, Commit: 20, Type: typeCommit, TxID: 7, Xmin: 5, Micros: 9},
			`{"lsn_proc":20,"messageType":"COMMIT","lsn_commit":20,"lsn":20,"txId":7,"xmin":5,"ts_usec":9}`, 20, false,
		},
		{
			"in a snapshot",
			position{LSN: 10, TxID: 5, Micros: 9, Snapshot: "INITIAL"},
			`{"last_snapshot_record":false,"lsn":10,"txId":5,"ts_usec":9,"snapshot":"INITIAL","snapshot_completed":false}`, 0, false,
		},
		{
			"behind a snapshot",
			position{LSN: 10, TxID: 5, Micros: 9, Snapshot: "INITIAL", Last: true, Completed: true},
			`{"last_snapshot_record":true,"lsn":10,"txId":5,"ts_usec":9,"snapshot":"INITIAL","snapshot_completed":true}`, 10, false,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, c.p.Position())
			got, err := parsePosition(c.want)
			require.NoError(t, err)
			require.Equal(t, c.p, got)
			require.Equal(t, c.start, got.start())
			require.Equal(t, c.inTransaction, got.inTransaction())
		})
	}
	require.Equal(t, change.Position("{}"), position{}.Position())
}

func TestForeignOffsets(t *testing.T) {
	for _, c := range []struct {
		name string
		text change.Position
		want position
	}{
		{
			"unknown members and nulls", `{"transaction_id":null,"transaction_data_collection_order_public.t":3,"lsn_proc":5,"lsn":5,"lsn_commit":null,"messageType":"INSERT","txId":3}`,
			position{LSN: 5, Proc: 5, Type: typeInsert, TxID: 3},
		},
		{"old snapshot marker", `{"lsn":5,"snapshot":true,"snapshot_completed":true}`, position{LSN: 5, Snapshot: "INITIAL", Completed: true}},
		{"old snapshot marker as text", `{"lsn":5,"snapshot":"true"}`, position{LSN: 5, Snapshot: "INITIAL"}},
		{"no snapshot", `{"lsn":5,"snapshot":null}`, position{LSN: 5}},
		{"snapshot false", `{"lsn":5,"snapshot":false}`, position{LSN: 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parsePosition(c.text)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		})
	}
	for _, bad := range []change.Position{``, `x`, `[]`, `{}`, `{"lsn":"5"}`, `{"lsn":1.5}`, `{"file":"binlog.1","pos":4}`, `{"lsn":5,"messageType":"NOPE"}`, `{"lsn":5,"snapshot":"SOME"}`, `{"lsn":5,"lsn_events_processed":-1}`} {
		_, err := parsePosition(bad)
		require.ErrorContains(t, err, "not an offset of this connector", bad)
		require.False(t, retriable(err))
	}
}

// Every recorded offset is understood, and ours have the same members.
func TestRecordedOffsets(t *testing.T) {
	folder := os.Getenv("FRESHET_GOLDEN")
	if folder == "" {
		folder = "../../testdata/golden"
	}
	files, err := filepath.Glob(filepath.Join(folder, "postgres", "*", "offsets*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		var recorded struct {
			Offsets []struct{ Offset json.RawMessage }
		}
		require.NoError(t, json.Unmarshal(raw, &recorded), file)
		for _, o := range recorded.Offsets {
			p, err := parsePosition(change.Position(o.Offset))
			require.NoError(t, err, file)
			require.NotZero(t, p.start(), file)
			var want, got map[string]any
			require.NoError(t, json.Unmarshal(o.Offset, &want))
			require.NoError(t, json.Unmarshal([]byte(p.Position()), &got))
			for name := range want { // metadata of transactions and of incremental snapshots is not kept
				if _, ours := got[name]; !ours {
					require.Regexp(t, `^(transaction_|incremental_snapshot_)`, name, file)
					delete(want, name)
				}
			}
			require.Equal(t, want, got, file)
		}
	}
}

func TestLSNText(t *testing.T) {
	for text, want := range map[string]lsn{"0/0": 0, "": 0, "0/16B3748": 0x16B3748, "1F/FF": 0x1F000000FF, "FFFFFFFF/FFFFFFFF": 1<<64 - 1} {
		got, err := parseLSN([]byte(text))
		require.NoError(t, err)
		require.Equal(t, want, got)
		if text != "" {
			require.Equal(t, text, got.String())
		}
	}
	for _, bad := range []string{"0", "x/1", "1/x", "1/", "/1", "100000000/0", "0/100000000", "0/-1"} {
		_, err := parseLSN([]byte(bad))
		require.Error(t, err, bad)
	}
}

func FuzzPosition(f *testing.F) {
	f.Add(`{"lsn_proc":30,"messageType":"UPDATE","lsn_commit":20,"lsn_events_processed":3,"lsn":30,"txId":8,"ts_usec":9}`)
	f.Add(`{"last_snapshot_record":true,"lsn":10,"txId":5,"ts_usec":9,"snapshot":"INITIAL","snapshot_completed":true}`)
	f.Add(`{"lsn":-1,"snapshot":"true","snapshot_completed":null}`)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePosition(change.Position(text))
		if err != nil {
			return
		}
		if p.Snapshot == "" {
			p.Last, p.Completed = false, false // members of a snapshot only
		}
		again, err := parsePosition(p.Position())
		require.NoError(t, err)
		require.Equal(t, p, again)
		require.Equal(t, p.start(), again.start())
	})
}
