// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"freshet/config"
)

// Predicate says whether a transform is asked for a record. It is used by one goroutine at a time.
type Predicate interface {
	// Test looks at no more of the record than it needs.
	Test(r *Record) (bool, error)
}

// guarded is a transform with a predicate before it.
type guarded struct {
	Transform
	predicate Predicate
	negate    bool // asked where the predicate does not hold
}

// Apply asks the predicate, and then perhaps the transform.
func (g *guarded) Apply(r *Record) (bool, error) {
	holds, err := g.predicate.Test(r)
	if err != nil || holds == g.negate {
		return err == nil, err
	}
	return g.Transform.Apply(r)
}

// predicateKind is a predicate that can be configured.
type predicateKind struct {
	plugin config.Plugin
	make   func(v config.Values) (Predicate, error)
}

// predicateKinds is the list of predicates.
var predicateKinds = []predicateKind{hasHeaderKeyKind, recordIsTombstoneKind, topicNameMatchesKind}

// predicates are those of a connector, by alias.
type predicates struct {
	order []string
	named map[string]Predicate // nil where the predicate has problems of its own
	used  map[string]bool
}

func parsePredicates(cfg map[string]string) (*predicates, []config.Problem) {
	ps := &predicates{order: config.SplitList(cfg["predicates"]), named: map[string]Predicate{}, used: map[string]bool{}}
	var problems []config.Problem
	for _, alias := range ps.order {
		if _, again := ps.named[alias]; again {
			continue
		}
		p, found := parsePredicate(cfg, "predicates."+alias+".")
		ps.named[alias] = p
		problems = append(problems, found...)
	}
	return ps, problems
}

func parsePredicate(cfg map[string]string, prefix string) (Predicate, []config.Problem) {
	class := strings.TrimSpace(cfg[prefix+typeKey])
	if class == "" {
		return nil, []config.Problem{missingType(prefix)}
	}
	known := make([]string, len(predicateKinds))
	for i := range predicateKinds {
		k := &predicateKinds[i]
		if known[i] = k.plugin.Class; !k.plugin.Matches(class) {
			continue
		}
		v, problems := parseSettings(&k.plugin, settings(cfg, prefix, typeKey, versionKey), prefix)
		if len(config.Errors(problems)) > 0 {
			return nil, problems
		}
		p, err := k.make(v)
		if err != nil {
			problems = append(problems, config.Problem{Property: prefix + typeKey, Message: err.Error()})
		}
		return p, problems
	}
	return nil, []config.Problem{unknownType(prefix, class, known)}
}

// guard puts the predicate that a transform names before it.
func (ps *predicates) guard(cfg map[string]string, prefix string, t Transform) (Transform, []config.Problem) {
	var problems []config.Problem
	negate := strings.TrimSpace(cfg[prefix+negateKey])
	if negate != "" && !config.Boolean.Accepts(negate) {
		problems = append(problems, config.Problem{
			Property: prefix + negateKey,
			Message:  fmt.Sprintf("Invalid value %s for configuration %s: Expected value to be either true or false", cfg[prefix+negateKey], prefix+negateKey),
		})
	}
	alias := strings.TrimSpace(cfg[prefix+predicateKey])
	if alias == "" {
		return t, problems
	}
	p, declared := ps.named[alias]
	ps.used[alias] = true
	if !declared {
		problems = append(problems, config.Problem{
			Property: prefix + predicateKey, Warning: true,
			Message: fmt.Sprintf("The predicate %q of %s is not declared: the task will fail; add it to predicates, with predicates.%s.type", alias, prefix+predicateKey, alias),
		})
		p = missing(alias)
	}
	if t == nil || p == nil {
		return nil, problems
	}
	return &guarded{t, p, strings.EqualFold(negate, "true")}, problems
}

// unused warns of predicates that no transform names.
func (ps *predicates) unused() []config.Problem {
	var problems []config.Problem
	for i, alias := range ps.order {
		if !ps.used[alias] && slices.Index(ps.order, alias) == i {
			problems = append(problems, config.Problem{
				Property: "predicates", Warning: true,
				Message: fmt.Sprintf("The predicate %q is named by no transform and has no effect", alias),
			})
		}
	}
	return problems
}

