// SPDX-License-Identifier: Apache-2.0

// Package config holds Kafka Connect properties: their declaration, parsing and validation.
//
// A component declares its properties once, in a Def. Parsing, REST validation, the reference docs and the console's
// forms come from it. Values is the parsed result; components decode it once into a small options struct of their own
// and pass no Values on. Passwords are of type Secret and print as asterisks.
package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Type is the type of a property, as Kafka Connect's validation names it.
type Type string

// The types of Kafka's ConfigDef.
const (
	String   Type = "STRING"
	Int      Type = "INT"
	Short    Type = "SHORT"
	Long     Type = "LONG"
	Double   Type = "DOUBLE"
	Boolean  Type = "BOOLEAN"
	List     Type = "LIST"
	Class    Type = "CLASS"
	Password Type = "PASSWORD"
)

// Importance of a property.
type Importance string

// The importances.
const (
	High   Importance = "HIGH"
	Medium Importance = "MEDIUM"
	Low    Importance = "LOW"
)

// Key declares one property.
type Key struct {
	Name       string
	Type       Type
	Default    string // text form; "" with HasDefault false is none
	HasDefault bool
	Required   bool // reported by Debezium as "A value is required"; an empty text of KafkaStyle is left to Check, where there is one
	Importance Importance
	Group      string
	Order      int    // place in its group, 0 behind the property before it, FirstInGroup before all others
	Display    string // name in forms, "" is Name
	Width      Width  // of the field in forms
	Doc        string
	// Unlisted leaves the property out of validation answers, as the original does with many that work.
	Unlisted bool
	// Hidden tells forms not to show the property.
	Hidden bool
	// Dependents are the properties whose allowed values depend on this one.
	Dependents []string
	// Allowed are the values of an enum, compared without case; the parsed value is in the spelling given here. The order
	// is that of messages.
	Allowed []string
	// Pattern marks a family of properties such as column.mask.with.<n>.chars; Name is then its documentation form.
	Pattern *regexp.Regexp
	// CheckName refuses a name of the family, as Check does a value.
	CheckName func(name string) string
	// Check refuses a value: it returns the reason, "" for none. Where all is needed, take only properties of it that
	// stand on their own: they may have problems too.
	Check func(value string, all Values) string
	// CheckAbsent calls Check with "" where the property is not given.
	CheckAbsent bool
	// Sentence says that what Check returns is the whole message, as a few of Kafka's validators have it.
	Sentence bool
	// Later says what is not served yet. A value other than the default, or than one of Served where that is set, is
	// refused with it, never ignored silently.
	Later  string
	Served []string
	// Former are values of other versions, compared without case, and what each stands for: they are taken for it and
	// warned of. Messages do not list them.
	Former map[string]string
	// Ignored says why a known property has no effect here; a value other than the default warns.
	Ignored string
	// Warn says what to know of a value that is taken, "" for nothing.
	Warn func(value string) string
	// Aliases are former names.
	Aliases []string
	// Recommended values, for validation answers.
	Recommended []string
	// Show is the value as it may be shown where a part of it may be secret, such as a password in a URL; nil shows it as it
	// is. Values of type Password are never shown.
	Show func(value string) string
}

// FirstInGroup is the Order of a property whose place in its group is 0.
const FirstInGroup = -1

// Width is the width of a property's field in forms.
type Width string

// The widths of Kafka's ConfigDef.
const (
	WidthNone   Width = "NONE"
	WidthShort  Width = "SHORT"
	WidthMedium Width = "MEDIUM"
	WidthLong   Width = "LONG"
)

// Def is the declaration of a component's properties, in the order of the documentation.
type Def struct {
	Keys []Key
	// Style is the wording of problems and the form of validation answers.
	Style Style
}

// Style is whose words a problem is told in, and whose form answers have.
type Style uint8

// The styles. Answers in Debezium's tell neither values nor what is required, and list former names behind the present
// ones.
const (
	KafkaStyle    Style = iota // Invalid value x for configuration y: reason
	DebeziumStyle              // The 'y' value is invalid: reason
)

// Plugin describes a connector, converter or transform for plug-in lists and validation.
type Plugin struct {
	Name    string // short name: "postgres"
	Class   string // canonical Java class, as REST answers show it
	Aliases []string
	Kind    string // source, sink, converter, header_converter, transformation, predicate
	Version string
	Def     Def
	// OffsetsElsewhere says that a connector may keep positions in another place too, such as a sink in its target: changing
	// those of the worker may not be all there is to do.
	OffsetsElsewhere bool
}

