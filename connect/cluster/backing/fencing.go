// SPDX-License-Identifier: Apache-2.0

package backing

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"freshet/connect"
	"freshet/emitter/topic/kafka"
)

// Fencing is what the leader has to do before the tasks of an exactly-once source may start: fence the producers of as many
// tasks, those of before, and then write the present number with PutTaskCount. due is false where that has been done since
// the last commit of tasks. A task fences the one of its own number by itself, so that a connector with one task, before and
// now, needs no more than the record.
func (s *Snapshot) Fencing(connector string) (tasks int, due bool) {
	before := s.Fenced[connector] // 0 in the first round: there were none
	if before == 1 && s.TaskCounts[connector] == 1 {
		before = 0
	}
	return before, s.FencingDue[connector]
}

// FenceTasks aborts what the producers of a connector's tasks 0 to n-1 have in flight, and keeps them from committing
// anything more. admin are the options of the connector's admin client.
func FenceTasks(ctx context.Context, admin []kgo.Opt, group, connector string, n int) error {
	client, err := kgo.NewClient(append(slices.Clone(admin), kgo.DisableClientMetrics())...)
	if err != nil {
		return fmt.Errorf("set up the admin client of Kafka: %w", err)
	}
	defer client.Close()
	for task := range n {
		id := TaskTransactionalID(group, connect.TaskID{Connector: connector, Task: task})
		if err := fence(ctx, client, id); err != nil {
			return kafka.Explain("fence the producer", id, err)
		}
	}
	return nil
}

func fence(ctx context.Context, client *kgo.Client, id string) error {
	for {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID, req.TransactionTimeoutMillis = &id, 1 // nobody commits with the new epoch
		resp, err := req.RequestWith(ctx, client)
		if err == nil {
			err = kerr.ErrorForCode(resp.ErrorCode)
		}
		if !errors.Is(err, kerr.ConcurrentTransactions) && !kerr.IsRetriable(err) {
			return err
		}
		if !pause(ctx) {
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}
