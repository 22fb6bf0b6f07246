// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"freshet/change"
	"freshet/config"
	"freshet/emitter"
	"freshet/emitter/topic"
	"freshet/sinks"
)

// Classes that Kafka Connect names in reports.
const (
	connectException       = "org.apache.kafka.connect.errors.ConnectException"
	dataException          = "org.apache.kafka.connect.errors.DataException"
	serializationException = "org.apache.kafka.common.errors.SerializationException"
	sinkTaskClass          = "org.apache.kafka.connect.sink.SinkTask"
)

// errorHeader begins the names of the headers that tell in a dead letter queue why a record is there.
const errorHeader = "__connect.errors."

// errorPolicy is what a connector's errors.* properties say of records that fail: whether they end the task, are logged, and
// go to a dead letter queue. One belongs to one attempt of a task.
type errorPolicy struct {
	connector string
	task      int
	tolerate  bool
	log       bool // errors.log.enable
	messages  bool // errors.log.include.messages
	classes   map[change.Stage]string
	counts    *errorCounts
	logger    *slog.Logger

	topics  topic.Log // of the queue
	queue   string    // its topic; "" for none
	context bool      // headers tell the error

	mu      sync.Mutex    // guards what follows
	pending int           // records on their way to the queue
	idle    chan struct{} // closed when there are none; nil where there are none
	failed  error         // of the queue
}

var _ sinks.Reporter = (*errorPolicy)(nil)

// errorCounts are what Kafka Connect counts of the errors of a task. They outlive its attempts.
type errorCounts struct {
	failures, skipped, logged, dead, deadFailures atomic.Int64
	last                                          atomic.Int64 // ms since the epoch
}

func (c *errorCounts) report() ErrorReport {
	r := ErrorReport{
		Failures: c.failures.Load(), Skipped: c.skipped.Load(), Logged: c.logged.Load(), DeadLetters: c.dead.Load(), LostLetters: c.deadFailures.Load(),
	}
	if ms := c.last.Load(); ms > 0 {
		r.Last = time.UnixMilli(ms).UTC()
	}
	return r
}

// errorPolicy is that of a task.
func (c *Connector) errorPolicy(task int, v config.Values, counts *errorCounts, log *slog.Logger) *errorPolicy {
	set := c.set.converters
	p := &errorPolicy{
		connector: c.Name, task: task, counts: counts, logger: log,
		tolerate: v.Get("errors.tolerance") == "all",
		log:      v.Bool("errors.log.enable"), messages: v.Bool("errors.log.include.messages"),
		classes: map[change.Stage]string{
			change.StageKey: set.Key.Class, change.StageValue: set.Value.Class, change.StageHeader: simpleHeaderConverter.Class,
			change.StageWrite: sinkTaskClass,
		},
	}
	if set.Header != nil {
		p.classes[change.StageHeader] = set.Header.Class
	}
	return p
}

// retryOf is how long conversions that may succeed later are tried again.
func retryOf(v config.Values) sinks.Retry {
	return sinks.Retry{Timeout: v.Millis("errors.retry.timeout"), MaxDelay: v.Millis("errors.retry.delay.max.ms")}
}

// openQueue makes the topic of the dead letter queue where it is missing.
func (p *errorPolicy) openQueue(ctx context.Context, v config.Values, topics topic.Log) error {
	p.queue = v.Get("errors.deadletterqueue.topic.name")
	if p.queue == "" {
		return nil
	}
	p.topics, p.context = topics, v.Bool("errors.deadletterqueue.context.headers.enable")
	err := topics.Create(ctx, topic.Spec{Name: p.queue, Partitions: 1, Replication: int16(v.Int("errors.deadletterqueue.topic.replication.factor"))})
	if err == nil {
		return nil
	}
	err = fmt.Errorf("Could not initialize dead letter queue with topic=%s: %w", p.queue, err) //nolint:staticcheck // Connect's words
	if Retriable(err) {
		return err
	}
	return finalError{fmt.Errorf("%w; errors.deadletterqueue.topic.replication.factor can be no more than there are brokers", err)}
}

// Isolates says whether records that the target refuses go to the queue. Without one they end the task, however tolerant it is:
// nothing would be left of them.
func (p *errorPolicy) Isolates() bool { return p.tolerate && p.queue != "" }

// Report counts and logs a record, puts it into the queue, and says whether the task goes on without it.
func (p *errorPolicy) Report(ctx context.Context, f *sinks.Failed) error {
	class := p.class(f.Stage, f.Err)
	p.note(f.Stage, class, p.consumed(f.Record), f.Err)
	if p.queue != "" {
		p.send(ctx, f, class)
	}
	if p.tolerate {
		p.counts.skipped.Add(1)
		return nil
	}
	return errors.Join(&ToleranceError{Stage: f.Stage, Err: f.Err}, p.Flush(ctx))
}

// note counts a failure, and logs it where that is asked for.
func (p *errorPolicy) note(stage change.Stage, class, record string, err error) {
	p.counts.failures.Add(1)
	p.counts.last.Store(time.Now().UnixMilli())
	if !p.log {
		return
	}
	p.counts.logged.Add(1)
	what := fmt.Sprintf("Error encountered in task %s-%d. Executing stage '%s' with class '%s'", p.connector, p.task, stage, class)
	if p.messages {
		what += ", where " + record
	}
	p.logger.Error(what+".", "error", RedactText(err.Error())) //nolint:sloglint // Connect's words
}

