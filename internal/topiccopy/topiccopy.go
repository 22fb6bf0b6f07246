// SPDX-License-Identifier: Apache-2.0

// Package topiccopy copies the topics of a data folder to Kafka, with the offsets of the groups that read them: sinks go on in
// Kafka at the record at which they were, and no source has to read its tables again.
//
// Run is all of it. A partition in Kafka holds a beginning of the local one at each moment, since one writer appends in order;
// so a run that was interrupted is continued by another one, and a run behind a whole one does nothing. What the copy began at
// is noted in the data folder before the first record.
package topiccopy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"freshet/emitter/topic"
)

// Source is the log of a data folder that nobody else has open; *local.Log is one.
type Source interface {
	List(ctx context.Context) ([]topic.Info, error)
	// ReadFrom returns up to limit records from offset on, which are the caller's. It does not wait.
	ReadFrom(ctx context.Context, p topic.Partition, offset int64, limit int) ([]topic.Record, error)
	// Groups returns the committed offsets of all groups.
	Groups(ctx context.Context) (map[string]map[topic.Partition]int64, error)
}

// Notes keeps what is to be known in a later run; *store.DB does.
type Notes interface {
	Status(key string) ([]byte, error)
	PutStatus(key string, value []byte) error
}

// Target is the log in Kafka; *kafka.Log is one.
type Target interface {
	topic.Log
	topic.Identified
	GroupOffsets(ctx context.Context, group string) (map[topic.Partition]int64, error)
	SetGroupOffset(ctx context.Context, group string, p topic.Partition, offset int64) error
}

// Options are what Run needs.
type Options struct {
	From   Source
	Notes  Notes
	To     Target
	Topics []string // all but the engine's own where none is named
	DryRun bool     // look, and change nothing
	// Progress, if not nil, is told of records that are copied. It is called by several goroutines and must not block.
	Progress func(done, total int64)
}

// Topic is what became of a topic.
type Topic struct {
	Name    string
	Copied  int64 // records, or those to be copied in a dry run
	Already int64 // were there
}

// Result is what was done.
type Result struct {
	Topics  []Topic // by name
	Offsets int     // of groups that were set, or are to be set
}

// RefusedError is why nothing is copied: the topics are not what a copy needs.
type RefusedError struct{ Message string }

// Error is the message.
func (e *RefusedError) Error() string { return e.Message }

func refusef(format string, args ...any) error { return &RefusedError{fmt.Sprintf(format, args...)} }

const (
	recordsAUnit = 2000
	parallel     = 4
)

// part is a partition to be copied.
type part struct {
	topic.Partition
	local, kafka topic.Range
	base         int64 // the local offset of Kafka's record 0
}

// whole is how many records of the partition Kafka is to have; have, how many it has.
func (p *part) whole() int64 { return p.local.End - p.base }
func (p *part) have() int64  { return min(p.kafka.End, p.whole()) }

// Run copies topics, then offsets.
func Run(ctx context.Context, o Options) (Result, error) {
	parts, err := plan(ctx, o)
	if err != nil {
		return Result{}, err
	}
	if err := check(ctx, o, parts); err != nil {
		return Result{}, err
	}
	var out Result
	for _, p := range parts {
		if n := len(out.Topics); n == 0 || out.Topics[n-1].Name != p.Topic {
			out.Topics = append(out.Topics, Topic{Name: p.Topic})
		}
		t := &out.Topics[len(out.Topics)-1]
		t.Already += p.have()
		t.Copied += p.whole() - p.have()
	}
	if !o.DryRun {
		if err := copyAll(ctx, o, parts); err != nil {
			return Result{}, err
		}
	}
	out.Offsets, err = offsets(ctx, o, parts)
	return out, err
}