// Matches says whether a class property names this plug-in: by class, by its last part with or without the suffix
// Connector, or by an alias.
func (p *Plugin) Matches(class string) bool {
	simple := p.Class[strings.LastIndexByte(p.Class, '.')+1:]
	return class == p.Class || class == simple || class+"Connector" == simple || class == p.Name || slices.Contains(p.Aliases, class)
}

// Problem is what is wrong with one property.
type Problem struct {
	Property string
	Message  string // whole sentence, names the property and the value
	Warning  bool   // said, not refused
	Unserved bool   // refused because it is not served yet (Key.Later), not because it is wrong
}

// Error is the message.
func (p Problem) Error() string { return p.Message }

// Secret is text that must not be shown.
type Secret string

// String, GoString, MarshalText and LogValue all hide it.
func (Secret) String() string { return "****" }

// GoString hides the secret.
func (Secret) GoString() string { return "****" }

// MarshalText hides the secret.
func (Secret) MarshalText() ([]byte, error) { return []byte("****"), nil }

// Reveal returns the text, for the one place that needs it.
func (s Secret) Reveal() string { return string(s) }

// Values are properties that were parsed by a Def: defaults are filled in, enums have their declared spelling.
type Values struct {
	def *Def
	raw map[string]string
}

// Parse checks raw against the declaration. Values are usable where no problem is an error. Properties that the
// declaration does not know are kept for Get and Prefix, and are reported by Unknown.
func (d *Def) Parse(raw map[string]string) (Values, []Problem) {
	v := Values{d, make(map[string]string, len(raw))}
	maps.Copy(v.raw, raw)
	var problems []Problem
	for i := range d.Keys {
		k := &d.Keys[i]
		if k.Pattern != nil {
			continue
		}
		if _, ok := v.raw[k.Name]; !ok {
			for _, a := range k.Aliases {
				if s, ok := raw[a]; ok {
					v.raw[k.Name] = s
					break
				}
			}
		}
	}
	for i := range d.Keys {
		problems = append(problems, d.checkKey(&d.Keys[i], v)...)
	}
	return v, problems
}

func (d *Def) checkKey(k *Key, v Values) []Problem {
	if k.Pattern != nil {
		var problems []Problem
		for _, name := range v.Names() {
			if !k.Pattern.MatchString(name) {
				continue
			}
			if reason := k.nameReason(name); reason != "" {
				problems = append(problems, d.problem(k, name, v.raw[name], reason))
			} else {
				problems = append(problems, d.checkValue(k, name, v.raw[name], v)...)
			}
		}
		return problems
	}
	s, ok := v.raw[k.Name]
	blank := strings.TrimSpace(s) == ""
	switch {
	case k.Required && blank && (!ok || k.Type != String && k.Type != List || k.Check == nil || d.Style == DebeziumStyle): // to Kafka an empty text is one, which Check judges
		return []Problem{d.problem(k, k.Name, s, d.missing())}
	case ok && blank && k.Type != String && k.Type != List && k.Type != Password:
		delete(v.raw, k.Name) // an empty number or flag means the default
		ok = false
	}
	if ok {
		return d.checkValue(k, k.Name, s, v)
	}
	if k.CheckAbsent {
		if reason := k.Check("", v); reason != "" {
			return []Problem{d.problem(k, k.Name, "", reason)}
		}
	}
	return nil
}

func (k *Key) nameReason(name string) string {
	if k.CheckName == nil {
		return ""
	}
	return k.CheckName(name)
}

