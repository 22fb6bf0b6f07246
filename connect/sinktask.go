// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"

	"freshet/config"
	"freshet/emitter"
	"freshet/emitter/topic"
	"freshet/emitter/transform"
	"freshet/sinks"
)

// GroupOf is the consumer group of a sink connector, unless its configuration names another.
func GroupOf(connector string) string { return "connect-" + connector }

// groupOverride is the property that gives a sink another consumer group.
const groupOverride = "consumer.override.group.id"

// overriddenGroup is the consumer group that a connector's configuration names, "" for none.
func overriddenGroup(raw map[string]string) string { return strings.TrimSpace(raw[groupOverride]) }

// group is the consumer group of a sink connector. As in Kafka Connect a property of the connector, or of the worker, may name
// another one than GroupOf, where there are clients of Kafka.
func (c *Connector) group(raw map[string]string) string {
	if _, ok := c.worker.topics.(Clients); ok {
		for _, name := range []string{overriddenGroup(raw), strings.TrimSpace(c.worker.config.Properties["consumer.group.id"])} {
			if name != "" {
				return name
			}
		}
	}
	return GroupOf(c.Name)
}

// subscription is what a sink connector reads.
func (c *Connector) subscription(v config.Values) (topic.Subscription, error) {
	s := topic.Subscription{Group: c.group(v.Raw()), Topics: v.List("topics")}
	if pattern := strings.TrimSpace(v.Get("topics.regex")); pattern != "" {
		re, err := regexp.Compile(`\A(?:` + pattern + `)\z`) // as in Kafka Connect the whole name must match
		if err != nil {
			return s, finalError{fmt.Errorf("topics.regex %q: %w", pattern, err)}
		}
		s.Pattern = func(name string) bool { return !topic.Hidden(name) && re.MatchString(name) }
	}
	return s, nil
}

// chainOf makes the transforms of a task.
func (w *Worker) chainOf(v config.Values, log *slog.Logger) (transform.Chain, error) {
	chain, problems := transform.Parse(v.Raw(), w.transforms...)
	if errs := config.Errors(problems); len(errs) > 0 {
		return nil, finalError{errs[0]}
	}
	if err := chain.Ready(); err != nil {
		return nil, settingError{err}
	}
	chain.Log(log)
	return chain, nil
}

// sinkTask is one attempt of a sink task: the loop of package sinks over a writer that has just been opened.
type sinkTask struct {
	*sinks.Task
	log *taskLog
}

var (
	_ Task       = (*sinkTask)(nil)
	_ Progresser = (*sinkTask)(nil)
)

// Progress is the number of commits.
func (t *sinkTask) Progress() int64 { return t.log.durable.Load() }

// sinkOpener makes the Opener of a sink task. Everything is made anew for each attempt: it begins at the offsets that
// were committed, or that the target keeps.
func (c *Connector) sinkOpener(task int, log *slog.Logger, counts *errorCounts) Opener {
	w := c.worker
	return c.withLog(task, func(ctx context.Context, topics topic.Log, v config.Values) (Task, error) {
		s, err := c.subscription(v)
		if err != nil {
			return nil, err
		}
		transforms, err := c.sinkTransforms(v, log)
		if err != nil {
			return nil, err
		}
		policy := c.errorPolicy(task, v, counts, log)
		if err := policy.openQueue(ctx, v, topics); err != nil {
			return nil, err
		}
		env := sinks.Env{Connector: c.Name, Group: s.Group, Task: task, Log: log}
		if l, ok := topics.(topic.Identified); ok {
			env.Origin = l.Identity()
		}
		writer, err := c.Plugin.Sink.Open(ctx, env, v)
		if err != nil {
			return nil, err
		}
		l := &taskLog{Log: topics, topics: c.Topics}
		o := sinks.Options{
			Log: l, Subscription: s, Decoder: c.set.converters.decoder(),
			Writer: writer, DrainTimeout: w.config.DrainTimeout, Logger: log, Reporter: policy, Retry: retryOf(v), Transforms: transforms,
		}
		return &sinkTask{sinks.NewTask(o), l}, nil
	})
}

// sinkTransforms are the transforms of one attempt.
func (c *Connector) sinkTransforms(v config.Values, log *slog.Logger) ([]sinks.Transform, error) {
	chain, err := c.worker.chainOf(v, log)
	if err != nil || len(chain) == 0 {
		return nil, err
	}
	return []sinks.Transform{&sinkChain{chain: chain, header: c.set.converters.headerFormat()}}, nil
}

// sinkChain runs the transforms of a sink. Topic, partition and offset by which a record is counted are the loop's: here
// only the names that the writer sees change.
type sinkChain struct {
	chain  transform.Chain
	header emitter.HeaderFormat // of headers that transforms add
	rec    transform.Record     // reused,
	stored []transform.Header   // as are the headers that it comes with
}

var _ sinks.Transform = (*sinkChain)(nil)

// Apply runs the chain over one record.
func (s *sinkChain) Apply(b *sinks.Batch, r *sinks.Record) (bool, error) {
	t := &s.rec
	*t = transform.Record{
		Topic: r.Topic, Partition: r.Partition, Sink: true, Offset: r.Offset, TimeMillis: r.TimeMillis, Headers: s.stored[:0], Data: &b.Data,
		KeyType: r.KeyType, Key: r.Key, ValueType: r.ValueType, Value: r.Value,
	}
	if r.TimeMillis < 0 {
		t.TimeMillis = transform.NoTime // a record that was produced without one
	}
	for _, h := range r.Headers {
		t.Headers = append(t.Headers, transform.Header{Key: h.Key, Raw: h.Value})
	}
	s.stored = t.Headers
	keep, err := s.chain.Apply(t)
	if err != nil || !keep {
		return false, err
	}
	r.Topic, r.Partition, r.KeyType, r.Key, r.ValueType, r.Value = t.Topic, t.Partition, t.KeyType, t.Key, t.ValueType, t.Value
	return true, s.headers(b, r)
}

// headers takes over the headers that the chain left.
func (s *sinkChain) headers(b *sinks.Batch, r *sinks.Record) error {
	same := len(r.Headers) == len(s.rec.Headers)
	for i := range s.rec.Headers {
		h := &s.rec.Headers[i]
		same = same && h.Stored() && h.Key == r.Headers[i].Key && bytes.Equal(h.Raw, r.Headers[i].Value)
	}
	if same {
		return nil
	}
	out := make([]topic.Header, len(s.rec.Headers))
	for i := range s.rec.Headers {
		h := &s.rec.Headers[i]
		out[i] = topic.Header{Key: h.Key, Value: h.Raw}
		if h.Stored() {
			continue
		}
		var err error
		if out[i].Value, err = s.header.AppendHeader(nil, h.Type, &b.Data, h.Value); err != nil {
			return errors.Join(fmt.Errorf("encode header %q", h.Key), err)
		}
	}
	r.Headers = out
	return nil
}