// plan finds out what is where, and creates what is not there.
func plan(ctx context.Context, o Options) ([]*part, error) {
	locals, err := o.From.List(ctx)
	if err != nil {
		return nil, err
	}
	there, err := o.To.List(ctx)
	if err != nil {
		return nil, err
	}
	remote := map[string]topic.Info{}
	for _, info := range there {
		remote[info.Name] = info
	}
	known := map[string]bool{}
	var parts []*part
	for _, info := range locals {
		known[info.Name] = true
		if topic.Hidden(info.Name) || len(o.Topics) > 0 && !slices.Contains(o.Topics, info.Name) {
			continue
		}
		target, exists := remote[info.Name]
		bases, err := begin(o, info, target, exists)
		if err != nil {
			return nil, err
		}
		if !exists && !o.DryRun {
			if err := o.To.Create(ctx, topic.Spec{Name: info.Name, Partitions: int32(len(info.Partitions))}); err != nil {
				return nil, err
			}
		}
		for n, local := range info.Partitions {
			p := &part{Partition: topic.Partition{Topic: info.Name, Partition: int32(n)}, local: local, base: bases[n]}
			if exists {
				p.kafka = target.Partitions[n]
			}
			parts = append(parts, p)
		}
	}
	for _, name := range o.Topics {
		if !known[name] {
			return nil, refusef("there is no topic %q in the data folder: `freshet topics list` shows those that are", name)
		}
	}
	return parts, nil
}

// begin is where the copy of each partition began, which is noted before it does.
func begin(o Options, local, target topic.Info, exists bool) ([]int64, error) {
	if exists && len(target.Partitions) != len(local.Partitions) {
		return nil, refusef("topic %q has %d partition(s) in Kafka and %d in the data folder: delete it in Kafka, so that the copy creates it", local.Name, len(target.Partitions), len(local.Partitions))
	}
	note := "topics copy/" + o.To.Identity() + "/" + local.Name
	empty := !slices.ContainsFunc(target.Partitions, func(r topic.Range) bool { return r.End > 0 })
	var bases []int64
	text, err := o.Notes.Status(note)
	if err != nil {
		return nil, err
	}
	if len(text) > 0 {
		if err := json.Unmarshal(text, &bases); err != nil {
			return nil, fmt.Errorf("read where the copy of topic %q began: %w", local.Name, err)
		}
	}
	switch {
	case empty:
		bases = bases[:0]
		for _, r := range local.Partitions {
			bases = append(bases, r.Start)
		}
		if text, err = json.Marshal(bases); err == nil && !o.DryRun {
			err = o.Notes.PutStatus(note, text)
		}
		return bases, err
	case len(bases) != len(local.Partitions):
		return nil, refusef("topic %q holds records in Kafka that are not copied from this data folder: delete it in Kafka, or name the topics to copy", local.Name)
	}
	return bases, nil
}

// check refuses copies that would not be one: records that are gone here, and others there.
func check(ctx context.Context, o Options, parts []*part) error {
	for _, p := range parts {
		if p.local.Start > p.base+p.have() && p.have() < p.whole() {
			return refusef("topic %q, partition %d: records from offset %d to %d were not copied and are deleted by now (retention.ms, retention.bytes): delete the topic in Kafka, so that the copy begins anew",
				p.Topic, p.Partition.Partition, p.base+p.have(), p.local.Start-1)
		}
		last := p.have() - 1
		if last < 0 || last < p.kafka.Start || p.base+last < p.local.Start {
			continue // nothing to compare
		}
		here, err := o.From.ReadFrom(ctx, p.Partition, p.base+last, 1)
		if err != nil {
			return err
		}
		there, err := read(ctx, o.To, p, last)
		if err != nil {
			return err
		}
		if len(here) != 1 || !same(&here[0], &there) {
			return refusef("topic %q, partition %d: record %d in Kafka is no copy of the one at offset %d of the data folder; somebody else writes to the topic, or it was copied from elsewhere", p.Topic, p.Partition.Partition, last, p.base+last)
		}
	}
	return nil
}

