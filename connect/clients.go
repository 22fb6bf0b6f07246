// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"freshet/config"
	"freshet/emitter/topic"
)

// Clients is a Log that gives each task a log of its own, with the client settings of the task's connector, such as
// producer.override.linger.ms. What one task waits for then holds up no other.
type Clients interface {
	// CheckClients says what is wrong with the client settings of a connector.
	CheckClients(cfg map[string]string) []config.Problem
	// OpenClient opens the log of a task, which the task closes.
	OpenClient(connector string, task int, cfg map[string]string) (topic.Log, error)
}

// Positions is a Log whose connectors may keep their positions in a place of their own, such as the topic of
// offsets.storage.topic.
type Positions interface {
	// AdminOf is where the positions of a connector are.
	AdminOf(connector string, cfg map[string]string) (Admin, error)
}

// ExactlyOnce is a source connector that does not offer exactly-once delivery with every configuration. One that does not
// implement it does: a source's position is behind exactly what it brings (I4).
type ExactlyOnce interface {
	ExactlyOnce(v config.Values) bool
}

// clientSettings are what a connector's configuration says of its clients. The topics that a sink reads are not made by it, so
// topic.creation.* says nothing there.
func (p *Plugin) clientSettings(cfg map[string]string) map[string]string {
	if p.Sink == nil {
		return cfg
	}
	out := maps.Clone(cfg)
	maps.DeleteFunc(out, func(name, _ string) bool { return strings.HasPrefix(name, "topic.creation.") })
	return out
}

// withLog makes an Opener of a function that needs the log and the settings of the task.
func (c *Connector) withLog(task int, open func(ctx context.Context, topics topic.Log, v config.Values) (Task, error)) Opener {
	clients, ok := c.worker.topics.(Clients)
	return func(ctx context.Context) (Task, error) {
		now, err := c.current(task)
		if err != nil {
			return nil, err
		}
		if !ok {
			return open(ctx, c.worker.topics, now.values)
		}
		own, err := clients.OpenClient(c.Name, task, c.Plugin.clientSettings(now.raw))
		if err != nil {
			return nil, finalError{err}
		}
		t, err := open(ctx, own, now.values)
		if err != nil {
			return nil, errors.Join(err, own.Close(ctx))
		}
		return &clientTask{Task: t, log: own, drain: c.worker.config.DrainTimeout}, nil
	}
}

// logOf opens the log that a connector's tasks use, for somebody who is none of them. done closes it, where it is one of its own.
func (c *Connector) logOf(cfg map[string]string) (topics topic.Log, done func(context.Context) error, err error) {
	clients, ok := c.worker.topics.(Clients)
	if !ok {
		return c.worker.topics, func(context.Context) error { return nil }, nil
	}
	own, err := clients.OpenClient(c.Name, 0, c.Plugin.clientSettings(cfg))
	if err != nil {
		return nil, nil, finalError{err}
	}
	return own, own.Close, nil
}

// clientTask is a task with a log of its own.
type clientTask struct {
	Task
	log   topic.Log
	drain time.Duration
}

var _ Progresser = (*clientTask)(nil)

// Run runs the task, which drains, and closes its log.
func (t *clientTask) Run(ctx context.Context) error {
	err := t.Task.Run(ctx)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.drain)
	defer cancel()
	return errors.Join(err, t.log.Close(closing))
}

// Progress is the task's.
func (t *clientTask) Progress() int64 {
	if p, ok := t.Task.(Progresser); ok {
		return p.Progress()
	}
	return 0
}
