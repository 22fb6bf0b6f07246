// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"freshet/capture"
)

// badLabel is what a label's name may not hold.
var badLabel = regexp.MustCompile(`[^a-zA-Z0-9_]`)

// debezium are the attributes of Debezium's MBeans, named as its examples' JMX exporter names them.
func (s *samples) debezium(t *TaskReport) {
	src := t.Source
	if src == nil {
		return
	}
	tags := []string{}
	for _, name := range sortedKeys(src.Tags) {
		label := badLabel.ReplaceAllString(name, "_")
		if label != "" && !slices.Contains([]string{"plugin", "name", "task", "context", "database", "table"}, label) && (label[0] < '0' || label[0] > '9') {
			tags = append(tags, label, src.Tags[name])
		}
	}
	common := append([]string{"plugin", "postgres", "name", src.Prefix, "task", strconv.Itoa(t.ID), "database", src.Database}, tags...)
	s.label(append(common, "context", "streaming")...)
	s.debeziumCommon(src)
	s.debeziumStreaming(src)
	s.label(append(common, "context", "snapshot")...)
	s.debeziumCommon(src)
	s.debeziumSnapshot(src)
}

func (s *samples) attribute(name string, v float64, pairs ...string) {
	s.send(prometheus.UntypedValue, "debezium_metrics_"+name, "Attribute "+name+" of Debezium's MBean.", v, pairs...)
}

func (s *samples) debeziumCommon(src *SourceReport) {
	e := &src.Events
	s.attribute("MilliSecondsSinceLastEvent", float64(src.IdleMillis))
	s.attribute("TotalNumberOfEventsSeen", float64(e.total()+e.Filtered+e.Failed))
	s.attribute("TotalNumberOfCreateEventsSeen", float64(e.Create))
	s.attribute("TotalNumberOfUpdateEventsSeen", float64(e.Update))
	s.attribute("TotalNumberOfDeleteEventsSeen", float64(e.Delete))
	s.attribute("NumberOfErroneousEvents", float64(e.Failed))
	s.attribute("NumberOfEventsFiltered", float64(e.Filtered))
	s.attribute("CapturedTables", float64(src.Tables))
	s.attribute("CurrentQueueSizeInBytes", float64(src.Queue.Bytes))
	s.attribute("MaxQueueSizeInBytes", 0) // no limit, as by default there: batches are counted
	s.attribute("QueueTotalCapacity", float64(src.Queue.Capacity))
	s.attribute("QueueRemainingCapacity", float64(src.Queue.Capacity-src.Queue.Batches))
}

func (s *samples) debeziumStreaming(src *SourceReport) {
	s.attribute("Connected", flag(src.Connected))
	s.attribute("NumberOfCommittedTransactions", float64(src.Transactions))
	unchanged := float64(-1)
	if src.SkipsUnchanged {
		unchanged = float64(src.counts.Unchanged)
	}
	s.attribute("NumberOfUnchangedEventsSkipped", unchanged)
	s.debeziumLag(src)
	var at struct {
		LSN  float64 `json:"lsn"`
		TxID float64 `json:"txId"`
		Xmin float64 `json:"xmin"`
	}
	if json.Unmarshal(src.Position, &at) != nil {
		return // there is none yet
	}
	if at.TxID != 0 {
		s.attribute("LastTransactionId", at.TxID)
	}
	s.attribute("SourceEventPosition", at.LSN, "key", "lsn")
	if at.Xmin != 0 {
		s.attribute("SourceEventPosition", at.Xmin, "key", "xmin")
	}
}

// debeziumLag is how far the source is ahead, now and since the connector was configured; -1 before the first change.
func (s *samples) debeziumLag(src *SourceReport) {
	const name = "MilliSecondsBehindSource"
	c := &src.counts
	n := c.Latencies()
	millis := func(d time.Duration) float64 {
		if n == 0 {
			return -1
		}
		return float64(d) / float64(time.Millisecond)
	}
	s.attribute(name, float64(src.LagMillis))
	s.attribute(name+"MinValue", millis(c.LatencyMin))
	s.attribute(name+"MaxValue", millis(c.LatencyMax))
	s.attribute(name+"AverageValue", millis(c.LatencySum/time.Duration(max(n, 1))))
	s.attribute(name+"P50", millis(c.Quantile(0.5)))
	s.attribute(name+"P95", millis(c.Quantile(0.95)))
	s.attribute(name+"P99", millis(c.Quantile(0.99)))
}

func (s *samples) debeziumSnapshot(src *SourceReport) {
	snap, demand := src.Snapshot, src.Demand
	if demand == nil {
		demand = &DemandReport{}
	}
	s.attribute("SnapshotRunning", flag(snap != nil && snap.Running || demand.Running))
	s.attribute("SnapshotPaused", flag(demand.Paused))
	s.attribute("SnapshotPausedDurationInSeconds", demand.PausedSeconds)
	s.attribute("SnapshotAborted", flag(snap != nil && snap.Aborted || demand.Aborted))
	s.attribute("SnapshotCompleted", flag(snap != nil && !snap.Running && !snap.Aborted))
	s.attribute("SnapshotSkipped", flag(snap == nil))
	s.debeziumChunk(demand.Chunk)
	if snap == nil {
		return
	}
	s.attribute("SnapshotDurationInSeconds", snap.Seconds)
	s.attribute("TotalTableCount", float64(len(snap.Tables)))
	s.attribute("RemainingTableCount", float64(remaining(snap)))
	for _, t := range capped(snap.Tables) {
		s.attribute("RowsScanned", float64(t.Rows), "table", t.Table)
		s.attribute("TableChunkCounts", float64(t.Blocks), "table", t.Table)
		s.attribute("TableChunksCompletedCounts", float64(t.BlocksDone), "table", t.Table)
	}
}

// debeziumChunk is the window at work. Keys that are no numbers have no place here: they are in GET /freshet/status.
func (s *samples) debeziumChunk(c *capture.SnapshotChunk) {
	if c == nil {
		return
	}
	s.attribute("ChunkId", float64(c.Number))
	for _, key := range []struct{ name, text string }{
		{"ChunkFrom", c.From}, {"ChunkTo", c.To}, {"TableFrom", c.TableFrom}, {"TableTo", c.TableTo},
	} {
		if n, err := strconv.ParseFloat(key.text, 64); err == nil {
			s.attribute(key.name, n)
		}
	}
}
