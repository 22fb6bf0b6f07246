// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"fmt"
	"strings"

	"freshet/config"
	"freshet/emitter/transform/dateformat"
)

var timestampRouterKind = kind{
	plugin: config.Plugin{
		Name: "TimestampRouter", Class: "org.apache.kafka.connect.transforms.TimestampRouter", Kind: "transformation", Version: Version,
		Def: config.Def{Keys: []config.Key{
			{
				Name: "topic.format", Type: config.String, Default: "${topic}-${timestamp}", HasDefault: true, Importance: config.High,
				Doc: "The new topic: ${topic} is the old one, ${timestamp} the record's time.",
			},
			{
				Name: "timestamp.format", Type: config.String, Default: "yyyyMMdd", HasDefault: true, Importance: config.High,
				Doc: "How the time is written, as java.text.SimpleDateFormat has it, in UTC.",
				Check: func(s string, _ config.Values) string {
					if _, err := dateformat.Compile(s); err != nil {
						return err.Error()
					}
					return ""
				},
			},
		}},
	},
	make: func(v config.Values) (Transform, error) {
		f, err := dateformat.Compile(v.Get("timestamp.format"))
		if err != nil {
			return nil, fmt.Errorf("timestamp.format %q: %w", v.Get("timestamp.format"), err)
		}
		return &timestampRouter{topic: v.Get("topic.format"), time: f}, nil
	},
}

// timestampRouter puts the record's time into its topic.
type timestampRouter struct {
	topic string
	time  *dateformat.Format
	text  []byte // reused

	// The record before: most go to the topic of that one.
	from, at, to string
}

// Apply looks at topic and time only.
func (t *timestampRouter) Apply(r *Record) (bool, error) {
	if r.TimeMillis == NoTime {
		if r.Sink {
			return false, refuse("Timestamp missing on record: topic %s, partition %d, offset %d", r.Topic, r.Partition, r.Offset)
		}
		return false, refuse("Timestamp missing on record: topic %s; the source gives its records none: put this transform before a sink", r.Topic)
	}
	t.text = t.time.Append(t.text[:0], r.TimeMillis)
	if r.Topic != t.from || string(t.text) != t.at {
		t.from, t.at = strings.Clone(r.Topic), string(t.text)
		t.to = strings.ReplaceAll(strings.ReplaceAll(t.topic, "${topic}", t.from), "${timestamp}", t.at)
	}
	r.Topic = t.to
	return true, nil
}
