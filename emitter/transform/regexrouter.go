// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"fmt"
	"regexp"
	"strings"

	"freshet/config"
)

var regexRouterKind = kind{
	plugin: config.Plugin{
		Name: "RegexRouter", Class: "org.apache.kafka.connect.transforms.RegexRouter", Kind: "transformation", Version: Version,
		Def: config.Def{Keys: []config.Key{
			{
				Name: "regex", Type: config.String, Required: true, Importance: config.High,
				Doc:   "Regular expression that the whole topic name must match.",
				Check: func(s string, _ config.Values) string { return invalidRegex(s) },
			},
			{
				Name: "replacement", Type: config.String, Required: true, Importance: config.High,
				Doc: "What takes the place of the first match; $1 and ${name} are groups.",
				Check: func(s string, _ config.Values) string {
					if s == "" {
						return "a topic cannot be without a name"
					}
					_, reason := goTemplate(s, 9)
					return reason
				},
			},
		}},
	},
	make: func(v config.Values) (Transform, error) {
		return newRegexRouter(v.Get("regex"), v.Get("replacement"))
	},
}

// regexRouter renames topics that match as a whole; only the first match is replaced, as Kafka's does.
type regexRouter struct {
	whole, part *regexp.Regexp
	template    string
}

var _ Router = (*regexRouter)(nil)

func newRegexRouter(regex, replacement string) (*regexRouter, error) {
	part, err := regexp.Compile(regex)
	if err != nil {
		return nil, fmt.Errorf("compile regex %q: %w", regex, err)
	}
	whole, err := regexp.Compile(`\A(?:` + regex + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("compile regex %q: %w", regex, err)
	}
	template, reason := goTemplate(replacement, part.NumSubexp())
	if reason != "" {
		return nil, fmt.Errorf("replacement %q: %s", replacement, reason)
	}
	return &regexRouter{whole, part, template}, nil
}

// Apply renames the record's topic.
func (t *regexRouter) Apply(r *Record) (bool, error) {
	r.Topic = t.Route(r.Topic)
	return true, nil
}

// Route returns the new name.
func (t *regexRouter) Route(topic string) string {
	if !t.whole.MatchString(topic) {
		return topic
	}
	m := t.part.FindStringSubmatchIndex(topic)
	if m == nil {
		return topic
	}
	out := append([]byte(nil), topic[:m[0]]...)
	out = t.part.ExpandString(out, t.template, topic, m)
	return string(append(out, topic[m[1]:]...))
}

// goTemplate translates a replacement of java.util.regex to one of package regexp: Java takes as many digits after a $
// as name a group and a backslash before any character for that character; Go wants braces and $$ for a dollar. groups is the number of groups in the regex. reason
// tells what Java would refuse.
func goTemplate(java string, groups int) (template, reason string) {
	var out strings.Builder
	for i := 0; i < len(java); i++ {
		switch c := java[i]; {
		case c == '\\':
			if i++; i == len(java) {
				return "", "character to be escaped is missing"
			}
			if java[i] == '$' {
				out.WriteString("$$")
			} else {
				out.WriteByte(java[i])
			}
		case c == '$' && i+1 < len(java) && java[i+1] == '{':
			end := strings.IndexByte(java[i:], '}')
			if end < 0 {
				return "", "named capturing group is missing trailing '}'"
			}
			out.WriteString(java[i : i+end+1])
			i += end
		case c == '$':
			if i+1 == len(java) || java[i+1] < '0' || java[i+1] > '9' {
				return "", "Illegal group reference"
			}
			if int(java[i+1]-'0') > groups {
				return "", "No group " + java[i+1:i+2]
			}
			n := 1
			for g := int(java[i+1] - '0'); i+n+1 < len(java) && java[i+n+1] >= '0' && java[i+n+1] <= '9'; n++ {
				if g = g*10 + int(java[i+n+1]-'0'); g > groups {
					break
				}
			}
			out.WriteString("${" + java[i+1:i+n+1] + "}")
			i += n
		default:
			out.WriteByte(c)
		}
	}
	return out.String(), ""
}

// Rewriter makes the function that renames as RegexRouter does: names that match as a whole, once. Groups of the
// replacement are those of Java.
func Rewriter(regex, replacement string) (func(name string) string, error) {
	t, err := newRegexRouter(regex, replacement)
	if err != nil {
		return nil, err
	}
	return t.Route, nil
}
