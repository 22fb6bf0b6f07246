// SPDX-License-Identifier: Apache-2.0

package cluster_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/connect/cluster"
	"freshet/connect/cluster/backing"
	"freshet/emitter/topic"
)

// The marks of spools are kept beside the positions, whatever they are, and come back as they were.
func TestMarksOfSpools(t *testing.T) {
	w := newWorld(t)
	open := func() cluster.Marks {
		m := cluster.Marks{Offsets: backing.NewOffsets(backing.Options{
			Client: []kgo.Opt{kgo.SeedBrokers(w.brokers...), kgo.DisableClientMetrics()}, ClientID: "c", Group: "g",
			Offsets: backing.Topic{Name: "o", Partitions: 3, Replication: 1},
		})}
		require.NoError(t, m.Start(t.Context()))
		return m
	}
	m := open()
	marks := []topic.Mark{{Key: `["c",{"a":1}]`, Value: `{"p":1}`}, {Key: "__freshet-spool.c", Value: `0/16 "x"`}}
	require.NoError(t, m.PutMarks(t.Context(), marks))
	m.Close(t.Context())
	m = open()
	defer m.Close(t.Context())
	for _, mark := range marks {
		value, err := m.LoadMark(t.Context(), mark.Key)
		require.NoError(t, err)
		require.Equal(t, mark.Value, value)
	}
	found, err := m.Marks(t.Context(), `["c",`)
	require.NoError(t, err)
	require.Equal(t, marks[:1], found, "spools are no positions of a connector")
	require.NoError(t, m.DeleteMark(t.Context(), marks[1].Key))
	value, err := m.LoadMark(t.Context(), marks[1].Key)
	require.NoError(t, err)
	require.Empty(t, value)
	r, err := m.MarkRecord(marks[1])
	require.NoError(t, err)
	require.Equal(t, `["__freshet-spool",{"topic":"__freshet-spool.c"}]`, string(r.Key.Bytes()))
}
