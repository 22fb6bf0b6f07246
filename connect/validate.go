// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"freshet/config"
	"freshet/emitter/transform"
)

// NullValue stands for a JSON null in a configuration map: the absence of a known property, an error in an unknown one.
const NullValue = "\x00null"

// checked is a configuration that was checked: what tasks are made of. values, converters and chain are usable where
// problems hold no errors.
type checked struct {
	plugin     Plugin
	common     config.Def        // of Kafka Connect's own properties
	given      map[string]string // with references: what is stored and shown
	raw        map[string]string // with references resolved
	values     config.Values
	converters Converters
	problems   []config.Problem
}

// check validates a connector's configuration. The error is that of a provider that cannot resolve a reference, or of a
// class that is missing or unknown.
func (w *Worker) check(cfg map[string]string) (*checked, error) {
	asGiven := cfg
	cfg, hider, err := w.config.Providers.ResolveHidden(cfg)
	if err != nil {
		return nil, &Error{500, err.Error()}
	}
	class, ok := cfg["connector.class"]
	if !ok || class == NullValue {
		return nil, &Error{400, fmt.Sprintf("Connector config %s contains no connector type", javaMap(asGiven))}
	}
	plugin, err := w.plugins.Find(class)
	if err != nil {
		return nil, err
	}
	common := w.commonDef(&plugin.Plugin)
	c := &checked{plugin: plugin, common: common, given: maps.Clone(asGiven), raw: cfg}
	nulls := c.dropNulls(&common)
	c.common.Keys = slices.Concat(common.Keys, transform.Keys(c.raw)) // which are shown, and judged by transform.Parse

	given, problems := common.Parse(c.raw)
	problems = append(problems, crossCheck(plugin.Kind, given)...)
	problems = append(problems, w.exactlyOnce(&plugin, given, c.raw)...)
	problems = append(problems, w.groupClash(&plugin, c.raw)...)
	if slices.ContainsFunc(problems, func(p config.Problem) bool {
		return strings.HasSuffix(p.Message, "Not a number of type INT") && p.Property == "tasks.max"
	}) {
		problems = append(problems, config.Problem{Property: "tasks.max", Message: "Invalid value null for configuration tasks.max: Value must be non-null"})
	}
	position := func(p config.Problem) int {
		return slices.IndexFunc(common.Keys, func(k config.Key) bool { return k.Name == p.Property })
	}
	slices.SortStableFunc(problems, func(x, y config.Problem) int { return cmp.Compare(position(x), position(y)) })
	c.problems = append(nulls, problems...)

	_, found := transform.Parse(c.raw, w.transforms...)
	c.problems = append(c.problems, transformProblems(c.raw, found)...)

	// A connector's own declaration of a common property takes its place.
	values, own := plugin.Def.Parse(c.raw)
	c.values = values
	c.problems = append(c.problems, own...)

	var conv []config.Problem
	c.converters, conv = w.config.Converters(c.raw)
	c.problems = append(c.problems, conv...)
	clients, _ := w.topics.(Clients)
	if clients != nil {
		c.problems = append(c.problems, clients.CheckClients(plugin.clientSettings(c.raw))...)
	}
	c.problems = append(c.problems, unknownProblems(&common, values, clients != nil)...)
	c.problems = mistakesFirst(c.problems)
	for i := range c.problems {
		c.problems[i].Message = hider.Of(c.problems[i].Property, c.problems[i].Message)
	}
	return c, nil
}

// referred says whether a property has a reference that was resolved.
func (c *checked) referred(name string) bool { return c.given[name] != c.raw[name] }

// mistakesFirst leaves out what is only not served yet while there are mistakes: they are the same in Kafka Connect.
func mistakesFirst(problems []config.Problem) []config.Problem {
	unserved := func(p config.Problem) bool { return p.Unserved && !p.Warning }
	if slices.ContainsFunc(problems, func(p config.Problem) bool { return !p.Unserved && !p.Warning }) {
		return slices.DeleteFunc(problems, unserved)
	}
	return problems
}

