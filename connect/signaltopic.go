// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"freshet/capture"
	"freshet/config"
	"freshet/emitter/topic"
	"freshet/snapshot"
)

// signalPause is how long the signal topic is left alone after a failure.
const signalPause = time.Second

// OpenSignals opens the log that a connector's signal topic is in, other than the worker's own. Whoever gets it closes it.
type OpenSignals func(connector string, cfg map[string]string) (topic.Log, error)

// signalTopic is Debezium's signal channel kafka: records whose key is the connector's topic.prefix, in partition 0.
type signalTopic struct {
	name   string // of the topic
	group  string
	prefix string // topic.prefix
	log    topic.Log
	own    bool // the log is closed with the task
	take   func(capture.Signal) error
	logger *slog.Logger
}

// signalTopic is that of a connector, nil where it has none.
func (c *Connector) signalTopic(v config.Values, topics topic.Log, log *slog.Logger) (*signalTopic, error) {
	kafka := func(channel string) bool { return strings.EqualFold(channel, "kafka") }
	if !slices.ContainsFunc(v.List("signal.enabled.channels"), kafka) {
		return nil, nil
	}
	s := &signalTopic{
		name: v.Get("signal.kafka.topic"), group: v.Get("signal.kafka.groupId"), prefix: v.Get("topic.prefix"),
		log: topics, take: c.worker.Snapshots(c.Name).signal, logger: log,
	}
	if s.name == "" {
		s.name = s.prefix + "-signal"
	}
	if v.Get("signal.kafka.bootstrap.servers") == "" {
		return s, nil
	}
	if c.worker.openSignals == nil {
		return nil, finalError{errors.New("this worker has no Kafka client for signal.kafka.bootstrap.servers; leave it out to take signals from the worker's own topics")}
	}
	var err error
	if s.log, err = c.worker.openSignals(c.Name, v.Raw()); err != nil {
		return nil, finalError{fmt.Errorf("open the signal topic %q: %w", s.name, err)}
	}
	s.own = true
	return s, nil
}

// run takes signals until ctx ends. Failures are said and tried again: they hold up no change.
func (s *signalTopic) run(ctx context.Context) {
	told := ""
	for ctx.Err() == nil {
		err := s.read(ctx, func() { told = "" })
		if ctx.Err() != nil {
			return
		}
		if text := RedactText(err.Error()); text != told {
			s.logger.Warn("the signal topic cannot be read; trying again", "topic", s.name, "group", s.group, "cause", text)
			told = text
		}
		pause := time.NewTimer(signalPause)
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
		}
	}
}

// read takes signals until something fails.
func (s *signalTopic) read(ctx context.Context, works func()) (err error) {
	cursor, err := s.log.Subscribe(ctx, topic.Subscription{Group: s.group, Topics: []string{s.name}})
	if err != nil {
		return err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), signalPause)
		defer cancel()
		err = errors.Join(err, cursor.Close(closing))
	}()
	const most = 100
	for {
		records, err := cursor.Poll(ctx, most)
		if err != nil {
			return err
		}
		works()
		for i := range records {
			if err := s.record(&records[i]); err != nil {
				return err
			}
		}
		if err := cursor.Commit(ctx); err != nil {
			return err
		}
	}
}

// record hands a signal on. What is no signal for this connector is passed over.
func (s *signalTopic) record(r *topic.Record) error {
	if r.Partition != 0 || string(r.Key.Bytes()) != s.prefix {
		return nil
	}
	signal, err := capture.ParseSignal(r.Value.Bytes())
	if err == nil {
		err = snapshot.CheckSignal(signal)
	}
	if err != nil {
		s.logger.Warn("record of the signal topic is ignored", "topic", s.name, "offset", r.Offset, "error", err)
		return nil
	}
	s.logger.Info("signal", "topic", s.name, "offset", r.Offset, "id", signal.ID, "type", signal.Type)
	return s.take(signal)
}

// close closes the log, where it is the topic's own.
func (s *signalTopic) close(ctx context.Context) error {
	if s == nil || !s.own {
		return nil
	}
	return s.log.Close(ctx)
}
