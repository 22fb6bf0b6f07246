// SPDX-License-Identifier: Apache-2.0

package backing

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/emitter/topic"
	"freshet/emitter/topic/kafka"
	"freshet/internal/failpoint"
)

// Alterable are positions that AlterMarks changes: Offsets and OwnOffsets.
type Alterable interface {
	kafka.MarkRecorder
	// alteration are the records that make changes durable, and the topic that they are of.
	alteration(ctx context.Context, marks []topic.Mark) ([]*kgo.Record, *journal, error)
	// altered is told that they are committed.
	altered(ctx context.Context, marks []topic.Mark)
}

var (
	_ Alterable = (*Offsets)(nil)
	_ Alterable = (*OwnOffsets)(nil)
)

// AlterMarks changes positions of a connector in one transaction, as Kafka Connect does where sources are exactly-once: whoever
// reads what is committed sees all of the changes, or none. A mark without a value is forgotten. Of o the producer's options and
// the transactions count; their id is that of the connector's first task, which cannot commit anything more.
func AlterMarks(ctx context.Context, o kafka.Options, store Alterable, marks []topic.Mark) error {
	id := o.Transactions.ID
	records, of, err := store.alteration(ctx, marks)
	if err != nil || len(records) == 0 {
		return err
	}
	client, err := kgo.NewClient(slices.Concat(o.Producer, producing(of.topic.Name), []kgo.Opt{
		kgo.TransactionalID(id), kgo.TransactionTimeout(cmp.Or(o.Transactions.Timeout, time.Minute)), kgo.DisableClientMetrics(), kafka.Logger(of.o.log()),
	})...)
	if err != nil {
		return kafka.Explain("set up a client for topic", of.topic.Name, err)
	}
	defer client.Close() // what is not committed by then is aborted by the next claim of the id, or after a while
	if _, _, err := client.ProducerID(ctx); err != nil {
		return kafka.Explain("claim the transactional id", id, err)
	}
	if err := client.BeginTransaction(); err != nil {
		return kafka.Explain("begin the transaction of", id, err)
	}
	err = client.ProduceSync(ctx, records...).FirstErr()
	if err == nil {
		failpoint.Hit("positions: sent")
		err = ctx.Err()
	}
	if err != nil {
		aborting, cancel := context.WithTimeout(context.WithoutCancel(ctx), copyTimeout)
		defer cancel()
		_ = client.EndTransaction(aborting, kgo.TryAbort) // the error that counts is that of before
		return kafka.Explain("append to topic", of.topic.Name, err)
	}
	if err := client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return kafka.Explain("commit the transaction of", id, err)
	}
	if err := of.readBack(ctx, records[len(records)-1]); err != nil {
		return err
	}
	store.altered(ctx, marks)
	return nil
}

func (s *Offsets) alteration(_ context.Context, marks []topic.Mark) (out []*kgo.Record, of *journal, err error) {
	for _, m := range marks {
		if m.Value == "" {
			gone, err := s.removal(m.Key)
			if err != nil {
				return nil, nil, err
			}
			out = append(out, gone...)
			continue
		}
		r, err := s.MarkRecord(m)
		if err != nil {
			return nil, nil, err
		}
		out = append(out, &kgo.Record{Key: r.Key.Body, Value: r.Value.Body})
	}
	return out, s.journal, nil
}

func (s *Offsets) altered(context.Context, []topic.Mark) {}

// alteration forgets what goes in the worker's topic first, so that it cannot bring a position back.
func (s *OwnOffsets) alteration(ctx context.Context, marks []topic.Mark) ([]*kgo.Record, *journal, error) {
	if err := s.start(ctx); err != nil {
		return nil, nil, err
	}
	for _, m := range marks {
		if m.Value == "" {
			if err := s.worker.DeleteMark(ctx, m.Key); err != nil {
				return nil, nil, err
			}
		}
	}
	return s.own.alteration(ctx, marks)
}

// altered copies what stays to the worker's topic.
func (s *OwnOffsets) altered(ctx context.Context, marks []topic.Mark) {
	if kept := slices.DeleteFunc(slices.Clone(marks), func(m topic.Mark) bool { return m.Value == "" }); len(kept) > 0 {
		s.MarksCommitted(ctx, kept)
	}
}