// dropNulls takes out null values and reports those of unknown properties.
func (c *checked) dropNulls(common *config.Def) []config.Problem {
	var problems []config.Problem
	for _, name := range slices.Sorted(maps.Keys(c.raw)) {
		if c.raw[name] != NullValue {
			continue
		}
		delete(c.raw, name)
		delete(c.given, name)
		if common.Find(name) == nil && c.plugin.Def.Find(name) == nil {
			problems = append(problems, config.Problem{Property: name, Message: "Null value can not be supplied as the configuration value."})
		}
	}
	return problems
}

// exactlyOnce says what stands in the way of exactly-once delivery that a configuration asks for.
func (w *Worker) exactlyOnce(plugin *Plugin, common config.Values, raw map[string]string) []config.Problem {
	if plugin.Source == nil {
		return nil
	}
	var problems []config.Problem
	if strings.EqualFold(common.Get("exactly.once.support"), "required") {
		own, _ := plugin.Def.Parse(raw)
		c, picky := plugin.Source.(ExactlyOnce)
		switch {
		case !w.config.ExactlyOnce:
			problems = append(problems, config.Problem{Property: "exactly.once.support", Message: "This worker does not have exactly-once source support enabled."})
		case picky && !c.ExactlyOnce(own):
			problems = append(problems, config.Problem{Property: "exactly.once.support", Message: "The connector does not support exactly-once semantics with the provided configuration."})
		}
	}
	if w.config.ExactlyOnce && strings.EqualFold(common.Get("transaction.boundary"), "connector") {
		problems = append(problems, config.Problem{Property: "transaction.boundary", Message: "The connector does not support connector-defined transaction boundaries with the given configuration. " +
			"Please reconfigure it to use a different transaction boundary definition."})
	}
	return problems
}

// groupClash refuses a sink whose consumer group is the group of the workers.
func (w *Worker) groupClash(plugin *Plugin, raw map[string]string) []config.Problem {
	if plugin.Sink == nil || w.config.Group == "" {
		return nil
	}
	name := raw["name"]
	switch own := overriddenGroup(raw); {
	case own == w.config.Group:
		return []config.Problem{{Property: groupOverride, Message: fmt.Sprintf("Consumer group %s conflicts with Connect worker group %s", own, w.config.Group)}}
	case own == "" && GroupOf(name) == w.config.Group:
		return []config.Problem{{Property: "name", Message: fmt.Sprintf("Consumer group for sink connector named %s conflicts with Connect worker group %s", name, w.config.Group)}}
	}
	return nil
}

// crossCheck holds the rules between common properties.
func crossCheck(kind string, v config.Values) []config.Problem {
	var problems []config.Problem
	add := func(property, format string, args ...any) {
		problems = append(problems, config.Problem{Property: property, Message: fmt.Sprintf(format, args...)})
	}
	for _, name := range []string{"transforms", "predicates", "topic.creation.groups"} {
		items := v.List(name)
		if sorted := slices.Sorted(slices.Values(items)); len(slices.Compact(sorted)) < len(items) {
			add(name, "Invalid value [%s] for configuration %s: Duplicate alias provided.", strings.Join(items, ", "), name)
		}
	}
	if kind != sinkKind {
		return problems
	}
	topics, pattern := v.List("topics"), strings.TrimSpace(v.Get("topics.regex"))
	for _, name := range []string{"topics", "topics.regex"} {
		switch {
		case len(topics) > 0 && pattern != "":
			add(name, "topics and topics.regex are mutually exclusive options, but both are set.")
		case len(topics) == 0 && pattern == "":
			add(name, "Must configure one of topics or topics.regex")
		}
	}
	if dlq := strings.TrimSpace(v.Get("errors.deadletterqueue.topic.name")); dlq != "" {
		re, err := regexp.Compile(`\A(?:` + pattern + `)\z`)
		switch {
		case slices.Contains(topics, dlq):
			add("topics", "The DLQ topic '%s' may not be included in the list of topics ('topics=[%s]') consumed by the connector", dlq, strings.Join(topics, ", "))
		case pattern != "" && err == nil && re.MatchString(dlq):
			add("topics.regex", "The DLQ topic '%s' may not be included in the regex matching the topics ('topics.regex=%s') consumed by the connector", dlq, pattern)
		}
	}
	return problems
}

