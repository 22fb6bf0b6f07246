// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"fmt"
	"slices"
	"strings"

	"freshet/config"
)

// kind is a transform that can be configured.
type kind struct {
	plugin config.Plugin
	make   func(v config.Values) (Transform, error)
}

// kinds is the list of transforms.
var kinds = slices.Concat(
	// Kafka's
	castKinds, extractFieldKinds, flattenKinds, headerFromKinds, hoistFieldKinds, insertFieldKinds, maskFieldKinds,
	replaceFieldKinds, setSchemaMetadataKinds, timestampConverterKinds,
	[]kind{dropHeadersKind, filterKind, insertHeaderKind, regexRouterKind, timestampRouterKind, valueToKeyKind},
	// Debezium's
	[]kind{unwrapKind}, debeziumKinds, namingKinds,
)

// Own is a transform that a program brings along, beside those of the list: its class, and what makes it of its settings.
type Own struct {
	Class string
	Make  func(settings map[string]string) (Transform, error)
}

// Version is the version of Kafka whose transforms these are.
const Version = "4.1.1"

// Plugins describes the transforms, then the predicates, each by class.
func Plugins() []config.Plugin {
	var out []config.Plugin
	for i := range kinds {
		out = append(out, kinds[i].plugin)
	}
	n := len(out)
	for i := range predicateKinds {
		out = append(out, predicateKinds[i].plugin)
	}
	byClass := func(x, y config.Plugin) int { return strings.Compare(x.Class, y.Class) }
	slices.SortFunc(out[:n], byClass)
	slices.SortFunc(out[n:], byClass)
	return out
}

// Keys of a transform beside its own: Connect's.
const (
	typeKey      = "type"
	predicateKey = "predicate"
	negateKey    = "negate"
	versionKey   = "plugin.version"
)

// Parse builds the chain of a connector's configuration: transforms=a,b with transforms.a.type and its settings,
// predicates=p with predicates.p.type and its own.
//
// As in Kafka Connect a transform may name a predicate that there is not: that is a warning, and the chain has an error for
// who runs it (Ready).
func Parse(cfg map[string]string, own ...Own) (Chain, []config.Problem) {
	predicates, problems := parsePredicates(cfg)
	var chain Chain
	for _, alias := range config.SplitList(cfg["transforms"]) {
		prefix := "transforms." + alias + "."
		t, p := parseOne(cfg, prefix, own)
		problems = append(problems, p...)
		t, p = predicates.guard(cfg, prefix, t)
		if problems = append(problems, p...); t != nil {
			chain = append(chain, t)
		}
	}
	problems = append(problems, predicates.unused()...)
	if len(config.Errors(problems)) > 0 {
		return nil, problems
	}
	return chain, problems
}

// settings are the properties behind a prefix without those that Connect itself reads.
func settings(cfg map[string]string, prefix string, without ...string) map[string]string {
	raw := map[string]string{}
	for name, value := range cfg {
		if rest, ok := strings.CutPrefix(name, prefix); ok && !slices.Contains(without, rest) {
			raw[rest] = value
		}
	}
	return raw
}

func parseOne(cfg map[string]string, prefix string, own []Own) (Transform, []config.Problem) {
	class := strings.TrimSpace(cfg[prefix+typeKey])
	if class == "" {
		return nil, []config.Problem{missingType(prefix)}
	}
	for _, o := range own {
		if o.Class != class {
			continue
		}
		t, err := o.Make(settings(cfg, prefix, typeKey, predicateKey, negateKey, versionKey))
		if err != nil {
			return nil, []config.Problem{{Property: prefix + typeKey, Message: err.Error()}}
		}
		return &step{t, class}, nil
	}
	known := make([]string, len(kinds))
	for i := range kinds {
		if known[i] = kinds[i].plugin.Class; !kinds[i].plugin.Matches(class) {
			continue
		}
		v, problems := parseSettings(&kinds[i].plugin, settings(cfg, prefix, typeKey, predicateKey, negateKey, versionKey), prefix)
		if len(config.Errors(problems)) > 0 {
			return nil, problems
		}
		t, err := kinds[i].make(v)
		if err != nil {
			problems = append(problems, config.Problem{Property: prefix + typeKey, Message: err.Error()})
		}
		if _, router := t.(Router); t == nil || router { // which refuses nothing
			return t, problems
		}
		return &step{t, kinds[i].plugin.Class}, problems
	}
	return nil, []config.Problem{unknownType(prefix, class, known)}
}

// parseSettings reads the settings of a transform or a predicate.
func parseSettings(p *config.Plugin, raw map[string]string, prefix string) (config.Values, []config.Problem) {
	v, found := p.Def.Parse(raw)
	problems := prefixed(found, prefix)
	for _, name := range v.Unknown(nil) {
		problems = append(problems, config.Problem{Property: prefix + name, Message: fmt.Sprintf("The property '%s' is not known to %s and has no effect", prefix+name, p.Class), Warning: true})
	}
	return v, problems
}

func missingType(prefix string) config.Problem {
	return config.Problem{Property: prefix + typeKey, Message: fmt.Sprintf("Missing required configuration %q which has no default value.", prefix+typeKey)}
}

func unknownType(prefix, class string, known []string) config.Problem {
	return config.Problem{Property: prefix + typeKey, Message: fmt.Sprintf("Invalid value %s for configuration %s: not served yet, or unknown; served are %s", class, prefix+typeKey, strings.Join(known, ", "))}
}

// prefixed makes the problems of a transform those of the connector that holds it.
func prefixed(problems []config.Problem, prefix string) []config.Problem {
	for i, p := range problems {
		for _, form := range []string{"configuration %s", "configuration %q", "'%s'"} {
			problems[i].Message = strings.Replace(problems[i].Message, fmt.Sprintf(form, p.Property), fmt.Sprintf(form, prefix+p.Property), 1)
		}
		problems[i].Property = prefix + p.Property
	}
	return problems
}
