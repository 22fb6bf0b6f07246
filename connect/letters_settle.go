// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"freshet/emitter/topic"
	"freshet/sinks"
)

// choose are the open letters of a choice.
func (l *Letters) choose(ctx context.Context, topics topic.Log, choice LetterChoice) ([]Letter, error) {
	if !choice.All && len(choice.IDs) == 0 && choice.Cause == "" {
		return nil, &Error{400, `name records by ids, as in {"ids":["0@12"]}, by a part of their cause, or {"all":true}`}
	}
	letters, err := l.read(ctx, topics)
	if err != nil {
		return nil, fmt.Errorf("read the dead letter queue %q: %w", l.queue, err)
	}
	var out []Letter
	known := map[string]string{}
	for _, x := range letters {
		known[x.ID] = x.State
		if x.State == LetterOpen && (choice.All || slices.Contains(choice.IDs, x.ID) || choice.Cause != "" && strings.Contains(x.cause(), choice.Cause)) {
			out = append(out, x)
		}
	}
	for _, id := range choice.IDs {
		switch known[id] {
		case LetterOpen:
		case "":
			return nil, &Error{404, fmt.Sprintf("The dead letter queue %s has no record %s of connector %s", l.queue, id, l.c.Name)}
		default:
			return nil, &Error{409, fmt.Sprintf("Record %s of the dead letter queue %s is %s", id, l.queue, known[id])}
		}
	}
	return out, nil
}

// settle notes, durably, what became of a letter.
func (l *Letters) settle(ctx context.Context, topics topic.Log, x *Letter, state, reason string) error {
	text, err := json.Marshal(settlement{
		Connector: l.c.Name, Queue: l.queue, ID: x.ID, State: state, Reason: reason, Cause: x.cause(), Time: time.Now().UTC(),
	})
	if err != nil {
		return err
	}
	durable := make(chan error, 1)
	topics.Append(ctx, topic.Unit{Records: []topic.Record{{
		Topic: settledTopic, Partition: topic.AnyPartition, Key: topic.Data{Body: []byte(l.queue + " " + x.ID)}, Value: topic.Data{Body: text},
	}}}, func(err error) { durable <- err })
	if err := <-durable; err != nil {
		return fmt.Errorf("note that record %s is %s: %w", x.ID, state, err)
	}
	return nil
}

// using runs f with the log of the queue, one at a time in this process.
func (l *Letters) using(ctx context.Context, f func(topics topic.Log) error) error {
	l.c.worker.letters.Lock()
	defer l.c.worker.letters.Unlock()
	topics, done, err := l.open()
	if err != nil {
		return err
	}
	return errors.Join(f(topics), done(context.WithoutCancel(ctx)))
}

// Discard gives letters up. They stay in the queue as long as its topic keeps them, with the reason.
func (l *Letters) Discard(ctx context.Context, choice LetterChoice) (out LetterOutcome, err error) {
	out.Failed = []LetterFailure{}
	if strings.TrimSpace(choice.Reason) == "" {
		return out, &Error{400, "reason is missing: it is kept with the records that are discarded"}
	}
	err = l.using(ctx, func(topics topic.Log) error {
		letters, err := l.choose(ctx, topics, choice)
		for i := range letters {
			if err = l.settle(ctx, topics, &letters[i], LetterDiscarded, choice.Reason); err != nil {
				break
			}
			out.Settled++
		}
		return err
	})
	return out, err
}

// Retry sends letters through the sink's converters and transforms into the target once more, in the order of the queue, one by
// one. Those that fail again stay open. So does, unless the choice says otherwise, one whose key has a newer record in the topic
// that it came from: it would replace what the newer one has brought.
func (l *Letters) Retry(ctx context.Context, choice LetterChoice) (out LetterOutcome, err error) {
	out.Failed = []LetterFailure{}
	err = l.using(ctx, func(topics topic.Log) error {
		letters, err := l.choose(ctx, topics, choice)
		if err != nil || len(letters) == 0 {
			return err
		}
		newer := map[string]int64{}
		if !choice.Stale {
			if newer, err = l.newer(ctx, topics, letters); err != nil {
				return err
			}
		}
		again, err := l.pipeline(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = again.writer.Close(context.WithoutCancel(ctx)) }() // each write has been answered
		for i := range letters {
			x := &letters[i]
			if at, stale := newer[x.ID]; stale {
				out.Failed = append(out.Failed, LetterFailure{x.ID, fmt.Sprintf("%s-%d has a newer record of its key at offset %d: retry it as stale to replace what that has brought, or discard it", x.Topic, x.Partition, at)})
				continue
			}
			err := again.write(ctx, x)
			var row *sinks.RowError
			switch {
			case err == nil:
			case errors.As(err, &row):
				out.Failed = append(out.Failed, LetterFailure{x.ID, RedactText(err.Error())})
				continue
			default:
				return fmt.Errorf("retry record %s: %w", x.ID, err)
			}
			if err := l.settle(ctx, topics, x, LetterRetried, ""); err != nil {
				return err
			}
			out.Settled++
		}
		return nil
	})
	return out, err
}