// transformProblems words what is wrong with transforms as Kafka Connect does: a class that nobody knows is told from one
// that is to come, and an alias that is given twice is judged once.
func transformProblems(cfg map[string]string, found []config.Problem) []config.Problem {
	var out []config.Problem
	for _, p := range found {
		alias, isType := strings.CutSuffix(p.Property, ".type")
		class := cfg[p.Property]
		if isType && class != "" && strings.Contains(p.Message, "not served yet") &&
			!strings.HasPrefix(class, "org.apache.kafka.connect.") && !strings.HasPrefix(class, "io.debezium.") && !strings.HasPrefix(class, "io.confluent.") {
			p.Message = fmt.Sprintf("Invalid value %s for configuration %s.type: Class %s could not be found.", class, alias, class)
		}
		if !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	for _, alias := range config.SplitList(cfg["transforms"]) {
		prefix := "transforms." + alias + "."
		if _, negated := cfg[prefix+"negate"]; negated && cfg[prefix+"predicate"] == "" {
			p := config.Problem{Property: prefix + "negate", Message: fmt.Sprintf(
				"Config '%snegate' was provided but there is no config '%spredicate' defining a predicate to be negated.", prefix, prefix)}
			if !slices.Contains(out, p) {
				out = append(out, p)
			}
		}
	}
	return out
}

// unknownProblems warns of properties that nothing reads. As in Kafka Connect they refuse nothing. Where there are clients of
// Kafka their properties have been judged.
func unknownProblems(common *config.Def, v config.Values, clients bool) []config.Problem {
	var out []config.Problem
	for _, name := range v.Unknown(func(name string) bool { return common.Find(name) != nil }) {
		switch why := withoutEffect(name); {
		case clients && why != "":
		case why != "":
			out = append(out, config.Problem{Property: name, Message: fmt.Sprintf("The property '%s' has no effect here: %s", name, why), Warning: true})
		case !otherKeys.MatchString(name):
			out = append(out, config.Problem{Property: name, Message: fmt.Sprintf("The property '%s' is not known to this connector and has no effect", name), Warning: true})
		}
	}
	return out
}

// refuse is the error of a configuration with problems that are errors, nil without. Debezium's sentences leave the
// value out; it is added unless it is secret.
func (c *checked) refuse() error {
	errs := config.Errors(c.problems)
	if len(errs) == 0 {
		return nil
	}
	shown := Redact(&c.plugin.Def, c.given)
	messages := make([]string, len(errs))
	for i, p := range errs {
		messages[i] = RedactText(p.Message)
		if value := shown[p.Property]; value != "" && value != Mask && strings.HasPrefix(p.Message, "The '"+p.Property+"'") && !strings.Contains(p.Message, value) {
			messages[i] += " (given: " + value + ")"
		}
	}
	return &Error{400, InvalidConfig(messages)}
}

// InvalidConfig is the message of a configuration that is refused, in the words of Kafka Connect.
func InvalidConfig(messages []string) string {
	return fmt.Sprintf("Connector configuration is invalid and contains the following %d error(s):\n%s\n"+
		"You can also find the above list of errors at the endpoint `/connector-plugins/{connectorType}/config/validate`",
		len(messages), strings.Join(messages, "\n"))
}

// javaMap is the text of a map as Java prints it, secrets masked.
func javaMap(cfg map[string]string) string {
	shown := Redact(nil, cfg)
	items := make([]string, 0, len(shown))
	for _, name := range slices.Sorted(maps.Keys(shown)) {
		value := shown[name]
		if cfg[name] == NullValue {
			value = "null"
		}
		items = append(items, name+"="+value)
	}
	return "{" + strings.Join(items, ", ") + "}"
}
