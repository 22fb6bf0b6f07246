// SPDX-License-Identifier: Apache-2.0

package backing

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/connect"
	"freshet/emitter/topic/kafka"
)

// writeTimeout is how long a write may take, with the reading back, as in Kafka Connect.
const writeTimeout = 30 * time.Second

// Configs is the config topic. Writes return once their records have been read back. Those of the leader, which their
// comments name, need Claim before where Options say Transactional.
type Configs struct {
	journal *journal
	listen  func(Event)

	mu     sync.Mutex // guards what follows
	state  *state
	taken  *Snapshot   // of state; nil when it has changed since
	leader *kgo.Client // writes in transactions; nil before Claim, and after it was fenced

	writing sync.Mutex // held over a transaction
}

// NewConfigs makes the store. It connects to nothing.
func NewConfigs(o Options) *Configs {
	c := &Configs{state: newState()}
	c.journal = &journal{
		o: o, topic: o.Config, property: "config.storage.topic", purpose: "connector configurations", name: "configs",
		single: true, committed: o.Transactional, apply: c.apply,
	}
	c.journal.topic.Partitions = 1
	return c
}

// Start reads the topic to its end, then tells listen of every record that comes, from one goroutine, after the snapshot has
// it. It waits for brokers until ctx ends. A *TopicError says that the topic is none for configurations.
func (c *Configs) Start(ctx context.Context, listen func(Event)) error {
	if err := c.journal.start(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listen = listen
	return nil
}

// Close ends reading and writing. listen is not called any more once it has returned, so listen must not call it.
func (c *Configs) Close(ctx context.Context) {
	c.giveUp(nil)
	c.journal.close(ctx)
}

// Snapshot is what the topic says, as far as it has been read.
func (c *Configs) Snapshot() *Snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken == nil {
		c.taken = c.state.snapshot()
	}
	return c.taken
}

// Refresh reads the topic to its end.
func (c *Configs) Refresh(ctx context.Context) error { return c.journal.readToEnd(ctx) }

// apply takes a record.
func (c *Configs) apply(r *kgo.Record) {
	c.mu.Lock()
	event, ok, err := c.state.apply(string(r.Key), r.Value, r.Offset)
	c.taken = nil
	listen := c.listen
	c.mu.Unlock()
	if err != nil {
		c.journal.o.log().Error("record of the config topic is ignored", "topic", c.journal.topic.Name, "offset", r.Offset, "key", string(r.Key), "cause", err.Error())
	}
	if ok && listen != nil {
		listen(event)
	}
}

