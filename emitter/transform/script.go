// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"fmt"
	"regexp"
	"strings"

	"freshet/config"
)

var scriptFilterKind = kind{
	plugin: config.Plugin{
		Name: "io.debezium.transforms.Filter", Class: "io.debezium.transforms.Filter", Kind: "transformation", Version: debeziumVersion,
		Def: config.Def{Keys: scriptKeys(config.Key{
			Name: "condition", Type: config.String, Required: true, Importance: config.High, Width: config.WidthMedium, Display: "Filtering condition",
			Doc: "Expression that is true for the records to keep. The others are dropped.", Check: isExpression(conditionResult),
		})},
	},
	make: func(v config.Values) (Transform, error) {
		s, err := newScript(v, "condition", conditionResult)
		return &scriptFilter{s}, err
	},
}

var scriptRouterKind = kind{
	plugin: config.Plugin{
		Name: "ContentBasedRouter", Class: "io.debezium.transforms.ContentBasedRouter", Kind: "transformation", Version: debeziumVersion,
		Def: config.Def{Keys: scriptKeys(config.Key{
			Name: "topic.expression", Type: config.String, Required: true, Importance: config.High, Width: config.WidthMedium, Display: "Topic name expression",
			Doc: "Expression that gives the record's topic, or null for the one it has.", Check: isExpression(topicResult),
		})},
	},
	make: func(v config.Values) (Transform, error) {
		s, err := newScript(v, "topic.expression", topicResult)
		return &scriptRouter{s}, err
	},
}

// scriptKeys are the properties of transforms with an expression.
func scriptKeys(expression config.Key) []config.Key {
	return []config.Key{
		{
			Name: "topic.regex", Type: config.String, Importance: config.Low, Width: config.WidthLong, Display: "Topic regex",
			Doc: "Regular expression that the whole name of a topic must match for its records to be looked at. All others pass.", Check: isRegex,
		},
		{
			Name: "language", Type: config.String, Required: true, Importance: config.High, Width: config.WidthMedium, Display: "Expression language",
			Doc: "Language of the expression: cel, the Common Expression Language. docs/operations/expressions.md says how to write in it what was written in Groovy.",
			Check: func(s string, _ config.Values) string {
				if s == "cel" {
					return ""
				}
				return "only cel is served, the Common Expression Language, and no " + s + ". It has the same variables: value.op == 'u' && value.before.status != value.after.status means the same in both; " +
					"what differs is in the table of docs/operations/expressions.md. Set language=cel and translate the expression"
			},
		},
		expression,
		{
			Name: "null.handling.mode", Type: config.String, Default: "keep", HasDefault: true, Importance: config.Low, Width: config.WidthShort, Display: "Handle null records",
			Doc: "What becomes of tombstones: they pass (keep), are dropped (drop), or are put to the expression like others (evaluate).", Allowed: []string{"drop", "keep", "evaluate"},
		},
	}
}

// isExpression refuses what is no expression, where it is in the language that there is.
func isExpression(r result) func(string, config.Values) string {
	return func(s string, all config.Values) string {
		if strings.TrimSpace(all.Get("language")) != "cel" {
			return "" // said of the other property
		}
		if _, err := compileExpression(s, r); err != nil {
			return err.Error()
		}
		return ""
	}
}

// script is what transforms with an expression have in common.
type script struct {
	topics *regexp.Regexp // nil for all
	nulls  string         // null.handling.mode
	expr   *expression
	looked memo[string, bool] // topics
}

func newScript(v config.Values, property string, r result) (script, error) {
	s := script{nulls: v.Get("null.handling.mode")}
	if re := v.Get("topic.regex"); re != "" {
		var err error
		if s.topics, err = regexp.Compile(`\A(?:` + re + `)\z`); err != nil {
			return s, fmt.Errorf("compile topic.regex: %w", err)
		}
	}
	var err error
	s.expr, err = compileExpression(v.Get(property), r)
	return s, err
}

// asks says whether the expression is asked for a record, and else whether the record stays.
func (s *script) asks(r *Record) (asked, keep bool) {
	if s.topics != nil {
		ok, known := s.looked.get(r.Topic)
		if !known {
			ok = s.looked.put(strings.Clone(r.Topic), s.topics.MatchString(r.Topic))
		}
		if !ok {
			return false, true
		}
	}
	if s.nulls != "evaluate" && r.IsNull() {
		return false, s.nulls == "keep"
	}
	return true, true
}

// scriptFilter is Debezium's Filter: it keeps records for which an expression holds.
type scriptFilter struct{ script }

// Apply asks the expression.
func (t *scriptFilter) Apply(r *Record) (bool, error) {
	if asked, keep := t.asks(r); !asked {
		return keep, nil
	}
	return t.expr.holds(r)
}

// scriptRouter is Debezium's ContentBasedRouter: an expression says where records go.
type scriptRouter struct{ script }

// Apply asks the expression.
func (t *scriptRouter) Apply(r *Record) (bool, error) {
	if asked, keep := t.asks(r); !asked {
		return keep, nil
	}
	topic, ok, err := t.expr.text(r)
	if err != nil {
		return false, err
	}
	if ok {
		r.Topic = topic
	}
	return true, nil
}
