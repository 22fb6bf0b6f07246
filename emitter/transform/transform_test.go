// SPDX-License-Identifier: Apache-2.0

package transform_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/config"
	"freshet/emitter/transform"
)

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  map[string]string
		want string
	}{
		{"no type", map[string]string{"transforms": "a"}, `Missing required configuration "transforms.a.type" which has no default value.`},
		{"unknown class", map[string]string{"transforms": "a", "transforms.a.type": "x.Y"}, "Invalid value x.Y for configuration transforms.a.type: not served yet, or unknown; served are "},
		{"no regex", map[string]string{"transforms": "a", "transforms.a.type": "RegexRouter", "transforms.a.replacement": "x"}, `Missing required configuration "transforms.a.regex" which has no default value.`},
		{"bad regex", map[string]string{"transforms": "a", "transforms.a.type": "RegexRouter", "transforms.a.regex": "(", "transforms.a.replacement": "x"}, "Invalid value ( for configuration transforms.a.regex: Invalid regex: error parsing regexp: missing closing ): `(`"},
		{"bad mode", map[string]string{"transforms": "a", "transforms.a.type": "ExtractNewRecordState", "transforms.a.delete.tombstone.handling.mode": "droop"}, "Invalid value droop for configuration transforms.a.delete.tombstone.handling.mode: String must be one of: drop, tombstone, rewrite, rewrite-with-tombstone, delete-to-tombstone"},
		{"negate of no truth", map[string]string{"transforms": "a", "transforms.a.type": "ExtractNewRecordState", "transforms.a.negate": "x"}, "Invalid value x for configuration transforms.a.negate: Expected value to be either true or false"},
		{"predicate without type", map[string]string{"predicates": "p"}, `Missing required configuration "predicates.p.type" which has no default value.`},
		{"unknown predicate class", map[string]string{"predicates": "p", "predicates.p.type": "x.Y"}, "Invalid value x.Y for configuration predicates.p.type: not served yet, or unknown; served are org.apache.kafka.connect.transforms.predicates.HasHeaderKey, org.apache.kafka.connect.transforms.predicates.RecordIsTombstone, org.apache.kafka.connect.transforms.predicates.TopicNameMatches"},
		{"bad pattern", map[string]string{"predicates": "p", "predicates.p.type": "TopicNameMatches", "predicates.p.pattern": "("}, "Invalid value ( for configuration predicates.p.pattern: Invalid regex: error parsing regexp: missing closing ): `(`"},
	} {
		t.Run(c.name, func(t *testing.T) {
			chain, problems := transform.Parse(c.cfg)
			require.Nil(t, chain)
			require.Contains(t, config.Errors(problems)[0].Message, c.want)
		})
	}
}

func TestParseWarnsOfUnknownSettings(t *testing.T) {
	chain, problems := transform.Parse(map[string]string{
		"transforms": "a", "transforms.a.type": "RegexRouter", "transforms.a.regex": "x", "transforms.a.replacement": "y", "transforms.a.nosuch": "1",
	})
	require.Len(t, chain, 1)
	require.Len(t, problems, 1)
	require.True(t, problems[0].Warning)
	require.Contains(t, problems[0].Message, "transforms.a.nosuch")
}

func TestUnknownPredicateFailsTheTask(t *testing.T) {
	chain, problems := transform.Parse(map[string]string{"transforms": "a", "transforms.a.type": "ExtractNewRecordState", "transforms.a.predicate": "nope"})
	require.Len(t, problems, 1)
	require.True(t, problems[0].Warning)
	require.Contains(t, problems[0].Message, `"nope"`)
	require.EqualError(t, chain.Ready(), "Unknown configuration 'predicates.nope.plugin.version'")
	_, err := chain.Apply(event("c", "a"))
	require.Error(t, err)
}

func TestUnusedPredicateIsWarnedOf(t *testing.T) {
	chain, problems := transform.Parse(map[string]string{"predicates": "p", "predicates.p.type": "RecordIsTombstone"})
	require.Empty(t, chain)
	require.NoError(t, chain.Ready())
	require.Len(t, problems, 1)
	require.True(t, problems[0].Warning)
	require.Contains(t, problems[0].Message, `"p" is named by no transform`)
}

func TestPredicates(t *testing.T) {
	header := func(r *transform.Record) { r.Headers = []transform.Header{{Key: "h"}} }
	for _, c := range []struct {
		name, class, key, value, negate string
		set                             func(r *transform.Record)
		dropped                         bool // by the transform behind the predicate
	}{
		{name: "topic", class: "TopicNameMatches", key: "pattern", value: "p..", dropped: true},
		{name: "part of the topic", class: "TopicNameMatches", key: "pattern", value: "p"},
		{name: "no topic", class: "TopicNameMatches", key: "pattern", value: "(p..)?", set: func(r *transform.Record) { r.Topic = "" }, dropped: true},
		{name: "not the topic", class: "TopicNameMatches", key: "pattern", value: "p", negate: "TRUE", dropped: true},
		{name: "header", class: "HasHeaderKey", key: "name", value: "h", set: header, dropped: true},
		{name: "another header", class: "HasHeaderKey", key: "name", value: "H", set: header},
		{name: "tombstone", class: "RecordIsTombstone", set: func(r *transform.Record) { r.SetValue(nil, change.NullValue()) }, dropped: true},
		{name: "no tombstone", class: "RecordIsTombstone", negate: "false"},
		{name: "value not made", class: "RecordIsTombstone", negate: "true", set: func(r *transform.Record) { r.Value, r.Lazy = change.NullValue(), neverLoaded }, dropped: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := map[string]string{
				"transforms": "a", "transforms.a.type": "Filter", "transforms.a.predicate": "p", "predicates": "p", "predicates.p.type": c.class, "transforms.a.negate": c.negate,
			}
			if c.key != "" {
				cfg["predicates.p."+c.key] = c.value
			}
			chain, problems := transform.Parse(cfg)
			require.Empty(t, problems)
			r := event("c", "a")
			if c.set != nil {
				c.set(r)
			}
			keep, err := chain.Apply(r)
			require.NoError(t, err)
			require.Equal(t, c.dropped, !keep)
		})
	}
}

// neverLoaded is the value of a record that nothing is to ask for.
func neverLoaded(*transform.Record) error { panic("the value was asked for") }
