// SPDX-License-Identifier: Apache-2.0

package topicio

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"freshet/emitter/topic"
)

// Topic is one entry of `topics list --output json`.
type Topic struct {
	Topic      string      `json:"topic"`
	Partitions []Partition `json:"partitions"`
}

// Partition is the part of a partition that can be read.
type Partition struct {
	Partition int32 `json:"partition"`
	Start     int64 `json:"start"`
	End       int64 `json:"end"`
}

// List describes the topics of a log, by name.
func List(ctx context.Context, log topic.Log) ([]Topic, error) {
	infos, err := log.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	out := make([]Topic, 0, len(infos))
	for _, info := range infos {
		if topic.Hidden(info.Name) {
			continue
		}
		t := Topic{Topic: info.Name, Partitions: make([]Partition, len(info.Partitions))}
		for n, r := range info.Partitions {
			t.Partitions[n] = Partition{int32(n), r.Start, r.End}
		}
		out = append(out, t)
	}
	return out, nil
}

// WriteTable writes topics as an aligned table, a partition a line.
func WriteTable(w io.Writer, topics []Topic) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "TOPIC\tPARTITION\tSTART\tEND\tRECORDS")
	for _, tp := range topics {
		for _, p := range tp.Partitions {
			fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\n", tp.Topic, p.Partition, p.Start, p.End, p.End-p.Start)
		}
	}
	return t.Flush()
}