// newer finds the letters whose key has a record behind them in their topic, and its offset.
func (l *Letters) newer(ctx context.Context, topics topic.Log, letters []Letter) (map[string]int64, error) {
	from := map[string]map[int32]int64{} // by topic and partition
	byKey := map[string][]*Letter{}
	for i := range letters {
		x := &letters[i]
		if x.Topic == "" || x.Offset < 0 || x.record.Key.IsNull() {
			continue
		}
		places := from[x.Topic]
		if places == nil {
			places = map[int32]int64{}
			from[x.Topic] = places
		}
		if at, ok := places[x.Partition]; !ok || x.Offset < at {
			places[x.Partition] = x.Offset
		}
		key := x.Topic + "\x00" + string(x.record.Key.Bytes())
		byKey[key] = append(byKey[key], x)
	}
	out := map[string]int64{}
	for name, places := range from {
		err := scan(ctx, topics, name, places, func(r *topic.Record) {
			if r.Key.IsNull() {
				return
			}
			for _, x := range byKey[name+"\x00"+string(r.Key.Bytes())] {
				if r.Partition == x.Partition && r.Offset > x.Offset && !slices.ContainsFunc(letters, func(y Letter) bool {
					return y.Topic == name && y.Partition == r.Partition && y.Offset == r.Offset // it is retried, too
				}) {
					out[x.ID] = r.Offset
				}
			}
		})
		if err != nil {
			return nil, fmt.Errorf("look for newer records in topic %q: %w", name, err)
		}
	}
	return out, nil
}

// retrying is the sink's own way from a record to its target.
type retrying struct {
	writer     sinks.Writer
	decoder    sinks.Decoder
	transforms []sinks.Transform
	batch      sinks.Batch
}

// pipeline opens a writer beside those of the tasks. It keeps no offsets: those of letters have been counted.
func (l *Letters) pipeline(ctx context.Context) (*retrying, error) {
	now, err := l.c.current(0)
	if err != nil {
		return nil, err
	}
	r := &retrying{decoder: l.c.set.converters.decoder(), batch: sinks.Batch{Next: map[topic.Partition]int64{}}}
	log := l.c.worker.log.With("connector", l.c.Name, "queue", l.queue)
	if r.transforms, err = l.c.sinkTransforms(now.values, log); err != nil {
		return nil, err
	}
	env := sinks.Env{Connector: l.c.Name, Group: l.c.group(l.c.set.raw), Log: log}
	r.writer, err = l.c.Plugin.Sink.Open(ctx, env, now.values)
	return r, err
}

// write writes one letter. A *sinks.RowError is what is wrong with it.
func (r *retrying) write(ctx context.Context, x *Letter) error {
	r.batch.Reset()
	raw := &x.record
	refused := func(err error) error {
		var row *sinks.RowError
		if errors.As(err, &row) || Retriable(err) {
			return err
		}
		return &sinks.RowError{Topic: raw.Topic, Partition: raw.Partition, Offset: raw.Offset, Key: sinks.KeyText(raw.Key), Err: err}
	}
	rec, err := r.decoder.Decode(&r.batch, raw)
	if err != nil {
		return refused(err)
	}
	rec.Source = topic.Partition{Topic: raw.Topic, Partition: raw.Partition}
	for _, t := range r.transforms {
		keep, err := t.Apply(&r.batch, &rec)
		if err != nil {
			return refused(err)
		}
		if !keep {
			return nil // as the task would do
		}
	}
	r.batch.Records = append(r.batch.Records, rec)
	return r.writer.Write(ctx, &r.batch)
}
