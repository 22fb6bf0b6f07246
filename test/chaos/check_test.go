// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/emitter/topic"
	"freshet/emitter/topic/local"
	"freshet/internal/store"
)

// event is what the checker reads of a record.
type event struct {
	Payload struct {
		Op    string
		After struct {
			ID   int64
			N    int64
			Note string
		}
	}
}

// checkTopic reads the whole topic and holds it against what the source ended with (id → n).
//
//   - no loss: the counter of each key grows by one from event to event, up to the source's value;
//   - order: it never goes back but for a replay, which begins after a kill and is again gapless;
//   - no phantoms: nothing of a transaction that was rolled back is there.
func checkTopic(t *testing.T, data string, want map[int64]int64, kills int) {
	t.Helper()
	last, back := map[int64]int64{}, map[int64]int{}
	records := 0
	eachRecord(t, data, "kill.public.counters", func(r *topic.Record) {
		records++
		var e event
		require.NoError(t, json.Unmarshal(r.Value.Bytes(), &e))
		row := e.Payload.After
		require.NotEqual(t, aborted, row.Note, "offset %d", r.Offset)
		n, seen := last[row.ID]
		switch {
		case e.Payload.Op == "r": // a snapshot begun anew shows the state of then
			require.GreaterOrEqual(t, row.N, n, "offset %d: key %d went back in a snapshot", r.Offset, row.ID)
		case seen && row.N <= n:
			back[row.ID]++
		default:
			require.True(t, seen, "offset %d: key %d was changed before its snapshot row", r.Offset, row.ID)
			require.Equal(t, n+1, row.N, "offset %d: key %d lost a change", r.Offset, row.ID)
		}
		last[row.ID] = row.N
	})
	require.Equal(t, want, last, "last values in the topic")
	for id, n := range back {
		require.LessOrEqual(t, n, kills, "key %d was repeated more often than the worker was killed", id)
	}
	t.Logf("%d records, %d keys with repeats", records, len(back))
}

func eachRecord(t *testing.T, data, name string, f func(*topic.Record)) {
	t.Helper()
	db, err := store.Open(data, store.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	log, err := local.Open(db, local.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, log.Close(t.Context())) }()
	infos, err := log.List(t.Context())
	require.NoError(t, err)
	left := int64(0)
	for _, i := range infos {
		if i.Name == name {
			left = i.Partitions[0].End - i.Partitions[0].Start
		}
	}
	require.NotZero(t, left, "topic %s", name)
	c, err := log.Subscribe(t.Context(), topic.Subscription{Topics: []string{name}})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close(t.Context())) }()
	for left > 0 {
		records, err := c.Poll(t.Context(), 1000)
		require.NoError(t, err)
		for i := range records {
			f(&records[i])
		}
		left -= int64(len(records))
	}
}