// Tolerate takes a record of a source that failed: nil leaves it out.
func (p *errorPolicy) Tolerate(subject string, err error) error {
	stage := change.StageTransform
	var at *change.StageError
	if errors.As(err, &at) {
		stage, err = at.Stage, at.Err
	}
	p.note(stage, p.class(stage, err), "source record is of "+subject, err)
	if p.tolerate {
		p.counts.skipped.Add(1)
		return nil
	}
	return &ToleranceError{Stage: stage, Err: err}
}

// class names what refused a record.
func (p *errorPolicy) class(stage change.Stage, err error) string {
	var named interface{ Class() string }
	if errors.As(err, &named) {
		return named.Class()
	}
	return p.classes[stage]
}

// consumed tells which record of a topic it is, as Kafka Connect's log does.
func (p *errorPolicy) consumed(r *topic.Record) string {
	return fmt.Sprintf("consumed record is {topic='%s', partition=%d, offset=%d, timestamp=%d, timestampType=CreateTime}", r.Topic, r.Partition, r.Offset, r.TimeMillis)
}

// send appends a record to the queue, as it was read.
func (p *errorPolicy) send(ctx context.Context, f *sinks.Failed, class string) {
	r := topic.Record{
		Topic: p.queue, Partition: topic.AnyPartition, TimeMillis: f.Record.TimeMillis,
		Key: owned(f.Record.Key), Value: owned(f.Record.Value), Headers: ownedHeaders(f.Record.Headers),
	}
	if p.context {
		r.Headers = append(r.Headers, p.contextHeaders(f, class)...)
	}
	p.mu.Lock()
	if p.pending++; p.idle == nil {
		p.idle = make(chan struct{})
	}
	p.mu.Unlock()
	p.topics.Append(ctx, topic.Unit{Records: []topic.Record{r}}, p.sent)
}

// sent notes that a record is in the queue, or why it is not.
func (p *errorPolicy) sent(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.counts.deadFailures.Add(1)
		p.failed = errors.Join(p.failed, fmt.Errorf("write to the dead letter queue %q: %w", p.queue, err))
	} else {
		p.counts.dead.Add(1)
	}
	if p.pending--; p.pending == 0 {
		close(p.idle)
		p.idle = nil
	}
}

// owned is a copy of what belongs to a cursor.
func owned(d topic.Data) topic.Data {
	if d.Body != nil {
		d.Body = append([]byte{}, d.Body...)
	}
	return d
}

func ownedHeaders(headers []topic.Header) []topic.Header {
	const context = 10
	out := make([]topic.Header, 0, len(headers)+context)
	for _, h := range headers {
		if h.Value != nil {
			h.Value = append([]byte{}, h.Value...)
		}
		out = append(out, h)
	}
	return out
}

// contextHeaders tell the error, in the order of Kafka Connect.
func (p *errorPolicy) contextHeaders(f *sinks.Failed, class string) []topic.Header {
	exception, message := exceptionOf(f.Err)
	text := func(name, value string) topic.Header {
		return topic.Header{Key: errorHeader + name, Value: []byte(value)}
	}
	return []topic.Header{
		text("topic", f.Record.Topic),
		text("partition", strconv.Itoa(int(f.Record.Partition))),
		text("offset", strconv.FormatInt(f.Record.Offset, 10)),
		text("connector.name", p.connector),
		text("task.id", strconv.Itoa(p.task)),
		text("stage", string(f.Stage)),
		text("class.name", class),
		text("exception.class.name", exception),
		text("exception.message", RedactText(message)),
		text("exception.stacktrace", RedactText(stackOf(f.Err))),
	}
}

// exceptionOf is the Java class that stands for an error, and its message without that of the cause.
func exceptionOf(err error) (class, message string) {
	var data *emitter.DataError
	var java interface {
		error
		Exception() string
	}
	var row *sinks.RowError
	switch {
	case errors.As(err, &java):
		return java.Exception(), java.Error()
	case errors.As(err, &data):
		return dataException, data.Message
	case errors.As(err, &row):
		return connectException, row.Err.Error()
	}
	return connectException, err.Error()
}

// stackOf is the trace of an error: the exception with its causes, and where it came up.
func stackOf(err error, places ...string) string {
	class, message := exceptionOf(err)
	out := class + ": " + message + "\n"
	for _, p := range places {
		out += "\tat " + p + "\n"
	}
	var data *emitter.DataError
	if !errors.As(err, &data) {
		return out
	}
	if data.Field != "" {
		out += "\tat field " + data.Field + "\n"
	}
	if data.Err != nil {
		out += "Caused by: " + serializationException + ": " + data.Err.Error() + "\n"
	}
	return out
}

// Flush waits until the queue has what was reported.
func (p *errorPolicy) Flush(ctx context.Context) error {
	p.mu.Lock()
	idle := p.idle
	p.mu.Unlock()
	if idle != nil {
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// ToleranceError ends a task whose errors.tolerance is none. Its trace is that of Kafka Connect.
type ToleranceError struct {
	Stage change.Stage
	Err   error
}

// Error is that of the record.
func (e *ToleranceError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *ToleranceError) Unwrap() error { return e.Err }

// Retriable is false: the record fails again.
func (*ToleranceError) Retriable() bool { return false }

// Temporary is false, whatever the cause says: its retries are used up.
func (*ToleranceError) Temporary() bool { return false }
