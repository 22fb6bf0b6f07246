// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"freshet/capture"
	"freshet/emitter"
)

// mostTables is how many tables have a label of their own; the rows of the others are summed up.
const mostTables = 200

// otherTables is the label of what mostTables leaves over.
const otherTables = "other"

// Metrics makes the numbers of all tasks for Prometheus when it asks for them. Nothing is kept in between.
type Metrics struct {
	reports        func() []ConnectorReport
	native, compat bool
}

var _ prometheus.Collector = (*Metrics)(nil)

// NewMetrics makes Metrics in the names of metrics.compat: debezium, native or both.
func NewMetrics(reports func() []ConnectorReport, compat string) *Metrics {
	return &Metrics{reports: reports, native: compat != "debezium", compat: compat != "native"}
}

// Describe says nothing: which metrics there are depends on the connectors.
func (m *Metrics) Describe(chan<- *prometheus.Desc) {}

// Collect makes all metrics of now.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	reports := m.reports()
	s := &samples{out: out}
	if m.native {
		s.nativeWorker(reports)
	}
	if m.compat {
		s.connectWorker(reports)
	}
	for i := range reports {
		c := &reports[i]
		for j := range c.Tasks {
			t := &c.Tasks[j]
			if m.native {
				s.native(c, t)
			}
			if m.compat {
				s.connect(c, t)
				s.debezium(t)
			}
		}
	}
}

// samples sends metrics; labels are those of what is being described.
type samples struct {
	out           chan<- prometheus.Metric
	names, values []string
}

// label sets the labels: pairs of name and value.
func (s *samples) label(pairs ...string) {
	s.names, s.values = nil, nil
	for i := 0; i < len(pairs); i += 2 {
		s.names, s.values = append(s.names, pairs[i]), append(s.values, pairs[i+1])
	}
}

func (s *samples) send(kind prometheus.ValueType, name, help string, v float64, pairs ...string) {
	names, values := slices.Clip(s.names), slices.Clip(s.values)
	for i := 0; i < len(pairs); i += 2 {
		names, values = append(names, pairs[i]), append(values, pairs[i+1])
	}
	s.out <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, names, nil), kind, v, values...)
}

func (s *samples) gauge(name, help string, v float64, pairs ...string) {
	s.send(prometheus.GaugeValue, name, help, v, pairs...)
}

func (s *samples) counter(name, help string, v int64, pairs ...string) {
	s.send(prometheus.CounterValue, name, help, float64(v), pairs...)
}

