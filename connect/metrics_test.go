// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/schema"
)

// sample are connectors in which everything that a metric can show is there.
func sample() []ConnectorReport {
	m := &meter{prefix: "p", database: "shop", tags: map[string]string{"team": "a", "bad-name": "b", "task": "no"}}
	m.open(&observed{})
	m.progress(capture.Progress{Table: schema.ID{Schema: "public", Name: "a"}, Rows: 10, Estimated: 20})
	m.progress(capture.Progress{Table: schema.ID{Schema: "public", Name: "b"}, Rows: 5, Estimated: 5, Done: true})
	m.durable(`{"lsn":1}`)
	src := m.report(time.Now())
	return []ConnectorReport{
		{Name: "src", Type: "source", State: Running, Tasks: []TaskReport{{State: Running, Source: src}}},
		{Name: "sink", Type: "sink", State: Running, Tasks: []TaskReport{{State: Failed, Cause: "no table"}}},
	}
}

// observed is a Reader that tells a state.
type observed struct{ capture.Reader }

func (*observed) Observe() capture.Observation {
	return capture.Observation{
		Phase: "streaming", Connected: true, Unread: 100, Undurable: 200,
		Slot: &capture.SlotState{Name: "s", Status: "reserved", Confirmed: "1/10", Retained: 300, Safe: -1, Max: -1, HoursLeft: -1},
	}
}

func gather(t *testing.T, reports []ConnectorReport, compat string) (names []string, text string) {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(NewMetrics(func() []ConnectorReport { return reports }, compat))
	families, err := r.Gather()
	require.NoError(t, err)
	var b strings.Builder
	for _, f := range families {
		names = append(names, f.GetName())
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				fmt.Fprintf(&b, "%s=%s\n", l.GetName(), l.GetValue())
			}
		}
	}
	return names, b.String()
}

func TestMetricNames(t *testing.T) {
	names, text := gather(t, sample(), "both")
	golden, err := os.ReadFile("testdata/metrics.txt")
	require.NoError(t, err)
	require.Equal(t, strings.Fields(string(golden)), names)
	require.Contains(t, text, "team=a\n")
	require.Contains(t, text, "bad_name=b\n")
	require.NotContains(t, text, "task=no\n")
	native, _ := gather(t, sample(), "native")
	compat, _ := gather(t, sample(), "debezium")
	require.ElementsMatch(t, names, append(slices.Clone(native), compat...))
	require.False(t, slices.ContainsFunc(native, func(s string) bool { return strings.HasPrefix(s, "debezium_") || strings.HasPrefix(s, "kafka_") }))
}

func TestTableLabelsAreCapped(t *testing.T) {
	var tables []TableReport
	for i := range 1000 {
		tables = append(tables, TableReport{Table: fmt.Sprintf("t%04d", i), Rows: int64(i)})
	}
	out := capped(tables)
	require.Len(t, out, mostTables+1)
	require.Equal(t, "t0999", out[0].Table)
	require.Equal(t, otherTables, out[mostTables].Table)
	require.EqualValues(t, 799*800/2, out[mostTables].Rows)
}

func TestReadiness(t *testing.T) {
	task := func(s State, cause, stalled string) ConnectorReport {
		return ConnectorReport{Name: "c", State: Running, Tasks: []TaskReport{{State: s, Cause: cause, Stalled: stalled, StalledFor: 301}}}
	}
	for name, c := range map[string]struct {
		report ConnectorReport
		want   string
		dead   bool
	}{
		"running":    {task(Running, "", ""), "", true},
		"stalled":    {task(Running, "", "nothing comes"), "connector c: the task makes no progress: nothing comes", true},
		"failed":     {task(Failed, "slot lost", ""), "connector c: the task is FAILED: slot lost", false},
		"restarting": {task(Restarting, "refused", ""), "connector c: the task is RESTARTING: refused", false},
		"opening":    {task(Unassigned, "", ""), "connector c: the task is UNASSIGNED", false},
		"invalid":    {ConnectorReport{Name: "c", State: Failed, Cause: "bad"}, "connector c is FAILED: bad", false},
		"paused":     {ConnectorReport{Name: "c", State: Paused, Tasks: []TaskReport{{State: Paused}}}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			r := NewReport([]ConnectorReport{c.report})
			require.Equal(t, c.want == "", r.Ready)
			require.Equal(t, c.want, strings.Join(r.Reasons, "; "))
			require.Equal(t, c.dead, r.Dead() != "")
		})
	}
	require.True(t, (NewReport(nil).Ready), "a worker without connectors is ready")
}

func TestSnapshotProgress(t *testing.T) {
	m := &meter{}
	require.Nil(t, m.report(time.Now()).Snapshot)
	id := schema.ID{Schema: "public", Name: "a"}
	m.progress(capture.Progress{Table: id, Rows: 50, Estimated: 100, Blocks: 4, BlocksDone: 2})
	m.tables["public.a"].began = time.Now().Add(-10 * time.Second)
	s := m.report(time.Now()).Snapshot
	require.True(t, s.Running)
	require.InDelta(t, 5, s.Tables[0].RowsPerSec, 0.5)
	require.InDelta(t, 10, s.Tables[0].ETASeconds, 1)
	m.progress(capture.Progress{Table: id, Rows: 100, Estimated: 100, Blocks: 4, BlocksDone: 4, Done: true})
	s = m.report(time.Now()).Snapshot
	require.False(t, s.Running)
	require.EqualValues(t, 100, s.Rows)
	require.Zero(t, s.Tables[0].ETASeconds)
}