// read reads the record of a partition in Kafka at an offset, or the next one.
func read(ctx context.Context, to Target, p *part, offset int64) (topic.Record, error) {
	c, err := to.Subscribe(ctx, topic.Subscription{Topics: []string{p.Topic}})
	if err != nil {
		return topic.Record{}, err
	}
	defer func() { _ = c.Close(ctx) }() // it has committed nothing
	c.Seek(p.Partition, offset)
	for {
		records, err := c.Poll(ctx, 1000)
		if err != nil {
			return topic.Record{}, err
		}
		for _, r := range records {
			if r.Partition == p.Partition.Partition {
				r.Key.Body, r.Value.Body = bytes.Clone(r.Key.Body), bytes.Clone(r.Value.Body)
				return r, nil
			}
		}
	}
}

func same(a, b *topic.Record) bool {
	return a.TimeMillis == b.TimeMillis && a.Key.IsNull() == b.Key.IsNull() && a.Value.IsNull() == b.Value.IsNull() &&
		bytes.Equal(a.Key.Bytes(), b.Key.Bytes()) && bytes.Equal(a.Value.Bytes(), b.Value.Bytes())
}

// copyAll copies the records, some partitions at a time.
func copyAll(ctx context.Context, o Options, parts []*part) error {
	var done atomic.Int64
	total := int64(0)
	for _, p := range parts {
		total += p.whole()
		done.Add(p.have())
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, p := range parts {
		g.Go(func() error {
			return copyPart(ctx, o, p, func(n int) {
				if now := done.Add(int64(n)); o.Progress != nil {
					o.Progress(now, total)
				}
			})
		})
	}
	return g.Wait()
}

// copyPart copies the rest of a partition. One unit is under way at a time, so that there is never a gap.
func copyPart(ctx context.Context, o Options, p *part, count func(n int)) error {
	for at := p.base + p.have(); at < p.local.End; {
		records, err := o.From.ReadFrom(ctx, p.Partition, at, recordsAUnit)
		if err != nil {
			return err
		}
		if len(records) == 0 || records[0].Offset != at || records[len(records)-1].Offset != at+int64(len(records))-1 {
			return fmt.Errorf("copy %s-%d: the records at offset %d are not there", p.Topic, p.Partition.Partition, at)
		}
		done := make(chan error, 1)
		o.To.Append(ctx, topic.Unit{Records: records}, func(err error) { done <- err })
		if err := <-done; err != nil {
			return fmt.Errorf("copy %s-%d: %w", p.Topic, p.Partition.Partition, err)
		}
		at += int64(len(records))
		count(len(records))
	}
	return nil
}

// offsets commits where groups go on, and returns how many offsets that were. A group that is further in Kafka stays there.
func offsets(ctx context.Context, o Options, parts []*part) (int, error) {
	groups, err := o.From.Groups(ctx)
	if err != nil {
		return 0, err
	}
	by := map[topic.Partition]*part{}
	for _, p := range parts {
		by[p.Partition] = p
	}
	n := 0
	for _, group := range slices.Sorted(maps.Keys(groups)) {
		var has map[topic.Partition]int64
		err := patiently(ctx, func() (err error) {
			has, err = o.To.GroupOffsets(ctx, group)
			return err
		})
		if err != nil {
			return n, err
		}
		committed := groups[group]
		for _, at := range slices.SortedFunc(maps.Keys(committed), comparePartitions) {
			p := by[at]
			if p == nil {
				continue
			}
			mapped := min(max(committed[at]-p.base, 0), p.whole())
			if old, ok := has[at]; ok && old >= mapped {
				continue
			}
			n++
			if o.DryRun {
				continue
			}
			if err := patiently(ctx, func() error { return o.To.SetGroupOffset(ctx, group, at, mapped) }); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// patiently tries again while it may help: a cluster without groups so far needs a moment to have a coordinator.
func patiently(ctx context.Context, f func() error) error {
	const patience, between = 30 * time.Second, 250 * time.Millisecond
	began := time.Now()
	for {
		err := f()
		var again interface{ Retriable() bool }
		if err == nil || !errors.As(err, &again) || !again.Retriable() || time.Since(began) > patience {
			return err
		}
		select {
		case <-time.After(between):
		case <-ctx.Done():
			return err
		}
	}
}

func comparePartitions(a, b topic.Partition) int {
	if c := strings.Compare(a.Topic, b.Topic); c != 0 {
		return c
	}
	return int(a.Partition - b.Partition)
}
