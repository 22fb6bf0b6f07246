// SPDX-License-Identifier: Apache-2.0

package transform_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/config"
	"freshet/emitter/transform"
	"freshet/test/notation"
)

// goldenCase is a line of connect/smt: see the README there.
type goldenCase struct {
	Title, Class, Kind string
	Config             map[string]string
	In                 *goldenRecord
	Out                json.RawMessage // a record, null for one that is dropped, or what a predicate says
	Error              [][2]string
	ConfigError        [][2]string
}

type goldenRecord struct {
	Topic       string
	Partition   *int32
	KeySchema   json.RawMessage
	Key         json.RawMessage
	ValueSchema json.RawMessage
	Value       json.RawMessage
	Timestamp   *int64
	Headers     [][3]json.RawMessage
	Offset      int64
}

// record makes the record.
func (g *goldenRecord) record(t testing.TB, kind string) *transform.Record {
	t.Helper()
	b := &change.Batch{}
	r := &transform.Record{
		Topic: g.Topic, Partition: -1, Sink: kind != "source", Offset: g.Offset, TimeMillis: transform.NoTime, Data: b,
		KeyType: notation.Type(t, g.KeySchema), ValueType: notation.Type(t, g.ValueSchema),
	}
	r.Key, r.Value = notation.Value(t, b, r.KeyType, g.Key), notation.Value(t, b, r.ValueType, g.Value)
	if g.Partition != nil {
		r.Partition = *g.Partition
	}
	if g.Timestamp != nil {
		r.TimeMillis = *g.Timestamp
	}
	for _, h := range g.Headers {
		var name string
		require.NoError(t, json.Unmarshal(h[0], &name))
		typ := notation.Type(t, h[1])
		r.Headers = append(r.Headers, transform.Header{Key: name, Type: typ, Value: notation.Value(t, b, typ, h[2])})
	}
	return r
}

// shown is a record as text: all that a transform can change. Types are compared on their own.
func shown(r *transform.Record) string {
	var s strings.Builder
	fmt.Fprintf(&s, "topic %q partition %d time %d\nkey %s\nvalue %s", r.Topic, r.Partition, r.TimeMillis, notation.Render(r.Data, r.Key), notation.Render(r.Data, r.Value))
	for _, h := range r.Headers {
		fmt.Fprintf(&s, "\nheader %q %s", h.Key, notation.Render(r.Data, h.Value))
	}
	return s.String()
}

// unlike is why a case cannot be compared as it is, "" for all others; same says that it fails here, too, and only the words
// are others.
func (c *goldenCase) unlike() (why string, same bool) {
	said := ""
	for _, e := range append(c.Error, c.ConfigError...) {
		said += e[0] + ": " + e[1] + "\n"
	}
	switch {
	case strings.Contains(said, "java.lang.Integer objects"):
		return "whole numbers without a schema are all of one width here", false
	case strings.Contains(said, "class [B"), strings.Contains(said, "Arrays$ArrayList"):
		return "the class of Java that the recorder gave the value as", true
	case strings.Contains(said, "NullPointerException"), strings.Contains(said, "@<hash>"):
		return "words of the Java machine", true
	case strings.Contains(said, "Timestamp missing on record"):
		return "values of rows are not told in messages here", true
	case strings.Contains(said, "IndexOutOfBounds"), strings.Contains(said, "group reference"), strings.Contains(said, "Illegal pattern") && c.Error != nil:
		return "refused at validation, before there is a record", true
	case strings.HasSuffix(c.Class, ".RegexRouter") && c.Config["replacement"] == "" && c.ConfigError == nil:
		return "a topic without a name is refused at validation", true
	}
	return "", false
}

func TestGolden(t *testing.T) {
	for _, file := range goldenFiles {
		t.Run(file, func(t *testing.T) {
			lines := notation.Lines(t, filepath.Join("connect", "smt", file+".jsonl"))
			require.NotEmpty(t, lines)
			for i, line := range lines {
				var c goldenCase
				require.NoError(t, json.Unmarshal(line, &c))
				t.Run(fmt.Sprintf("%d %s", i+1, c.Title), func(t *testing.T) { c.check(t) })
			}
		})
	}
}

// chain is the transform of a case, or Filter behind its predicate.
func (c *goldenCase) chain() (transform.Chain, []config.Problem, string) {
	cfg := map[string]string{"transforms": "t", "transforms.t.type": c.Class}
	prefix := "transforms.t."
	if strings.Contains(c.Class, ".predicates.") {
		cfg = map[string]string{
			"transforms": "t", "transforms.t.type": "org.apache.kafka.connect.transforms.Filter", "transforms.t.predicate": "p",
			"predicates": "p", "predicates.p.type": c.Class,
		}
		prefix = "predicates.p."
	}
	for name, value := range c.Config {
		cfg[prefix+name] = value
	}
	chain, problems := transform.Parse(cfg)
	return chain, problems, prefix
}

func (c *goldenCase) check(t *testing.T) {
	why, same := c.unlike()
	if why != "" && !same {
		t.Logf("not compared: %s", why)
		return
	}
	chain, problems, prefix := c.chain()
	if errs := config.Errors(problems); c.ConfigError != nil || same && len(errs) > 0 {
		require.NotEmpty(t, errs)
		if why == "" {
			require.Equal(t, c.ConfigError[0][1], strings.ReplaceAll(errs[0].Message, prefix, ""))
		}
		return
	}
	require.Empty(t, problems)
	r := c.In.record(t, c.Kind)
	keep, err := chain.Apply(r)
	if c.Error != nil {
		var refused *transform.Error
		require.ErrorAs(t, err, &refused)
		require.Equal(t, c.Class, refused.Class())
		if why == "" {
			require.Equal(t, c.Error[0][0], refused.Exception())
			require.Equal(t, c.Error[0][1], refused.Message)
		}
		return
	}
	require.NoError(t, err)
	switch string(c.Out) {
	case "null", "true":
		require.False(t, keep)
		return
	case "false":
		require.True(t, keep)
		return
	}
	require.True(t, keep)
	var out goldenRecord
	require.NoError(t, json.Unmarshal(c.Out, &out))
	want := out.record(t, c.Kind)
	require.Equal(t, shown(want), shown(r))
	require.Equal(t, want.KeyType, r.KeyType)
	require.Equal(t, want.ValueType, r.ValueType)
	for i := range want.Headers {
		require.Equal(t, want.Headers[i].Type, r.Headers[i].Type)
	}
}

// goldenFiles are the recordings of connect/smt.
var goldenFiles = []string{
	"Cast", "DropHeaders", "ExtractField", "Filter", "Flatten", "HeaderFrom", "HoistField", "InsertField", "InsertHeader", "MaskField",
	"RegexRouter", "ReplaceField", "SetSchemaMetadata", "TimestampConverter", "TimestampRouter", "ValueToKey", "predicates",
}
