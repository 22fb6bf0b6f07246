// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"freshet/capture"
	"freshet/emitter/topic"
)

var errNoAdmin = errors.New("the log of this worker does not show positions")

func (c *Connector) admin() (Admin, error) {
	if p, ok := c.worker.topics.(Positions); ok && c.Plugin.Source != nil {
		return p.AdminOf(c.Name, c.set.raw)
	}
	if a, ok := c.worker.topics.(Admin); ok {
		return a, nil
	}
	return nil, errNoAdmin
}

// markPrefix is what the keys of all positions of a connector begin with.
func markPrefix(connector string) string { return "[" + quoteJSON(connector) + "," }

// Offsets are the durable positions of the connector: a source's by partition, a sink's by topic and partition.
func (c *Connector) Offsets(ctx context.Context) ([]Offset, error) {
	a, err := c.admin()
	if err != nil {
		return nil, err
	}
	if c.Plugin.Sink != nil {
		return c.sinkOffsets(ctx, a)
	}
	marks, err := a.Marks(ctx, markPrefix(c.Name))
	if err != nil {
		return nil, fmt.Errorf("read positions of %q: %w", c.Name, err)
	}
	out := make([]Offset, 0, len(marks))
	for _, m := range marks {
		partition := strings.TrimSuffix(strings.TrimPrefix(m.Key, markPrefix(c.Name)), "]")
		out = append(out, Offset{Partition: partition, Offset: m.Value})
	}
	return out, nil
}

// sinkOffsets are the committed offsets of the connector's group.
func (c *Connector) sinkOffsets(ctx context.Context, a Admin) ([]Offset, error) {
	group := c.group(c.set.raw)
	offsets, err := a.GroupOffsets(ctx, group)
	if err != nil {
		return nil, fmt.Errorf("read offsets of group %q: %w", group, err)
	}
	out := make([]Offset, 0, len(offsets))
	for _, p := range sortedPartitions(offsets) {
		out = append(out, Offset{
			Partition: fmt.Sprintf(`{"kafka_partition":%d,"kafka_topic":%s}`, p.Partition, quoteJSON(p.Topic)),
			Offset:    fmt.Sprintf(`{"kafka_offset":%d}`, offsets[p]),
		})
	}
	return out, nil
}

func sortedPartitions(offsets map[topic.Partition]int64) []topic.Partition {
	out := make([]topic.Partition, 0, len(offsets))
	for p := range offsets {
		out = append(out, p)
	}
	slices.SortFunc(out, func(x, y topic.Partition) int {
		return cmp.Or(strings.Compare(x.Topic, y.Topic), cmp.Compare(x.Partition, y.Partition))
	})
	return out
}

// OffsetChecker is a source connector that can tell whether positions set by hand make sense to it. The texts are JSON;
// "" is null, and an offset "" forgets the partition's.
type OffsetChecker interface {
	CheckOffset(partition, offset string) error
}

// SetOffsets changes positions of the connector, whose tasks must not run. An Offset "" forgets the partition's. The
// texts are JSON; nothing is changed if one of them makes no sense.
func (c *Connector) SetOffsets(ctx context.Context, offsets []Offset) error {
	a, err := c.admin()
	if err != nil {
		return err
	}
	if c.Plugin.Sink != nil {
		return c.setSinkOffsets(ctx, a, offsets)
	}
	marks, err := c.marksOf(offsets)
	if err != nil {
		return err
	}
	if at, ok := a.(Alterer); ok {
		if err := at.AlterMarks(ctx, marks); err != nil {
			return fmt.Errorf("change positions of %q: %w", c.Name, err)
		}
		return nil
	}
	for _, m := range marks {
		if m.Value == "" {
			err = a.DeleteMark(ctx, m.Key)
		} else {
			err = a.SetMark(ctx, m)
		}
		if err != nil {
			return fmt.Errorf("change a position of %q: %w", c.Name, err)
		}
	}
	return nil
}

// marksOf makes marks of positions set by hand.
func (c *Connector) marksOf(offsets []Offset) ([]topic.Mark, error) {
	var marks []topic.Mark
	for _, o := range offsets {
		if o.Partition == "" && o.Offset == "" {
			continue
		}
		if checker, ok := c.Plugin.Source.(OffsetChecker); ok {
			if err := checker.CheckOffset(o.Partition, o.Offset); err != nil {
				return nil, err
			}
		}
		var partition, value bytes.Buffer
		if err := compactObject(&partition, o.Partition); err != nil {
			return nil, &Error{400, fmt.Sprintf("The partition %s of a source is not an object", o.Partition)}
		}
		if o.Offset != "" {
			if err := compactObject(&value, o.Offset); err != nil {
				return nil, &Error{400, fmt.Sprintf("The offset %s of a source is not an object", o.Offset)}
			}
		}
		marks = append(marks, topic.Mark{Key: MarkKey(c.Name, partition.String()), Value: value.String()})
	}
	return marks, nil
}

