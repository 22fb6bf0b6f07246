// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"context"
	"log/slog"
	"time"

	"freshet/capture"
	"freshet/change"
	"freshet/config"
	"freshet/emitter/transform"
	"freshet/schema"
)

// HeaderFormat encodes header values: the emitter's side of a header converter.
type HeaderFormat interface {
	// AppendHeader appends the wire form of v, a value of b with schema t.
	AppendHeader(dst []byte, t *schema.Type, b *change.Batch, v change.Value) ([]byte, error)
}

// Options is what a Pipeline needs besides its reader and log.
type Options struct {
	Connector string // name of the connector
	Task      int
	MarkKey   string // key of the position in the log
	From      string // the mark of the last durable unit, "" for none
	Source    SourcePlan
	Topics    TopicNames
	Key       Format
	Value     Format
	Header    HeaderFormat
	Chain     transform.Chain

	Tombstones     bool // a tombstone after each delete
	ContextHeaders bool
	RunID          string // in the context headers
	Skip           map[change.Op]bool
	SkipUnchanged  bool   // leave out updates whose rows are equal
	OnEventFailure string // fail, warn, skip or ignore
	// Tolerate, if not nil, takes the error of a record, of which subject tells more: nil leaves the record out.
	Tolerate func(subject string, err error) error

	TransactionTopic string // of transaction metadata; "" for none
	Messages         *capture.MessageBlock
	Heartbeat        Heartbeat
	Notices          Notices

	DrainTimeout    time.Duration
	BatchesInFlight int
	Stats           *Stats // counts on over several pipelines; nil is new ones
	Log             *slog.Logger
	Now             func() time.Time
}

// Heartbeat says when heartbeats are written. With Interval 0 there are none.
type Heartbeat struct {
	Interval time.Duration
	Topic    string
	// Beat, if not nil, is called with every heartbeat, one call at a time. Its error ends the pipeline.
	Beat func(ctx context.Context) error
}

// withDefaults fills what is not set.
func (o Options) withDefaults() Options {
	if o.DrainTimeout == 0 {
		o.DrainTimeout = 10 * time.Second
	}
	if o.BatchesInFlight == 0 {
		o.BatchesInFlight = 4
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Stats == nil {
		o.Stats = &Stats{}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.OnEventFailure == "" {
		o.OnEventFailure = "fail"
	}
	return o
}

// ParseOptions reads the properties that all Debezium source connectors share.
func ParseOptions(v config.Values, d capture.Description) (Options, error) {
	names, err := parseTopicNames(v)
	if err != nil {
		return Options{}, err
	}
	o := Options{
		Source:         SourcePlan{Block: d.Source, Version: d.Version, Connector: d.Source.Connector, Name: v.Get("topic.prefix")},
		Topics:         names,
		Tombstones:     v.Bool("tombstones.on.delete"),
		ContextHeaders: v.Bool("extended.headers.enabled"),
		Skip:           map[change.Op]bool{},
		SkipUnchanged:  v.Bool("skip.messages.without.change"),
		OnEventFailure: v.Get("event.processing.failure.handling.mode"),
		Messages:       d.Messages,
		Notices:        parseNotices(v),
	}
	if v.Bool("provide.transaction.metadata") {
		o.TransactionTopic = names.Transactions()
	}
	o.Heartbeat.Interval = v.Millis("heartbeat.interval.ms")
	o.Heartbeat.Topic = names.Heartbeats()
	for _, s := range v.List("skipped.operations") {
		if len(s) == 1 {
			o.Skip[change.Op(s[0])] = true
		}
	}
	return o, nil
}
