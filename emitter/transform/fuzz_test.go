// SPDX-License-Identifier: Apache-2.0

package transform_test

import (
	"errors"
	"strings"
	"testing"

	"freshet/config"
	"freshet/emitter/transform"
)

// FuzzExpression: whatever is written as a condition or topic is refused with a reason, or gives an answer for a record or
// refuses that, and ends.
func FuzzExpression(f *testing.F) {
	for _, s := range []string{
		"true", "value.op == 'u' && value.after.status != 'x'", "topic + '.' + value.op", "value.after.tags.exists(t, t == 'red')", "null",
		"header.tenant.value", "valueSchema.fields.op.type == 'STRING'", "value.after.price > 1.5 ? 'a' : null", "'a'.replace('', 'b').format([1])",
		"[1, 2].map(x, [3].map(y, x * y)).size() > 0", "value.after.attrs['size'] == 42", "b'\\xff' == value.after.data", "value['op'].matches('^u$')",
		"duration('1s') < duration('2s')", "{'a': value}.a.op", "1/0 == 0", "__null", "has(value.before.nosuch)", "((((", "'\\u0000'",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for class, property := range map[string]string{filterClass: "condition", routerClass: "topic.expression"} {
			chain, problems := transform.Parse(map[string]string{
				"transforms": "x", "transforms.x.type": class, "transforms.x.language": "cel", "transforms.x." + property: text,
			})
			if len(config.Errors(problems)) > 0 {
				continue
			}
			_, err := chain.Apply(sample())
			var refused *transform.Error
			if err != nil && !errors.As(err, &refused) {
				t.Fatalf("%q: %v", text, err)
			}
		}
	})
}

// FuzzConfiguration: whatever the settings of whatever transform and predicate, they are refused with a reason, or the
// transform changes, drops or refuses a record.
func FuzzConfiguration(f *testing.F) {
	plugins := transform.Plugins()
	for i, p := range plugins {
		var settings strings.Builder
		for _, k := range p.Def.Keys {
			value := k.Default
			if value == "" {
				value = "after"
			}
			settings.WriteString(k.Name + "=" + value + "\n")
		}
		f.Add(uint8(i), settings.String())
	}
	f.Add(uint8(0), "fields=a:int8,b\nspec=int32\nrenames=a:b,c:\ninclude=\nregex=(\nreplacement=$1\nformat=yyyy-MM-dd\ntarget.type=Timestamp")
	f.Fuzz(func(t *testing.T, which uint8, settings string) {
		p := plugins[int(which)%len(plugins)]
		cfg := map[string]string{"transforms": "x", "transforms.x.type": p.Class}
		name := "transforms.x."
		if p.Kind == "predicate" {
			cfg = map[string]string{
				"transforms": "x", "transforms.x.type": "org.apache.kafka.connect.transforms.Filter", "transforms.x.predicate": "p",
				"predicates": "p", "predicates.p.type": p.Class,
			}
			name = "predicates.p."
		}
		for line := range strings.SplitSeq(settings, "\n") {
			if key, value, ok := strings.Cut(line, "="); ok && key != "type" && key != "predicate" {
				cfg[name+key] = value
			}
		}
		chain, problems := transform.Parse(cfg)
		if len(config.Errors(problems)) > 0 {
			return
		}
		_, err := chain.Apply(sample())
		var refused *transform.Error
		if err != nil && !errors.As(err, &refused) {
			t.Fatalf("%v: %v", cfg, err)
		}
	})
}
