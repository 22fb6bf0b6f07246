// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"freshet/emitter/topic"
)

// settledTopic has a record for each dead letter that was retried or discarded: what is open, and who settled the rest, can be
// read from it. Patterns of topics pass over its name.
const settledTopic = "__freshet-dead-letters"

// Letter is a record in the dead letter queue of a sink.
type Letter struct {
	ID        string    `json:"id"` // partition@offset in the queue
	Time      time.Time `json:"time"`
	Topic     string    `json:"topic,omitempty"` // that it came from; with Partition and Offset known by its headers alone
	Partition int32     `json:"partition"`
	Offset    int64     `json:"offset"` // -1 where there are no headers
	Stage     string    `json:"stage,omitempty"`
	Exception string    `json:"exception,omitempty"`
	Message   string    `json:"message,omitempty"`
	Key       string    `json:"key"` // as stored; null where there is none
	Value     string    `json:"value"`
	State     string    `json:"state"` // open, retried or discarded
	Reason    string    `json:"reason,omitempty"`
	Settled   time.Time `json:"settled,omitzero"`

	at     topic.Partition // in the queue
	offset int64
	record topic.Record // as it was sent
}

// The states of letters.
const (
	LetterOpen      = "open"
	LetterRetried   = "retried"
	LetterDiscarded = "discarded"
)

// LetterGroup are letters of one cause.
type LetterGroup struct {
	Cause string    `json:"cause"` // stage, exception and message
	Count int       `json:"count"`
	First string    `json:"first"` // ids
	Last  string    `json:"last"`
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
}

// LetterChoice names letters: by id, by a part of their cause, or all.
type LetterChoice struct {
	IDs   []string `json:"ids"`
	Cause string   `json:"cause"`
	All   bool     `json:"all"`
	// Stale retries records whose key has a newer record in their topic, too: the older one replaces it.
	Stale  bool   `json:"stale"`
	Reason string `json:"reason"` // of discarding
}

// LetterOutcome is what became of the letters of a choice.
type LetterOutcome struct {
	Settled int             `json:"settled"`
	Failed  []LetterFailure `json:"failed"`
}

// LetterFailure is a letter that stays open.
type LetterFailure struct {
	ID    string `json:"id"`
	Error string `json:"error"`
}

// cause groups letters.
func (l *Letter) cause() string {
	if l.Stage == "" {
		return "unknown: the queue has no context headers"
	}
	return l.Stage + ": " + l.Message
}

// Letters are the dead letters of a sink connector.
type Letters struct {
	c     *Connector
	queue string
}

// Letters are those of the connector. The error is an *Error where it has no queue.
func (c *Connector) Letters() (*Letters, error) {
	if c.Plugin.Sink == nil {
		return nil, &Error{400, fmt.Sprintf("Connector %s is a source: only sinks have dead letter queues", c.Name)}
	}
	queue := c.set.values.Get("errors.deadletterqueue.topic.name")
	if queue == "" {
		return nil, &Error{404, fmt.Sprintf("Connector %s has no dead letter queue: errors.deadletterqueue.topic.name is not set", c.Name)}
	}
	return &Letters{c: c, queue: queue}, nil
}

// settlement is a record of settledTopic.
type settlement struct {
	Connector string    `json:"connector"`
	Queue     string    `json:"queue"`
	ID        string    `json:"id"`
	State     string    `json:"state"`
	Reason    string    `json:"reason,omitempty"`
	Cause     string    `json:"cause,omitempty"`
	Time      time.Time `json:"time"`
}

// List are the letters of a state, all with "", in the order of the queue.
func (l *Letters) List(ctx context.Context, state string) ([]Letter, error) {
	topics, done, err := l.open()
	if err != nil {
		return nil, err
	}
	letters, err := l.read(ctx, topics)
	if cerr := done(context.WithoutCancel(ctx)); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, fmt.Errorf("read the dead letter queue %q: %w", l.queue, err)
	}
	out := []Letter{}
	for _, x := range letters {
		if state == "" || x.State == state {
			out = append(out, x)
		}
	}
	return out, nil
}

// Groups are the open letters by cause, the most frequent first.
func (l *Letters) Groups(ctx context.Context) ([]LetterGroup, error) {
	letters, err := l.List(ctx, LetterOpen)
	if err != nil {
		return nil, err
	}
	groups := []LetterGroup{}
	for i := range letters {
		x := &letters[i]
		at := slices.IndexFunc(groups, func(g LetterGroup) bool { return g.Cause == x.cause() })
		if at < 0 {
			at = len(groups)
			groups = append(groups, LetterGroup{Cause: x.cause(), First: x.ID, Since: x.Time})
		}
		g := &groups[at]
		g.Count++
		g.Last, g.Until = x.ID, x.Time
	}
	slices.SortStableFunc(groups, func(x, y LetterGroup) int { return cmp.Compare(y.Count, x.Count) })
	return groups, nil
}

