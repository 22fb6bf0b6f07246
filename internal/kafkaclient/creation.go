// SPDX-License-Identifier: Apache-2.0

package kafkaclient

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"freshet/config"
	"freshet/emitter/topic/kafka"
)

const creationPrefix = "topic.creation."

// group is a group of topics with settings of their own.
type group struct {
	include, exclude *regexp.Regexp // nil matches none
	creation         kafka.Creation
}

// creation tells how a connector's topics are created: nil leaves it to the brokers, as where no topic.creation property is
// given.
func (w *Worker) creation(connector map[string]string) (func(string) (kafka.Creation, bool), error) {
	given := under(connector, creationPrefix)
	if len(given) == 0 || strings.EqualFold(strings.TrimSpace(w.properties["topic.creation.enable"]), "false") {
		return nil, nil
	}
	fallback, err := creationOf(given, "default", nil)
	if err != nil {
		return nil, err
	}
	var groups []group
	for _, name := range config.SplitList(given["groups"]) {
		if name == "default" {
			continue
		}
		g := group{}
		if g.creation, err = creationOf(given, name, &fallback); err != nil {
			return nil, err
		}
		if g.include, err = patterns(given, name+".include"); err != nil {
			return nil, err
		}
		if g.include == nil {
			return nil, fmt.Errorf("Missing required configuration %q which has no default value.", creationPrefix+name+".include") //nolint:staticcheck,revive // Connect's words
		}
		if g.exclude, err = patterns(given, name+".exclude"); err != nil {
			return nil, err
		}
		groups = append(groups, g)
	}
	return func(topic string) (kafka.Creation, bool) {
		for _, g := range groups {
			if g.include.MatchString(topic) && (g.exclude == nil || !g.exclude.MatchString(topic)) {
				return g.creation, true
			}
		}
		return fallback, true
	}, nil
}

// creationOf are the settings of one group; those it leaves out are the default group's.
func creationOf(given map[string]string, name string, fallback *kafka.Creation) (kafka.Creation, error) {
	c := kafka.Creation{Configs: map[string]string{}}
	if fallback != nil {
		c.Partitions, c.Replication = fallback.Partitions, fallback.Replication
	}
	var errs []error
	number := func(property string, bits int) int64 {
		full := creationPrefix + name + "." + property
		text, ok := given[name+"."+property]
		if !ok {
			if fallback == nil {
				errs = append(errs, fmt.Errorf("Missing required configuration %q which has no default value.", full)) //nolint:staticcheck,revive // Connect's words
			}
			return 0
		}
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, bits)
		if err != nil || n < -1 || n == 0 {
			errs = append(errs, fmt.Errorf("Invalid value %s for configuration %s: it is a number above 0, or -1 for the brokers' default", text, full)) //nolint:staticcheck // Connect's words
		}
		return n
	}
	if n := number("replication.factor", 16); n != 0 {
		c.Replication = int16(n)
	}
	if n := number("partitions", 32); n != 0 {
		c.Partitions = int32(n)
	}
	for property, value := range given {
		setting, ok := strings.CutPrefix(property, name+".")
		if ok && setting != "replication.factor" && setting != "partitions" && setting != "include" && setting != "exclude" {
			c.Configs[setting] = strings.TrimSpace(value)
		}
	}
	return c, errors.Join(errs...)
}

// patterns is one expression for a list of them; each must match the whole name.
func patterns(given map[string]string, property string) (*regexp.Regexp, error) {
	list := config.SplitList(given[property])
	if len(list) == 0 {
		return nil, nil
	}
	re, err := regexp.Compile(`\A(?:` + strings.Join(list, "|") + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("Invalid value %s for configuration %s: Invalid regex: %w", given[property], creationPrefix+property, err) //nolint:staticcheck // Connect's words
	}
	return re, nil
}
