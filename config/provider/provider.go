// SPDX-License-Identifier: Apache-2.0

// Package provider resolves references such as ${file:/run/secrets/db.properties:password} in configurations, as Kafka
// Connect's config providers do: properties of a file, files of a folder, variables of the environment.
//
// Its main type is Set, the providers that a worker's properties register. Configurations keep their references where
// they are stored and shown; what Resolve returns holds secrets and stays where it is used.
package provider

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"freshet/config"
)

// reference is ${provider:[path:]key}, in Kafka's own expression.
var reference = regexp.MustCompile(`\$\{([^}]*?):(([^}]*?):)?([^}]*?)\}`)

// Refers says whether a value holds a reference. Whether a provider knows it shows when it is resolved.
func Refers(value string) bool {
	return strings.Contains(value, "${") && reference.MatchString(value)
}

// source is one provider: it answers for keys under a path. A key that it does not have is left out of the answer.
type source interface {
	get(path string, keys []string) (map[string]string, error)
}

// Set are the registered providers, by name. A nil Set has none. It is safe for concurrent use.
type Set struct {
	sources map[string]source
}

// New makes the providers that config.providers of a worker names. environ is that of the process. Problems name the
// properties.
func New(properties map[string]string, environ []string) (*Set, []config.Problem) {
	s := &Set{sources: map[string]source{}}
	var problems []config.Problem
	for _, name := range config.SplitList(properties["config.providers"]) {
		prefix := "config.providers." + name + "."
		made, found := newSource(prefix, properties, environ)
		problems = append(problems, found...)
		if made != nil {
			s.sources[name] = made
		}
	}
	return s, problems
}

// Classes are the providers that there are.
var Classes = []string{
	"org.apache.kafka.common.config.provider.FileConfigProvider",
	"org.apache.kafka.common.config.provider.DirectoryConfigProvider",
	"org.apache.kafka.common.config.provider.EnvVarConfigProvider",
}

func newSource(prefix string, properties map[string]string, environ []string) (source, []config.Problem) {
	class := strings.TrimSpace(properties[prefix+"class"])
	params := prefix + "param."
	switch class[strings.LastIndexByte(class, '.')+1:] {
	case "FileConfigProvider":
		roots, problems := newRoots(params, properties)
		return files{roots}, problems
	case "DirectoryConfigProvider":
		roots, problems := newRoots(params, properties)
		return folders{roots}, problems
	case "EnvVarConfigProvider":
		return newVariables(params, properties, environ)
	case "":
		return nil, []config.Problem{{Property: prefix + "class", Message: fmt.Sprintf(
			"Missing required configuration %q which has no default value: name one of %s", prefix+"class", strings.Join(Classes, ", "))}}
	}
	return nil, []config.Problem{{Property: prefix + "class", Message: fmt.Sprintf(
		"Invalid value %s for configuration %sclass: Could not load config provider class or one of its dependencies; there are %s",
		class, prefix, strings.Join(Classes, ", "))}}
}

// Resolve returns a copy of cfg with the references resolved. As in Kafka what a provider returns is not resolved again,
// and a reference stays as it is where there is no such provider, or no such key. The error is of a provider that cannot
// answer, such as a file that is not there.
func (s *Set) Resolve(cfg map[string]string) (map[string]string, error) {
	out, _, err := s.ResolveHidden(cfg)
	return out, err
}

// ResolveHidden is Resolve, with what hides the values again in texts that quote them.
func (s *Set) ResolveHidden(cfg map[string]string) (map[string]string, *Hider, error) {
	out := maps.Clone(cfg)
	if s == nil || len(s.sources) == 0 {
		return out, nil, nil
	}
	wanted := map[[2]string][]string{} // keys by provider and path
	for _, value := range cfg {
		if !strings.Contains(value, "${") {
			continue
		}
		for _, m := range reference.FindAllStringSubmatch(value, -1) {
			at := [2]string{m[1], m[3]}
			if s.sources[m[1]] != nil && !slices.Contains(wanted[at], m[4]) {
				wanted[at] = append(wanted[at], m[4])
			}
		}
	}
	found := map[[2]string]map[string]string{}
	for _, at := range slices.SortedFunc(maps.Keys(wanted), func(x, y [2]string) int { return slices.Compare(x[:], y[:]) }) {
		values, err := s.sources[at[0]].get(at[1], wanted[at])
		if err != nil {
			return nil, nil, err
		}
		found[at] = values
	}
	used := map[string]string{} // what references stand for, by their text
	for name, value := range cfg {
		if !strings.Contains(value, "${") {
			continue
		}
		out[name] = reference.ReplaceAllStringFunc(value, func(text string) string {
			m := reference.FindStringSubmatch(text)
			if v, ok := found[[2]string{m[1], m[3]}][m[4]]; ok {
				used[text] = v
				return v
			}
			return text
		})
	}
	return out, newHider(cfg, used), nil
}
