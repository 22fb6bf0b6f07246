// SPDX-License-Identifier: Apache-2.0

package config

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Has says whether the property was given (or is an alias's).
func (v Values) Has(name string) bool { _, ok := v.raw[name]; return ok }

// Get is the value as text: the one given, else the default, else "".
func (v Values) Get(name string) string {
	if s, ok := v.raw[name]; ok {
		return s
	}
	if v.def != nil {
		if k := v.def.Find(name); k != nil && k.Pattern == nil {
			return k.Default
		}
	}
	return ""
}

// Int is the value of an Int, Short or Long property; 0 where there is none. Parse has checked the syntax.
func (v Values) Int(name string) int64 {
	n, _ := strconv.ParseInt(strings.TrimSpace(v.Get(name)), 10, 64)
	return n
}

// Bool is the value of a Boolean property.
func (v Values) Bool(name string) bool {
	return strings.EqualFold(strings.TrimSpace(v.Get(name)), "true")
}

// Millis is the value of a property in milliseconds.
func (v Values) Millis(name string) time.Duration {
	return time.Duration(v.Int(name)) * time.Millisecond
}

// Secret is the value of a Password property.
func (v Values) Secret(name string) Secret { return Secret(v.Get(name)) }

// List is the value of a List property: split at commas that no backslash stands before, trimmed, without empty items.
func (v Values) List(name string) []string { return SplitList(v.Get(name)) }

// SplitList splits at commas; `\,` is a comma.
func SplitList(s string) []string {
	var out []string
	var item strings.Builder
	flush := func() {
		if t := strings.TrimSpace(item.String()); t != "" {
			out = append(out, t)
		}
		item.Reset()
	}
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == ',':
			item.WriteByte(',')
			i++
		case s[i] == ',':
			flush()
		default:
			item.WriteByte(s[i])
		}
	}
	flush()
	return out
}

// Prefix returns the properties whose names begin with prefix, without it.
func (v Values) Prefix(prefix string) map[string]string {
	out := map[string]string{}
	for name, s := range v.raw {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			out[rest] = s
		}
	}
	return out
}

// Names are the names of the given properties, sorted.
func (v Values) Names() []string { return slices.Sorted(maps.Keys(v.raw)) }

// Raw is a copy of the given properties. It holds secrets.
func (v Values) Raw() map[string]string { return maps.Clone(v.raw) }

// With returns v with one more property.
func (v Values) With(name, value string) Values {
	raw := maps.Clone(v.raw)
	if raw == nil {
		raw = map[string]string{}
	}
	raw[name] = value
	return Values{v.def, raw}
}