// Claim takes the right to write as the leader, so that whoever had it before cannot write any more. It does nothing where
// Options do not say Transactional, or where the right is held already.
func (c *Configs) Claim(ctx context.Context) error {
	c.mu.Lock()
	has := c.leader != nil
	c.mu.Unlock()
	if has || !c.journal.o.Transactional {
		return nil
	}
	client, err := c.journal.client("leader", append(producing(c.journal.topic.Name), kgo.TransactionalID(c.journal.o.TransactionalID()))...)
	if err != nil {
		return err
	}
	if _, _, err := client.ProducerID(ctx); err != nil {
		client.Close()
		return kafka.Explain("claim the right to write to topic", c.journal.topic.Name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leader != nil {
		client.Close()
		return nil
	}
	c.leader = client
	return nil
}

// giveUp drops the right to write; held nil is whichever there is.
func (c *Configs) giveUp(held *kgo.Client) {
	c.mu.Lock()
	if held == nil {
		held = c.leader
	}
	if c.leader == held {
		c.leader = nil
	}
	c.mu.Unlock()
	if held != nil {
		held.Close()
	}
}

// privileged writes records as the leader: all or none where writes are transactions.
func (c *Configs) privileged(ctx context.Context, records ...*kgo.Record) error {
	if !c.journal.o.Transactional {
		return c.journal.write(ctx, records...)
	}
	c.writing.Lock() // one transaction at a time: it is I/O, and nothing else waits for this lock
	defer c.writing.Unlock()
	c.mu.Lock()
	leader := c.leader
	c.mu.Unlock()
	if leader == nil {
		return ErrFenced
	}
	err := leader.BeginTransaction()
	if err == nil {
		err = leader.ProduceSync(ctx, records...).FirstErr()
	}
	if err == nil {
		err = leader.EndTransaction(ctx, kgo.TryCommit)
	}
	if err != nil {
		// What became of the transaction is not known. The next claim ends it, and what is read then is what counts.
		c.giveUp(leader)
		return fmt.Errorf("%w: %w", ErrFenced, err)
	}
	return nil
}

// put writes records and waits until they have been read back. what is told where it fails.
func (c *Configs) put(ctx context.Context, what string, write func(context.Context, ...*kgo.Record) error, records ...*kgo.Record) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err := write(ctx, records...)
	if err == nil {
		err = c.journal.readBack(ctx, records[len(records)-1])
	}
	if err != nil && !errors.Is(err, ErrFenced) {
		err = fmt.Errorf("%s: %w", what, err)
	}
	return err
}

// Kafka Connect's words for writes that did not come through.
const (
	errConnector = "Error writing connector configuration to Kafka"
	errRemove    = "Error removing connector configuration from Kafka"
	errTasks     = "Error writing task configurations to Kafka"
	errCommit    = "Error writing root configuration to Kafka"
	errTarget    = "Error writing target state to Kafka"
	errCount     = "Error writing task count record to Kafka"
	errSession   = "Error writing session key to Kafka"
	errRestart   = "Error writing restart request to Kafka"
	errLogger    = "Error writing logger level to Kafka"
)

// PutConnector writes a connector's configuration, as submitted, and its target state before it unless that is "". For the
// leader.
func (c *Configs) PutConnector(ctx context.Context, name string, config map[string]string, target TargetState) error {
	var records []*kgo.Record
	if target != "" {
		records = append(records, record(targetPrefix+name, targetValue(target)))
	}
	records = append(records, record(connectorPrefix+name, propertiesValue(config)))
	return c.put(ctx, errConnector, c.privileged, records...)
}

// DeleteConnector removes configuration and target state. For the leader.
func (c *Configs) DeleteConnector(ctx context.Context, name string) error {
	return c.put(ctx, errRemove, c.privileged, record(connectorPrefix+name, nil), record(targetPrefix+name, nil))
}

// PutTasks writes the configurations of a connector's tasks, and commits them. For the leader.
func (c *Configs) PutTasks(ctx context.Context, name string, configs []map[string]string) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	if err := c.journal.readToEnd(ctx); err != nil {
		return fmt.Errorf("%s: %w", errCommit, err)
	}
	if len(configs) > 0 {
		records := make([]*kgo.Record, len(configs))
		for n, config := range configs {
			records[n] = record(taskPrefix+taskName(connect.TaskID{Connector: name, Task: n}), propertiesValue(config))
		}
		if err := c.put(ctx, errTasks, c.privileged, records...); err != nil {
			return err
		}
	}
	return c.put(ctx, errCommit, c.privileged, record(commitPrefix+name, commitValue(len(configs))))
}

// PutTarget writes a connector's target state.
func (c *Configs) PutTarget(ctx context.Context, name string, target TargetState) error {
	return c.put(ctx, errTarget, c.journal.write, record(targetPrefix+name, targetValue(target)))
}

// PutTaskCount notes that the tasks of a connector before the present ones have been fenced; n is the present number. For
// the leader.
func (c *Configs) PutTaskCount(ctx context.Context, name string, n int) error {
	return c.put(ctx, errCount, c.privileged, record(fencingPrefix+name, countValue(n)))
}

// PutSessionKey writes the key that signs requests between workers. For the leader.
func (c *Configs) PutSessionKey(ctx context.Context, k SessionKey) error {
	return c.put(ctx, errSession, c.privileged, record(sessionKey, sessionValue(k)))
}

// PutRestart asks every worker for a restart. For the leader.
func (c *Configs) PutRestart(ctx context.Context, r RestartRequest) error {
	return c.put(ctx, errRestart, c.privileged, record(restartPrefix+r.Connector, restartValue(r)))
}

// PutLoggerLevel sets the level of a logger in every worker that runs.
func (c *Configs) PutLoggerLevel(ctx context.Context, logger, level string) error {
	return c.put(ctx, errLogger, c.journal.write, record(loggerPrefix+logger, loggerValue(level)))
}

func record(key string, value []byte) *kgo.Record { return &kgo.Record{Key: []byte(key), Value: value} }