// missing is a predicate that is not declared.
type missing string

// Test fails.
func (m missing) Test(*Record) (bool, error) { return false, m.err() }

// err is in the words of Kafka Connect, which stumbles over the first property that it looks for.
func (m missing) err() error {
	return fmt.Errorf("Unknown configuration 'predicates.%s.plugin.version'", string(m)) //nolint:staticcheck // the original's words
}

// Ready says whether the chain can run: every predicate that it names is there.
func (c Chain) Ready() error {
	var errs []error
	for _, t := range c {
		if g, ok := t.(*guarded); ok {
			if m, ok := g.predicate.(missing); ok {
				errs = append(errs, m.err())
			}
		}
	}
	return errors.Join(errs...)
}

var hasHeaderKeyKind = predicateKind{
	plugin: config.Plugin{
		Name: "HasHeaderKey", Class: "org.apache.kafka.connect.transforms.predicates.HasHeaderKey", Kind: "predicate", Version: Version,
		Def: config.Def{Keys: []config.Key{{
			Name: "name", Type: config.String, Required: true, Importance: config.Medium, Check: notEmpty,
			Doc: "Name of the header that a record must have, whatever its value.",
		}}},
	},
	make: func(v config.Values) (Predicate, error) { return hasHeader(v.Get("name")), nil },
}

// hasHeader holds for records with a header of this name.
type hasHeader string

// Test looks for the header.
func (h hasHeader) Test(r *Record) (bool, error) {
	return slices.ContainsFunc(r.Headers, func(x Header) bool { return x.Key == string(h) }), nil
}

var recordIsTombstoneKind = predicateKind{
	plugin: config.Plugin{
		Name: "RecordIsTombstone", Class: "org.apache.kafka.connect.transforms.predicates.RecordIsTombstone", Kind: "predicate", Version: Version,
	},
	make: func(config.Values) (Predicate, error) { return isTombstone{}, nil },
}

// isTombstone holds for records whose value is null.
type isTombstone struct{}

// Test asks for the value without making it.
func (isTombstone) Test(r *Record) (bool, error) { return r.IsNull(), nil }

var topicNameMatchesKind = predicateKind{
	plugin: config.Plugin{
		Name: "TopicNameMatches", Class: "org.apache.kafka.connect.transforms.predicates.TopicNameMatches", Kind: "predicate", Version: Version,
		Def: config.Def{Keys: []config.Key{{
			Name: "pattern", Type: config.String, Required: true, Importance: config.Medium,
			Doc: "Regular expression that the whole name of the record's topic must match.",
			Check: func(s string, all config.Values) string {
				if reason := notEmpty(s, all); reason != "" {
					return reason
				}
				return invalidRegex(s)
			},
		}}},
	},
	make: func(v config.Values) (Predicate, error) {
		re, err := regexp.Compile(`\A(?:` + v.Get("pattern") + `)\z`)
		if err != nil {
			return nil, fmt.Errorf("compile pattern %q: %w", v.Get("pattern"), err)
		}
		return &topicMatches{pattern: re, holds: re.MatchString("")}, nil
	},
}

// topicMatches holds for records whose topic matches as a whole.
type topicMatches struct {
	pattern *regexp.Regexp
	topic   string // of the record before,
	holds   bool   // and what was said of it
}

// Test matches the topic, unless it is that of the record before.
func (m *topicMatches) Test(r *Record) (bool, error) {
	if r.Topic != m.topic {
		m.topic, m.holds = strings.Clone(r.Topic), m.pattern.MatchString(r.Topic)
	}
	return m.holds, nil
}

// notEmpty is a validator of Kafka.
func notEmpty(s string, _ config.Values) string {
	if s == "" {
		return "String must be non-empty"
	}
	return ""
}

// invalidRegex is why a regular expression cannot be used, "" for a good one.
func invalidRegex(s string) string {
	if _, err := regexp.Compile(s); err != nil {
		return "Invalid regex: " + err.Error()
	}
	return ""
}
