// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"strconv"
	"strings"

	"freshet/capture"
	"freshet/schema"
)

// Skipped tells that no snapshot is taken, where one might have been.
func Skipped(notify func(capture.Notice), connector string) {
	tell(notify, connector, "SKIPPED")
}

// tell publishes a notice of an initial snapshot.
func tell(notify func(capture.Notice), connector, what string, data ...schema.Param) {
	if notify != nil {
		data = append([]schema.Param{{Name: "connector_name", Value: connector}}, data...)
		notify(capture.Notice{Aggregate: "Initial Snapshot", Type: what, Data: data})
	}
}

// notices tells of one snapshot. The originals list the tables in two orders: of reading, and of a set.
type notices struct {
	notify       func(capture.Notice)
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

func (n *notices) started() { tell(n.notify, n.connector, "STARTED") }

func (n *notices) completed() { tell(n.notify, n.connector, "COMPLETED") }

func (n *notices) aborted() { tell(n.notify, n.connector, "ABORTED") }

// reading tells that a table is begun.
func (n *notices) reading(t schema.ID) {
	tell(n.notify, n.connector, "IN_PROGRESS",
		schema.Param{Name: "data_collections", Value: n.asSet},
		schema.Param{Name: "current_collection_in_progress", Value: t.String()})
}

// scanned tells that a table was read to its end.
func (n *notices) scanned(t schema.ID, rows int64) {
	tell(n.notify, n.connector, "TABLE_SCAN_COMPLETED",
		schema.Param{Name: "scanned_collection", Value: t.String()},
		schema.Param{Name: "total_rows_scanned", Value: strconv.FormatInt(rows, 10)},
		schema.Param{Name: "status", Value: "SUCCEEDED"},
		schema.Param{Name: "data_collections", Value: n.order})
}
