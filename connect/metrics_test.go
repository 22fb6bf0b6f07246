// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"errors"
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
	m.durable(`{"lsn":1,"txId":7,"xmin":3}`)
	m.jobs([]capture.SnapshotJob{{ID: "x", State: "running", Chunk: &capture.SnapshotChunk{Number: 2, From: "1", To: "2", TableFrom: "1", TableTo: "9"}}})
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
		tables = append(tables, TableReport{TableProgress: capture.TableProgress{Table: fmt.Sprintf("t%04d", i), Rows: int64(i)}})
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
	j, ok := m.live()
	require.True(t, ok)
	require.Equal(t, []string{"public.a"}, j.Left)
	require.InDelta(t, 10, j.Progress[0].ETASeconds, 1)
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

// An interrupted snapshot is aborted until it goes on; by windows it is no longer COPY's, and completes with its job.
func TestSnapshotThatGoesOn(t *testing.T) {
	m := &meter{}
	id := schema.ID{Schema: "public", Name: "a"}
	require.True(t, m.progress(capture.Progress{Table: schema.ID{Schema: "public", Name: "b"}}))
	require.False(t, m.progress(capture.Progress{Table: id, Rows: 50, Estimated: 100, Blocks: 4, BlocksDone: 2}))
	require.False(t, m.progress(capture.Progress{Table: schema.ID{Schema: "public", Name: "b"}, Rows: 5, Blocks: 1, BlocksDone: 1, Done: true}))
	require.True(t, m.close())
	require.False(t, m.close())
	s := m.report(time.Now()).Snapshot
	require.True(t, s.Aborted)
	require.False(t, s.Running)
	j, ok := m.initial(errors.New("connection lost"))
	require.True(t, ok)
	require.Equal(t, "queued", j.State)
	require.Equal(t, "connection lost", j.Error)
	require.Equal(t, []string{"public.a"}, j.Left)

	job := capture.SnapshotJob{ID: capture.InitialSnapshot, State: "running", Tables: []string{"public.a"}, Left: []string{"public.a"}, Progress: []capture.TableProgress{{Table: "public.a", Rows: 3}}}
	m.jobs([]capture.SnapshotJob{job})
	s = m.report(time.Now()).Snapshot
	require.True(t, s.Running)
	require.False(t, s.Aborted)
	require.EqualValues(t, 8, s.Rows)
	_, ok = m.live()
	require.False(t, ok, "the job tells how far it is")
	job.State, job.Left, job.Finished = "completed", nil, time.Now()
	m.jobs([]capture.SnapshotJob{job})
	s = m.report(time.Now()).Snapshot
	require.False(t, s.Running)
	require.False(t, s.Aborted)
	require.Zero(t, remaining(s))
	require.Nil(t, m.report(time.Now()).Demand, "nobody asked for it")
}

func TestPausedSnapshots(t *testing.T) {
	m := &meter{}
	at := func(state string) *DemandReport {
		m.jobs([]capture.SnapshotJob{{ID: "x", State: state}})
		return m.report(time.Now().Add(time.Minute)).Demand
	}
	require.True(t, at("running").Running)
	d := at("paused")
	require.True(t, d.Paused)
	require.False(t, d.Running)
	require.InDelta(t, 60, d.PausedSeconds, 1)
	require.InDelta(t, 0, at("running").PausedSeconds, 1)
	m.jobs([]capture.SnapshotJob{{ID: "x", State: "cancelled", Finished: time.Now()}})
	require.True(t, m.report(time.Now()).Demand.Aborted)
}
