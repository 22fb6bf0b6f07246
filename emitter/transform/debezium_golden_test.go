// SPDX-License-Identifier: Apache-2.0

package transform_test

import (
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/config"
	"freshet/emitter/transform"
	"freshet/schema"
	"freshet/test/notation"
)

// TestGoldenDebezium runs the cases that were put through the classes of Debezium 3.6.1.
func TestGoldenDebezium(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(notation.Dir(), "debezium", "smt", "*.jsonl"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".jsonl")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			for line := range strings.SplitSeq(strings.TrimSuffix(string(text), "\n"), "\n") {
				var c goldenCase
				require.NoError(t, json.Unmarshal([]byte(line), &c))
				t.Run(c.Title, func(t *testing.T) {
					for pattern, reason := range debeziumDifferent {
						ok, err := path.Match(pattern, name+"/"+strings.NewReplacer("/", "|", "*", ".").Replace(c.Title))
						require.NoError(t, err)
						if ok {
							c.try(t)
							t.Log("not compared: " + reason)
							return
						}
					}
					c.checkDebezium(t)
				})
			}
		})
	}
}

// checkDebezium runs a case. Texts of refused settings are not compared: the original complains at the start of a task, of
// properties by names that a connector does not have.
func (c *goldenCase) checkDebezium(t *testing.T) {
	chain, problems, _ := c.chain()
	if c.ConfigError != nil {
		require.NotEmpty(t, config.Errors(problems), "%v", c.ConfigError)
		return
	}
	require.Empty(t, config.Errors(problems))
	r := c.In.record(t, c.Kind)
	r.KeyType, r.ValueType = shared(r.KeyType), shared(r.ValueType)
	keep, err := chain.Apply(r)
	if c.Error != nil {
		var refused *transform.Error
		require.ErrorAs(t, err, &refused)
		if !slices.ContainsFunc(c.Error, func(e [2]string) bool { return strings.HasPrefix(e[0], "com.fasterxml.") }) { // its words are no contract
			require.Equal(t, [2]string{refused.Exception(), refused.Message}, c.Error[0])
		}
		return
	}
	require.NoError(t, err)
	require.Equal(t, string(c.Out) != "null", keep, "whether the record stays")
	if !keep {
		return
	}
	var out goldenRecord
	require.NoError(t, json.Unmarshal(c.Out, &out))
	want := out.record(t, c.Kind)
	require.Equal(t, shown(want), shown(r))
	require.Equal(t, shared(want.KeyType), shared(r.KeyType))
	require.Equal(t, shared(want.ValueType), shared(r.ValueType))
	for i := range want.Headers {
		require.Equal(t, shared(want.Headers[i].Type), shared(r.Headers[i].Type))
	}
}

// try runs a case without looking at what comes out.
func (c *goldenCase) try(t *testing.T) {
	if chain, problems, _ := c.chain(); len(config.Errors(problems)) == 0 {
		_, _ = chain.Apply(c.In.record(t, c.Kind))
	}
}

// shared makes fields of equal types share one, as in a worker, and empty lists of fields nil.
func shared(t *schema.Type) *schema.Type {
	if t == nil {
		return nil
	}
	t.Elem = shared(t.Elem)
	if len(t.Fields) == 0 {
		t.Fields = nil
	}
	for i := range t.Fields {
		t.Fields[i].Type = shared(t.Fields[i].Type)
		for j := range i {
			if reflect.DeepEqual(t.Fields[i].Type, t.Fields[j].Type) {
				t.Fields[i].Type = t.Fields[j].Type
				break
			}
		}
	}
	return t
}

// debeziumDifferent are the cases, by file and title, in which this is better than the original, or which only tell of its
// own inside.
var debeziumDifferent = map[string]string{
	"ByLogicalTableRouter/bad group":                                                          "refused at validation",
	"ByLogicalTableRouter/find is no match":                                                   "the replacement names a group that there is not: refused at validation",
	"ByLogicalTableRouter/envelope without before":                                            "routed like any other, instead of a NullPointerException",
	"ExtractChangedRecordState/containers equal":                                              "equal bytes are equal",
	"PartitionRouting/before of a create":                                                     "a field of a row that is not there is left out, instead of a NullPointerException",
	"PartitionRouting/transaction":                                                            "the same of a block",
	"HeaderToValue/copy: schemaless map":                                                      "the message names another class of maps",
	"HeaderToValue/deep *":                                                                    "paths may be of any length; structs keep being optional",
	"HeaderToValue/in after *":                                                                "structs keep being optional: the other events have none",
	"HeaderToValue/in before and after *":                                                     "structs keep being optional",
	"HeaderToValue/transaction *":                                                             "structs keep being optional",
	"TimezoneConverter/zone 'EST'":                                                            "the zone is known",
	"TimezoneConverter/zone '+25:00'":                                                         "refused at validation",
	"TimezoneConverter/null with a default":                                                   "a null stays null",
	"DecodeLogicalDecodingMessageContent/defaults: tombstone":                                 "passes, instead of a NullPointerException",
	"DecodeLogicalDecodingMessageContent/defaults: schemaless map":                            "passes, instead of a NullPointerException",
	"DecodeLogicalDecodingMessageContent/content null":                                        "a message of our own, instead of that of a NullPointerException",
	"DecodeLogicalDecodingMessageContent/content \\[*":                                        "refused with a message that says why",
	"DecodeLogicalDecodingMessageContent/nulls \\[*":                                          "refused with a message that says why",
	"DecodeLogicalDecodingMessageContent/* {\"a\":\\[{\"x\":1},{\"x\":\"s\"}\\]}":             "the message names the value",
	"DecodeLogicalDecodingMessageContent/* *9223372036854775808*":                             "the message names the value",
	"DecodeLogicalDecodingMessageContent/* {\"a\":\\[{\"x\":{\"y\":1}},{\"x\":{\"z\":2}}\\]}": "nothing is lost of objects that differ inside",
	"EventRouter/* {\"a\":\\[{\"x\":{\"y\":1}},{\"x\":{\"z\":2}}\\]}":                         "nothing is lost of objects that differ inside",
	"TimezoneConverter/ZonedTimestamp 'infinity'":                                             "infinite in every zone",
	"TimezoneConverter/Zoned* '*'":                                                            "the message does not tell where reading stopped",
	"EventRouter/unknown placement":                                                           "refused at validation",
	"EventRouter/unknown group":                                                               "refused at validation",
	"EventRouter/route null":                                                                  "the message says which column",
	"EventRouter/expand* \\[*":                                                                "arrays stay texts, instead of a schema that the value does not have",
	"EventRouter/expand* {\"a\":\\[{\"x\":1},{\"x\":\"s\"}\\]}":                               "stays a text, instead of a schema that the value does not have",
	"EventRouter/expand* *9223372036854775808*":                                               "stays a text, instead of a schema that the value does not have",
	"EventRouter/expand in envelope {\"a\":\\[\\]}":                                           "table.json.payload.empty.array.behavior is of a later version",
	"EventRouter/expand in envelope {\"a\":\\[\\[\\]\\]}":                                     "table.json.payload.empty.array.behavior is of a later version",
	"EventRouter/expand adjusts names":                                                        "members whose names are adjusted keep their values",
}