// open opens the log that the queue is in.
func (l *Letters) open() (topic.Log, func(context.Context) error, error) {
	return l.c.logOf(l.c.set.raw)
}

// read reads the whole queue, and what was settled of it.
func (l *Letters) read(ctx context.Context, topics topic.Log) ([]Letter, error) {
	settled := map[string]settlement{}
	err := scan(ctx, topics, settledTopic, nil, func(r *topic.Record) {
		var s settlement
		if json.Unmarshal(r.Value.Bytes(), &s) == nil && s.Queue == l.queue {
			settled[s.ID] = s
		}
	})
	if err != nil {
		return nil, err
	}
	var out []Letter
	err = scan(ctx, topics, l.queue, nil, func(r *topic.Record) {
		x := letterOf(r)
		if by := headerText(r, "connector.name"); by != "" && by != l.c.Name {
			return // another connector's
		}
		if s, ok := settled[x.ID]; ok {
			x.State, x.Reason, x.Settled = s.State, s.Reason, s.Time
		}
		out = append(out, x)
	})
	slices.SortFunc(out, func(x, y Letter) int {
		return cmp.Or(cmp.Compare(x.at.Partition, y.at.Partition), cmp.Compare(x.offset, y.offset))
	})
	return out, err
}

// scan reads a topic from its beginning, or the places given, to its end. One that does not exist has no records.
func scan(ctx context.Context, topics topic.Log, name string, from map[int32]int64, visit func(r *topic.Record)) error {
	infos, err := topics.List(ctx)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(infos, func(i topic.Info) bool { return i.Name == name })
	if at < 0 {
		return nil
	}
	c, err := topics.Subscribe(ctx, topic.Subscription{Topics: []string{name}})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(context.WithoutCancel(ctx)) }() // nothing is committed
	left := map[int32]int64{}
	for n, p := range infos[at].Partitions {
		begin := max(p.Start, from[int32(n)])
		if from != nil && begin > p.Start {
			c.Seek(topic.Partition{Topic: name, Partition: int32(n)}, begin)
		}
		if begin < p.End {
			left[int32(n)] = p.End
		}
	}
	const most = 1000
	for len(left) > 0 {
		records, err := poll(ctx, c, most)
		if err != nil || len(records) == 0 {
			return err
		}
		for i := range records {
			r := &records[i]
			end, reads := left[r.Partition]
			if reads && r.Offset < end {
				visit(r)
			}
			if r.Offset >= end-1 {
				delete(left, r.Partition)
			}
		}
	}
	return nil
}

// scanPatience is how long the rest of a topic may take to come. Its end may hold no records: those of transactions that were
// given up are passed over.
const scanPatience = 5 * time.Second

// poll returns nothing where nothing comes any more.
func poll(ctx context.Context, c topic.Cursor, most int) ([]topic.Record, error) {
	waiting, cancel := context.WithTimeout(ctx, scanPatience)
	defer cancel()
	records, err := c.Poll(waiting, most)
	if err != nil && ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded) {
		return nil, nil
	}
	return records, err
}

// headerText is a context header; the last one counts, where a record has been in a queue before.
func headerText(r *topic.Record, name string) string {
	for i := len(r.Headers) - 1; i >= 0; i-- {
		if h := &r.Headers[i]; strings.HasPrefix(h.Key, errorHeader) && h.Key[len(errorHeader):] == name {
			return string(h.Value)
		}
	}
	return ""
}

// letterOf reads a record of a queue.
func letterOf(r *topic.Record) Letter {
	x := Letter{
		ID: strconv.Itoa(int(r.Partition)) + "@" + strconv.FormatInt(r.Offset, 10), Time: time.UnixMilli(r.TimeMillis).UTC(),
		Topic: headerText(r, "topic"), Offset: -1,
		Stage: headerText(r, "stage"), Exception: headerText(r, "exception.class.name"), Message: headerText(r, "exception.message"),
		Key: letterText(r.Key), Value: letterText(r.Value), State: LetterOpen,
		at: topic.Partition{Topic: r.Topic, Partition: r.Partition}, offset: r.Offset,
	}
	if n, err := strconv.ParseInt(headerText(r, "partition"), 10, 32); err == nil {
		x.Partition = int32(n)
	}
	if n, err := strconv.ParseInt(headerText(r, "offset"), 10, 64); err == nil {
		x.Offset = n
	}
	x.record = topic.Record{
		Topic: x.Topic, Partition: x.Partition, Offset: max(x.Offset, 0), TimeMillis: r.TimeMillis, Key: owned(r.Key), Value: owned(r.Value),
	}
	for _, h := range ownedHeaders(r.Headers) {
		if !strings.HasPrefix(h.Key, errorHeader) {
			x.record.Headers = append(x.record.Headers, h)
		}
	}
	return x
}

func letterText(d topic.Data) string {
	if d.IsNull() {
		return "null"
	}
	return string(d.Bytes())
}
