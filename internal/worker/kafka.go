// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"freshet/config"
	"freshet/connect"
	"freshet/emitter/topic"
	"freshet/emitter/topic/kafka"
	"freshet/emitter/topic/local"
	"freshet/internal/kafkaclient"
)

// topics is the log of a worker.
type topics interface {
	topic.Log
	topic.Identified
	connect.Admin
}

// kafkaTopics is the log of a worker whose topics are in Kafka. Positions and what cannot be emitted yet are in the data
// folder, as Kafka Connect's standalone worker has its offsets in a file.
type kafkaTopics struct {
	*kafka.Log
	clients *kafkaclient.Worker
	marks   kafka.MarkStore
	log     *slog.Logger
	waiting atomic.Pointer[string] // what is waited for before the start; nil once it has begun
}

var (
	_ topics          = (*kafkaTopics)(nil)
	_ connect.Clients = (*kafkaTopics)(nil)
)

// openKafka makes the log. It connects to nothing.
func openKafka(clients *kafkaclient.Worker, positions kafka.MarkStore, log *slog.Logger) (*kafkaTopics, error) {
	k := &kafkaTopics{clients: clients, marks: positions, log: log}
	o, err := clients.Options(nil, "freshet-{kind}")
	if err != nil {
		return nil, err
	}
	o.Log, o.Marks = log, k.marks
	if k.Log, err = kafka.Open(o); err != nil {
		return nil, err
	}
	why := "No broker has answered yet."
	k.waiting.Store(&why)
	return k, nil
}

// connect waits for the brokers.
func (k *kafkaTopics) connect(ctx context.Context) error {
	err := k.Connect(ctx, func(reason string) { k.waiting.Store(&reason) })
	if err == nil {
		k.waiting.Store(nil)
	}
	return err
}

// starting is what is waited for.
func (k *kafkaTopics) starting() string {
	if why := k.waiting.Load(); why != nil {
		return *why
	}
	return ""
}

// CheckClients says what is wrong with the client settings of a connector.
func (k *kafkaTopics) CheckClients(cfg map[string]string) []config.Problem {
	return k.clients.Check(cfg)
}

// OpenClient opens the log of a task.
func (k *kafkaTopics) OpenClient(connector string, task int, cfg map[string]string) (topic.Log, error) {
	o, err := k.clients.Options(cfg, fmt.Sprintf("connector-{kind}-%s-%d", connector, task))
	if err != nil {
		return nil, err
	}
	o.Log, o.Marks, o.Identity = k.log.With("connector", connector, "task", task), k.marks, k.Identity()
	return kafka.Open(o)
}

// openSignals opens signal topics in Kafka, also for workers whose topics are local.
func openSignals(log *slog.Logger) connect.OpenSignals {
	return func(connector string, cfg map[string]string) (topic.Log, error) {
		o, err := kafkaclient.SignalOptions(cfg)
		if err != nil {
			return nil, err
		}
		o.Log = log.With("connector", connector)
		return kafka.Open(o)
	}
}

// marks keeps positions in the local log.
type marks struct{ log *local.Log }

var _ kafka.MarkStore = marks{}

// PutMarks makes marks durable.
func (m marks) PutMarks(ctx context.Context, marks []topic.Mark) error {
	done := make(chan error, len(marks))
	for _, mark := range marks {
		m.log.Append(ctx, topic.Unit{Mark: mark}, func(err error) { done <- err })
	}
	var errs []error
	for range marks {
		errs = append(errs, <-done)
	}
	return errors.Join(errs...)
}

// LoadMark returns a durable mark.
func (m marks) LoadMark(ctx context.Context, key string) (string, error) {
	return m.log.LoadMark(ctx, key)
}

// Marks returns the marks whose key begins with prefix.
func (m marks) Marks(ctx context.Context, prefix string) ([]topic.Mark, error) {
	return m.log.Marks(ctx, prefix)
}

// DeleteMark forgets a mark.
func (m marks) DeleteMark(ctx context.Context, key string) error { return m.log.DeleteMark(ctx, key) }