func flag(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// states are those that a state metric has a series for.
var states = []State{Unassigned, Running, Paused, Stopped, Failed, Restarting}

func (s *samples) nativeWorker(reports []ConnectorReport) {
	s.label()
	r := NewReport(reports)
	s.gauge("freshet_ready", "1 when every task that should run runs and makes progress.", flag(r.Ready))
	for i := range reports {
		for _, state := range states {
			s.gauge("freshet_connector_state", "1 for the state that the connector is in.", flag(reports[i].State == state),
				"connector", reports[i].Name, "state", string(state))
		}
	}
}

// native are our own names, of all kinds of tasks.
func (s *samples) native(c *ConnectorReport, t *TaskReport) {
	s.label("connector", c.Name, "task", strconv.Itoa(t.ID))
	for _, state := range states {
		s.gauge("freshet_task_state", "1 for the state that the task is in.", flag(t.State == state), "state", string(state))
	}
	s.counter("freshet_task_attempts_total", "How often the task was opened.", t.Attempts)
	s.counter("freshet_task_commits_total", "Positions and offsets that became durable.", t.Commits)
	s.gauge("freshet_task_stalled_seconds", "How long the task makes no progress although there is something to read, 0 when it does.", t.StalledFor)
	s.counter("freshet_watchdog_reopened_total", "How often the watchdog opened the task anew.", t.Reopened)
	s.counter("freshet_record_errors_total", "Records that failed in a converter, a transform or the target.", t.Errors.Failures)
	s.counter("freshet_records_skipped_total", "Records that failed and were skipped (errors.tolerance=all).", t.Errors.Skipped)
	s.counter("freshet_dlq_records_total", "Records in the dead letter queue.", t.Errors.DeadLetters)
	s.counter("invariant_violations_total", "Rules of the engine that were found broken. Anything but 0 is a bug.", t.Violations)
	if t.Source == nil {
		return
	}
	src := t.Source
	s.gauge("freshet_source_connected", "1 while the stream of changes is open.", flag(src.Connected))
	s.gauge("freshet_lag_bytes", "Bytes of the source's log that have not come, -1 when unknown.", float64(src.LagBytes))
	s.gauge("freshet_undurable_bytes", "Bytes of the source's log that are not durable here, -1 when unknown.", float64(src.UndurableBytes))
	s.gauge("freshet_lag_milliseconds", "Age of the newest durable change when it became durable, -1 before the first.", float64(src.LagMillis))
	s.gauge("freshet_last_event_milliseconds", "Time since a change became durable, -1 before the first.", float64(src.IdleMillis))
	e := &src.Events
	for _, op := range []struct {
		name string
		n    int64
	}{
		{"create", e.Create}, {"update", e.Update}, {"delete", e.Delete}, {"read", e.Read}, {"truncate", e.Truncate}, {"message", e.Message},
	} {
		s.counter("freshet_events_total", "Events by operation.", op.n, "op", op.name)
	}
	s.counter("freshet_events_filtered_total", "Changes that configuration or a transform left out.", e.Filtered)
	s.counter("freshet_events_failed_total", "Events left out because they could not be encoded.", e.Failed)
	s.counter("freshet_records_durable_total", "Records that the log of topics has made durable.", e.Durable)
	s.counter("freshet_record_bytes_total", "Bytes of records.", src.counts.Bytes)
	s.gauge("freshet_queue_batches", "Batches that were read and whose bytes the log still needs.", float64(src.Queue.Batches))
	s.gauge("freshet_queue_bytes", "Bytes of the batches that were read and that the log still needs.", float64(src.Queue.Bytes))
	s.gauge("freshet_queue_capacity_batches", "Batches that may be under way.", float64(src.Queue.Capacity))
	s.latency(&src.counts)
	s.slot(src)
	s.snapshot(src)
}

func (s *samples) latency(c *emitter.Counts) {
	buckets, total := map[float64]uint64{}, uint64(0)
	for i, bound := range emitter.LatencyBounds {
		total += uint64(c.Latency[i])
		buckets[bound] = total
	}
	total += uint64(c.Latency[len(emitter.LatencyBounds)])
	desc := prometheus.NewDesc("cdc_e2e_latency_seconds", "From commit at the source to durable in the topic, by the newest change of each batch.", s.names, nil)
	s.out <- prometheus.MustNewConstHistogram(desc, total, c.LatencySum.Seconds(), buckets, s.values...)
}

func (s *samples) slot(src *SourceReport) {
	slot := src.Slot
	if slot == nil {
		return
	}
	s.gauge("cdc_slot_retained_bytes", "Bytes of the server's log that are kept for the slot.", float64(slot.Retained))
	s.gauge("cdc_slot_safe_wal_bytes", "Bytes that may be written before the slot is in danger, -1 without a limit.", float64(slot.Safe))
	s.gauge("cdc_slot_max_wal_bytes", "max_slot_wal_keep_size, -1 without a limit.", float64(slot.Max))
	s.gauge("cdc_slot_hours_left", "Hours until the slot is in danger at the present rate, -1 for unknown or never.", slot.HoursLeft)
	for _, status := range []string{"reserved", "extended", "unreserved", "lost"} {
		s.gauge("cdc_slot_wal_status", "1 for the wal_status of the slot.", flag(slot.Status == status), "status", status)
	}
	s.gauge("cdc_confirmed_lsn", "Up to here the server was told that changes are durable.", lsnNumber(slot.Confirmed))
}

// lsnNumber reads the form 0/1A2B3C; anything else is 0.
func lsnNumber(s string) float64 {
	hi, lo, _ := strings.Cut(s, "/")
	h, err1 := strconv.ParseUint(hi, 16, 32)
	l, err2 := strconv.ParseUint(lo, 16, 32)
	if err1 != nil || err2 != nil {
		return 0
	}
	return float64(h<<32 | l)
}

func (s *samples) snapshot(src *SourceReport) {
	snap := src.Snapshot
	if snap == nil {
		return
	}
	s.gauge("freshet_snapshot_running", "1 while a snapshot is read.", flag(snap.Running))
	s.gauge("freshet_snapshot_seconds", "How long the snapshot takes or took.", snap.Seconds)
	s.gauge("freshet_snapshot_tables", "Tables of the snapshot.", float64(len(snap.Tables)))
	s.gauge("freshet_snapshot_tables_remaining", "Tables that are not finished.", float64(remaining(snap)))
	for _, t := range capped(snap.Tables) {
		s.gauge("freshet_snapshot_rows", "Rows that were read of a table.", float64(t.Rows), "table", t.Table)
	}
}

func remaining(s *SnapshotReport) (n int) {
	for i := range s.Tables {
		if !s.Tables[i].Done {
			n++
		}
	}
	return n
}

// capped are the tables with the most rows, and the rest as one.
func capped(tables []TableReport) []TableReport {
	if len(tables) <= mostTables {
		return tables
	}
	sorted := slices.Clone(tables)
	slices.SortFunc(sorted, func(a, b TableReport) int {
		if a.Rows != b.Rows {
			return int(min(max(b.Rows-a.Rows, -1), 1))
		}
		return strings.Compare(a.Table, b.Table)
	})
	other := TableReport{TableProgress: capture.TableProgress{Table: otherTables}}
	for _, t := range sorted[mostTables:] {
		other.Rows += t.Rows
		other.Blocks += t.Blocks
		other.BlocksDone += t.BlocksDone
	}
	return append(sorted[:mostTables], other)
}

// connectWorker are the numbers of Kafka Connect's worker.
func (s *samples) connectWorker(reports []ConnectorReport) {
	s.label()
	tasks := 0
	for i := range reports {
		tasks += len(reports[i].Tasks)
	}
	s.gauge("kafka_connect_worker_metrics_connector_count", "Connectors of this worker.", float64(len(reports)))
	s.gauge("kafka_connect_worker_metrics_task_count", "Tasks of this worker.", float64(tasks))
}

// connect are the numbers of Kafka Connect's tasks.
func (s *samples) connect(c *ConnectorReport, t *TaskReport) {
	s.label("connector", c.Name, "task", strconv.Itoa(t.ID))
	for _, state := range states {
		s.gauge("kafka_connect_connector_task_metrics_status", "1 for the state that the task is in.", flag(t.State == state),
			"status", strings.ToLower(string(state)))
	}
	s.counter("kafka_connect_connector_task_metrics_offset_commit_completion_total", "Positions that became durable.", t.Commits)
	s.taskErrors(&t.Errors)
	if src := t.Source; src != nil {
		e := &src.Events
		s.counter("kafka_connect_source_task_metrics_source_record_poll_total", "Events before transforms.", e.total()+e.Filtered+e.Failed)
		s.counter("kafka_connect_source_task_metrics_source_record_write_total", "Records written.", e.Durable)
	}
}

// taskErrors are Kafka Connect's task-error-metrics.
func (s *samples) taskErrors(e *ErrorReport) {
	const prefix = "kafka_connect_task_error_metrics_"
	s.counter(prefix+"total_record_failures", "Records that failed.", e.Failures)
	s.counter(prefix+"total_record_errors", "Records that failed, each once.", e.Failures)
	s.counter(prefix+"total_records_skipped", "Records that were skipped because they failed.", e.Skipped)
	s.counter(prefix+"total_errors_logged", "Failures that were logged.", e.Logged)
	s.counter(prefix+"deadletterqueue_produce_requests", "Records for the dead letter queue.", e.DeadLetters+e.LostLetters)
	s.counter(prefix+"deadletterqueue_produce_failures", "Records that the dead letter queue did not take.", e.LostLetters)
	last := 0.0
	if !e.Last.IsZero() {
		last = float64(e.Last.UnixMilli())
	}
	s.gauge(prefix+"last_error_timestamp", "When a record failed last, ms since the epoch.", last)
}

// total is the number of events.
func (e *EventCounts) total() int64 {
	return e.Create + e.Update + e.Delete + e.Read + e.Truncate + e.Message
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