// compactObject appends a JSON object without blanks: keys of positions are compared as bytes.
func compactObject(dst *bytes.Buffer, text string) error {
	if !strings.HasPrefix(strings.TrimSpace(text), "{") {
		return errors.New("not an object")
	}
	return json.Compact(dst, []byte(text))
}

func (c *Connector) setSinkOffsets(ctx context.Context, a Admin, offsets []Offset) error {
	targets := map[topic.Partition]int64{}
	for _, o := range offsets {
		p, at, err := sinkOffset(c.Name, o)
		if err != nil {
			return err
		}
		targets[p] = at
	}
	for _, p := range sortedPartitions(targets) {
		if err := a.SetGroupOffset(ctx, c.group(c.set.raw), p, targets[p]); err != nil {
			return &Error{500, fmt.Sprintf("Failed to alter consumer group offsets for connector %s: %v", c.Name, err)}
		}
	}
	return nil
}

func refusef(format string, args ...any) error { return &Error{400, fmt.Sprintf(format, args...)} }

// sinkOffset reads an entry such as {"kafka_topic":"t","kafka_partition":0} with {"kafka_offset":5}; -1 forgets it. The
// messages are Kafka Connect's.
func sinkOffset(connector string, o Offset) (p topic.Partition, at int64, err error) {
	if o.Partition == "" {
		return p, 0, refusef("The partition for a sink connector offset cannot be null or missing")
	}
	var partition, offset map[string]json.RawMessage
	if err := json.Unmarshal([]byte(o.Partition), &partition); err != nil {
		return p, 0, refusef("The partition for a sink connector offset is no object: %s", o.Partition)
	}
	name, hasTopic := partition["kafka_topic"]
	number, hasPartition := partition["kafka_partition"]
	switch {
	case !hasTopic || !hasPartition:
		return p, 0, refusef("The partition for a sink connector offset must contain the keys 'kafka_topic' and 'kafka_partition'")
	case isNull(name):
		return p, 0, refusef("Kafka topic names must be valid strings and may not be null")
	case isNull(number):
		return p, 0, refusef("Kafka partitions must be valid numbers and may not be null")
	}
	p.Topic = plainText(name)
	n, err := strconv.ParseInt(plainText(number), 10, 32)
	if err != nil {
		return p, 0, refusef("Failed to parse the following Kafka partition value in the provided offsets: '%s'. Partition values for sink connectors need to be integers.", plainText(number))
	}
	if n < 0 {
		return p, 0, &Error{500, fmt.Sprintf("Failed to alter consumer group offsets for connector %s: partition %d is negative", connector, n)}
	}
	p.Partition = int32(n)
	if o.Offset == "" {
		return p, -1, nil
	}
	if err := json.Unmarshal([]byte(o.Offset), &offset); err != nil {
		return p, 0, refusef("The offset for a sink connector is no object: %s", o.Offset)
	}
	value, ok := offset["kafka_offset"]
	if !ok {
		return p, 0, refusef("The offset for a sink connector should either be null or contain the key 'kafka_offset'")
	}
	if at, err = strconv.ParseInt(plainText(value), 10, 64); err != nil {
		return p, 0, refusef("Failed to parse the following Kafka offset value in the provided offsets: '%s'. Offset values for sink connectors need to be integers.", plainText(value))
	}
	if at < 0 {
		return p, 0, &Error{500, fmt.Sprintf("Failed to modify offsets for sink connector %s: offset %d is negative", connector, at)}
	}
	return p, at, nil
}

func isNull(raw json.RawMessage) bool { return string(raw) == "null" }

// plainText is a JSON string without its quotes, or another value as it is written.
func plainText(raw json.RawMessage) string {
	var s string
	if !isNull(raw) && json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// ResetOffsets forgets all positions of the connector, whose tasks must not run.
func (c *Connector) ResetOffsets(ctx context.Context) error {
	offsets, err := c.Offsets(ctx)
	if err != nil {
		return err
	}
	for i := range offsets {
		offsets[i].Offset = ""
	}
	if err := c.SetOffsets(ctx, offsets); err != nil || c.Plugin.Source == nil {
		return err
	}
	return c.worker.DeleteSpool(ctx, c.Name)
}

// spool is that of a connector. Where workers are a group it is a topic beside those of other groups, which may have a connector of
// the same name.
func (w *Worker) spool(connector string) *capture.Spool {
	if w.config.Group != "" {
		connector = w.config.Group + "/" + connector // no name of a topic, so that it gets one of its own
	}
	return capture.NewSpool(w.spools, connector)
}

// DeleteSpool deletes what a source connector had read and not emitted; its tasks must not run. A position that is kept, and
// that needed it, is a gap then, which the source finds.
func (w *Worker) DeleteSpool(ctx context.Context, name string) error {
	s := w.spool(name)
	if s == nil {
		return nil
	}
	if err := s.Delete(ctx); err != nil {
		return fmt.Errorf("delete the spool of connector %q: %w", name, err)
	}
	return nil
}
