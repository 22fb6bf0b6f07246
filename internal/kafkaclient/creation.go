// SPDX-License-Identifier: Apache-2.0

package kafkaclient

import (
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
func (w *Worker) creation(connector map[string]string) (func(string) (kafka.Creation, bool), []config.Problem) {
	c := creations{given: under(connector, creationPrefix)}
	if len(c.given) == 0 || strings.EqualFold(strings.TrimSpace(w.properties["topic.creation.enable"]), "false") {
		return nil, nil
	}
	fallback := c.of(defaultGroup, nil)
	var groups []group
	for _, name := range config.SplitList(c.given["groups"]) {
		if name == defaultGroup {
			continue
		}
		g := group{creation: c.of(name, &fallback), include: c.patterns(name + ".include"), exclude: c.patterns(name + ".exclude")}
		if c.given[name+".include"] == "" {
			c.problems = append(c.problems, config.Problem{
				Property: creationPrefix + name + ".include", Warning: true,
				Message: fmt.Sprintf("The group %s of topic.creation.groups has no %s: no topic is in it", name, creationPrefix+name+".include"),
			})
		}
		groups = append(groups, g)
	}
	return func(topic string) (kafka.Creation, bool) {
		for _, g := range groups {
			if g.include != nil && g.include.MatchString(topic) && (g.exclude == nil || !g.exclude.MatchString(topic)) {
				return g.creation, true
			}
		}
		return fallback, true
	}, c.problems
}

// defaultGroup has the topics that are in no other group.
const defaultGroup = "default"

// creations are the properties of a connector's topics, without their prefix, and what is wrong with them.
type creations struct {
	given    map[string]string
	problems []config.Problem
}

func (c *creations) refuse(property, format string, args ...any) {
	c.problems = append(c.problems, config.Problem{Property: creationPrefix + property, Message: fmt.Sprintf(format, args...)})
}

// of are the settings of one group; those it leaves out are the default group's.
func (c *creations) of(name string, fallback *kafka.Creation) kafka.Creation {
	out := kafka.Creation{Configs: map[string]string{}}
	if fallback != nil {
		out.Partitions, out.Replication = fallback.Partitions, fallback.Replication
	}
	if n := c.number(name, "replication.factor", 16); n != 0 {
		out.Replication = int16(n)
	}
	if n := c.number(name, "partitions", 32); n != 0 {
		out.Partitions = int32(n)
	}
	for property, value := range c.given {
		setting, ok := strings.CutPrefix(property, name+".")
		if ok && setting != "replication.factor" && setting != "partitions" && setting != "include" && setting != "exclude" {
			out.Configs[setting] = strings.TrimSpace(value)
		}
	}
	return out
}

// positive are Kafka Connect's words for what such a number has to be.
var positive = map[string]string{
	"replication.factor": "Replication factor must be positive and not larger than the number of brokers in the Kafka cluster, or -1 to use the broker's default",
	"partitions":         "Number of partitions must be positive, or -1 to use the broker's default",
}

// number is a setting of a group, 0 for none. In words about the default group Kafka Connect leaves out which one it is.
func (c *creations) number(group, setting string, bits int) int64 {
	property := group + "." + setting
	text, ok := c.given[property]
	if !ok {
		if group == defaultGroup {
			c.refuse(property, "Missing required configuration %q which has no default value.", creationPrefix+property)
		}
		return 0
	}
	told := creationPrefix + property
	if group == defaultGroup {
		told = setting
	}
	n, err := strconv.ParseInt(strings.TrimSpace(text), 10, bits)
	switch {
	case err != nil:
		c.refuse(property, "Invalid value %s for configuration %s: Not a number of type %s", text, told, map[int]string{16: "SHORT", 32: "INT"}[bits])
	case n < -1 || n == 0:
		c.refuse(property, "Invalid value %s for configuration %s: %s", text, told, positive[setting])
	default:
		return n
	}
	return 0
}

// patterns is one expression for a list of them; each must match the whole name.
func (c *creations) patterns(property string) *regexp.Regexp {
	list := config.SplitList(c.given[property])
	if len(list) == 0 {
		return nil
	}
	re, err := regexp.Compile(`\A(?:` + strings.Join(list, "|") + `)\z`)
	if err != nil {
		c.refuse(property, "Invalid value %s for configuration %s: Invalid regex: %v", c.given[property], creationPrefix+property, err)
	}
	return re
}
