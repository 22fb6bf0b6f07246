// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"freshet/capture"
	"freshet/schema"
)

// The fields of a change's source row: those of the source block that come from the row, in their order.
const (
	sourceSequence = iota
	sourceTxID
	sourceLSN
	sourceXmin
	sourceOrigin
	sourceOriginLSN
	sourceFields // number of them
)

// sourceBlock is the struct of the envelope's source block.
func sourceBlock() capture.SourceBlock {
	text := &schema.Type{Kind: schema.String}
	number := &schema.Type{Kind: schema.Int64}
	optionalText, optionalNumber := text.AsOptional(true), number.AsOptional(true)
	snapshot := &schema.Type{
		Kind: schema.String, Optional: true, Name: schema.Enum, Version: 1, Default: "false",
		Params: []schema.Param{{Name: "allowed", Value: "true,first,first_in_data_collection,last_in_data_collection,last,false,incremental"}},
	}
	return capture.SourceBlock{
		Connector: "postgresql",
		Name:      "io.debezium.connector.postgresql.Source", Version: 1,
		Fields: []capture.SourceField{
			{Name: "version", Type: text, From: capture.FromVersion},
			{Name: "connector", Type: text, From: capture.FromConnector},
			{Name: "name", Type: text, From: capture.FromName},
			{Name: "ts_ms", Type: number, From: capture.FromMillis},
			{Name: "snapshot", Type: snapshot, From: capture.FromSnapshot},
			{Name: "db", Type: text, From: capture.FromCatalog},
			{Name: "sequence", Type: optionalText},
			{Name: "ts_us", Type: optionalNumber, From: capture.FromMicros},
			{Name: "ts_ns", Type: optionalNumber, From: capture.FromNanos},
			{Name: "schema", Type: text, From: capture.FromSchema},
			{Name: "table", Type: text, From: capture.FromTable},
			{Name: "txId", Type: optionalNumber},
			{Name: "lsn", Type: optionalNumber},
			{Name: "xmin", Type: optionalNumber},
			{Name: "origin", Type: optionalText},
			{Name: "origin_lsn", Type: optionalNumber},
		},
	}
}
