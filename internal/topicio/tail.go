// SPDX-License-Identifier: Apache-2.0

package topicio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"freshet/emitter/topic"
)

// TailOptions says what Tail reads.
type TailOptions struct {
	Topic string
	// Partition is the one to read; topic.AnyPartition reads all.
	Partition int32
	// FromBeginning reads what is there already; otherwise only what comes.
	FromBeginning bool
	// ExitAtEnd ends where the topic ended when Tail began.
	ExitAtEnd bool
}

// ErrNoTopic is in the error of a topic or partition that does not exist.
var ErrNoTopic = errors.New("no such topic")

const (
	recordsAPoll = 500
	bytesAWrite  = 64 << 10
)

// Tail writes the lines of a topic's records to w until ctx ends or, with ExitAtEnd, the end is reached. It joins no
// consumer group and commits nothing. flush is called when there is nothing more to write for now.
func Tail(ctx context.Context, log topic.Log, o TailOptions, w io.Writer, flush func() error) error {
	left, err := ends(ctx, log, o)
	if err != nil {
		return err
	}
	if o.ExitAtEnd && (len(left) == 0 || !o.FromBeginning) {
		return nil
	}
	cursor, err := log.Subscribe(ctx, topic.Subscription{Topics: []string{o.Topic}, FromEnd: !o.FromBeginning})
	if err != nil {
		return fmt.Errorf("read topic %q: %w", o.Topic, err)
	}
	if err = flush(); err == nil { // whoever reads knows now that the topic is there
		err = tail(ctx, cursor, o, left, w, flush)
	}
	return errors.Join(err, cursor.Close(context.WithoutCancel(ctx)))
}

func tail(ctx context.Context, cursor topic.Cursor, o TailOptions, left map[int32]int64, w io.Writer, flush func() error) error {
	var buf []byte
	for {
		records, err := cursor.Poll(ctx, recordsAPoll)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the caller has seen enough
		}
		if err != nil {
			return fmt.Errorf("read topic %q: %w", o.Topic, err)
		}
		for i := range records {
			r := &records[i]
			if end, ok := left[r.Partition]; ok && r.Offset+1 >= end {
				delete(left, r.Partition)
				if r.Offset >= end && o.ExitAtEnd {
					continue // came after Tail began
				}
			} else if !ok && o.ExitAtEnd {
				continue
			}
			if o.Partition != topic.AnyPartition && r.Partition != o.Partition {
				continue
			}
			if buf = AppendLine(buf, r); len(buf) >= bytesAWrite {
				if _, err := w.Write(buf); err != nil {
					return err
				}
				buf = buf[:0]
			}
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
		buf = buf[:0]
		if err := flush(); err != nil {
			return err
		}
		if o.ExitAtEnd && len(left) == 0 {
			return nil
		}
	}
}

// ends are the ends of the partitions that hold something to be read.
func ends(ctx context.Context, log topic.Log, o TailOptions) (map[int32]int64, error) {
	infos, err := log.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list topics: %w", err)
	}
	at := slices.IndexFunc(infos, func(i topic.Info) bool { return i.Name == o.Topic })
	if at < 0 {
		return nil, fmt.Errorf("topic %q: %w: `freshet topics list` shows those that exist", o.Topic, ErrNoTopic)
	}
	partitions := infos[at].Partitions
	if int(o.Partition) >= len(partitions) {
		return nil, fmt.Errorf("partition %d of topic %q: %w: it has %d partition(s), counted from 0", o.Partition, o.Topic, ErrNoTopic, len(partitions))
	}
	left := map[int32]int64{}
	for n, r := range partitions {
		if p := int32(n); r.End > r.Start && (o.Partition == topic.AnyPartition || p == o.Partition) {
			left[p] = r.End
		}
	}
	return left, nil
}
