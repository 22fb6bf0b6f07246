// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"strconv"
	"strings"
	"time"

	"freshet/change"
	"freshet/schema"
)

// The aggregates of notices.
const (
	aggregateInitial     = "Initial Snapshot"
	aggregateIncremental = "Incremental Snapshot"
)

// Skipped is the notice that no snapshot is taken, where one might have been.
func Skipped(connector string) change.Notice {
	return (&notices{connector: connector}).notice("SKIPPED")
}

// notices words those of one snapshot. The originals list the tables in two orders: of reading, and of a set.
type notices struct {
	connector    string
	order, asSet string
}

// tables notes what will be read.
func (n *notices) tables(tables []Table) {
	names := make([]string, len(tables))
	for i, t := range tables {
		names[i] = t.ID.String()
	}
	n.order = strings.Join(names, ",")
	schema.JavaOrder(names)
	n.asSet = strings.Join(names, ",")
}

// notice is one of an initial snapshot, with the time of now. It needs no tables, so it may come while they are noted.
func (n *notices) notice(what string, data ...schema.Param) change.Notice {
	data = append([]schema.Param{{Name: "connector_name", Value: n.connector}}, data...)
	return change.Notice{Aggregate: aggregateInitial, Type: what, Data: data, Millis: time.Now().UnixMilli()}
}

// reading tells that a table is begun.
func (n *notices) reading(t schema.ID) change.Notice {
	return n.notice("IN_PROGRESS",
		schema.Param{Name: "data_collections", Value: n.asSet},
		schema.Param{Name: "current_collection_in_progress", Value: t.String()})
}

// scanned tells that a table was read to its end.
func (n *notices) scanned(t schema.ID, rows int64) change.Notice {
	return n.notice("TABLE_SCAN_COMPLETED",
		schema.Param{Name: "scanned_collection", Value: t.String()},
		schema.Param{Name: "total_rows_scanned", Value: strconv.FormatInt(rows, 10)},
		schema.Param{Name: "status", Value: "SUCCEEDED"},
		schema.Param{Name: "data_collections", Value: n.order})
}