// checkValue checks one given value, and puts it into its declared spelling.
func (d *Def) checkValue(k *Key, name, s string, v Values) []Problem {
	t := strings.TrimSpace(s)
	if k.Type != Password && k.Type != String {
		v.raw[name] = t
	}
	for former, now := range k.Former {
		if strings.EqualFold(former, t) {
			v.raw[name] = now
			return []Problem{{Property: name, Message: fmt.Sprintf("The value %q of '%s' is a former one and taken for %q: write %s=%s", t, name, now, name, now), Warning: true}}
		}
	}
	var problems []Problem
	if reason := d.typeReason(k.Type, t); reason != "" {
		problems = append(problems, d.problem(k, name, s, reason))
	}
	if len(k.Allowed) > 0 {
		i := slices.IndexFunc(k.Allowed, func(a string) bool { return strings.EqualFold(a, t) })
		if i < 0 {
			return append(problems, d.problem(k, name, s, d.notAllowed(k)))
		}
		v.raw[name] = k.Allowed[i]
	}
	if k.Check != nil {
		if reason := k.Check(t, v); reason != "" {
			problems = append(problems, d.problem(k, name, t, reason))
		}
	}
	if len(problems) > 0 {
		return problems
	}
	asDefault := strings.EqualFold(t, k.Default)
	switch {
	case k.Later != "" && !asDefault && !slices.ContainsFunc(k.Served, func(a string) bool { return strings.EqualFold(a, t) }):
		p := d.problem(k, name, s, "not served yet: "+k.Later)
		p.Unserved = true
		return []Problem{p}
	case k.Ignored != "" && !asDefault:
		return []Problem{{Property: name, Message: fmt.Sprintf("The property '%s' has no effect here: %s", name, k.Ignored), Warning: true}}
	}
	if k.Warn != nil {
		if what := k.Warn(t); what != "" {
			return []Problem{{Property: name, Message: fmt.Sprintf("%s=%s: %s", name, t, what), Warning: true}}
		}
	}
	return nil
}

func (d *Def) missing() string {
	if d.Style == DebeziumStyle {
		return "A value is required"
	}
	return ""
}

func (d *Def) notAllowed(k *Key) string {
	if d.Style == DebeziumStyle {
		return "Value must be one of " + strings.Join(k.Allowed, ", ")
	}
	return "String must be one of: " + strings.Join(k.Allowed, ", ")
}

// problem words a refusal. An empty reason means that a required value is missing.
func (d *Def) problem(k *Key, name, value, reason string) Problem {
	switch {
	case k.Sentence && reason != "":
		return Problem{Property: name, Message: reason}
	case k.Type == Password:
		value = Secret(value).String()
	case k.Show != nil:
		value = k.Show(value)
	}
	switch {
	case d.Style == DebeziumStyle:
		return Problem{Property: name, Message: fmt.Sprintf("The '%s' value is invalid: %s", name, reason)}
	case reason == "":
		return Problem{Property: name, Message: fmt.Sprintf("Missing required configuration %q which has no default value.", name)}
	case k.Type == List:
		value = "[" + strings.Join(SplitList(value), ", ") + "]"
	}
	return Problem{Property: name, Message: fmt.Sprintf("Invalid value %s for configuration %s: %s", value, name, reason)}
}

// Accepts says whether a text, without blanks around it, is of the type.
func (t Type) Accepts(s string) bool {
	var err error
	switch t {
	case Int, Short, Long:
		_, err = strconv.ParseInt(s, 10, map[Type]int{Int: 32, Short: 16, Long: 64}[t])
	case Double:
		_, err = strconv.ParseFloat(s, 64)
	case Boolean:
		return strings.EqualFold(s, "true") || strings.EqualFold(s, "false")
	}
	return err == nil
}

func (d *Def) typeReason(t Type, s string) string {
	if t.Accepts(s) {
		return ""
	}
	kafka, dbz := "Not a number of type "+string(t), "An integer is expected"
	switch t {
	case Long:
		dbz = "A long value is expected"
	case Double:
		dbz = "A double value is expected"
	case Boolean:
		kafka, dbz = "Expected value to be either true or false", "Either 'true' or 'false' is expected"
	}
	if d.Style == DebeziumStyle {
		return dbz
	}
	return kafka
}

// Find returns the declaration of a property, nil if it is unknown.
func (d *Def) Find(name string) *Key {
	for i := range d.Keys {
		k := &d.Keys[i]
		if k.Pattern == nil && (k.Name == name || slices.Contains(k.Aliases, name)) || k.Pattern != nil && k.Pattern.MatchString(name) {
			return k
		}
	}
	return nil
}

// Unknown lists the properties that the declaration does not know, sorted. known names others that are fine.
func (v Values) Unknown(known func(name string) bool) []string {
	var out []string
	for _, name := range v.Names() {
		if v.def.Find(name) == nil && (known == nil || !known(name)) {
			out = append(out, name)
		}
	}
	return out
}

// Errors are the problems that refuse a configuration.
func Errors(problems []Problem) []Problem {
	return slices.DeleteFunc(slices.Clone(problems), func(p Problem) bool { return p.Warning })
}
