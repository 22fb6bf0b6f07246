// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"

	"freshet/config"
)

// definition declares every property of the connector, in the order of the original's validation answers.
func definition() config.Def {
	keys := slices.Concat(
		grouped("Postgres", connectionKeys()),
		grouped("Connector", connectorKeys()),
		grouped("Events", eventKeys()),
		grouped("Connector", unlistedKeys()),
		grouped("Events", reselectKeys()),
	)
	return config.Def{Keys: keys, Style: config.DebeziumStyle}
}

func grouped(group string, keys []config.Key) []config.Key {
	for i := range keys {
		keys[i].Group = group
	}
	return keys
}

// The checks below return the reason in the original's words, "" where the value is fine.

var (
	topicPrefixPattern = regexp.MustCompile(`^[a-zA-Z0-9_.\-]+$`)
	slotNamePattern    = regexp.MustCompile(`^[a-z0-9_]{1,63}$`)
	keyColumnsFormat   = `^\s*([^:]+):([^:,]+(,[^:,]+)*)\s*$`
	keyColumnsPattern  = regexp.MustCompile(keyColumnsFormat)
)

func checkTopicPrefix(value string, _ config.Values) string {
	if topicPrefixPattern.MatchString(value) {
		return ""
	}
	return value + " has invalid format (only the underscore, hyphen, dot and alphanumeric characters are allowed)"
}

func checkSlotName(value string, _ config.Values) string {
	if slotNamePattern.MatchString(value) {
		return ""
	}
	return "Valid replication slot name must contain only digits, lowercase characters and underscores with length <= 63"
}

// positive and nonNegative repeat the refusal of what is not a number, as the original does.
func positive(value string, _ config.Values) string {
	if n, err := strconv.ParseInt(value, 10, 64); err != nil || n <= 0 {
		return "A positive, non-zero integer value is expected"
	}
	return ""
}

func nonNegative(value string, _ config.Values) string {
	if n, err := strconv.ParseInt(value, 10, 64); err != nil || n < 0 {
		return "An non-negative integer is expected"
	}
	return ""
}

// checkPort and booleanText are second checks of the same kind: the original says it twice.
func checkPort(value string, _ config.Values) string {
	switch n, err := strconv.ParseInt(value, 10, 32); {
	case err != nil:
		return "An integer is expected"
	case n < 1 || n > 65535:
		return "A port between 1 and 65535 is expected"
	}
	return ""
}

func booleanText(value string, _ config.Values) string {
	if strings.EqualFold(value, "true") || strings.EqualFold(value, "false") {
		return ""
	}
	return "Either 'true' or 'false' is expected"
}

func checkQueueSize(value string, all config.Values) string {
	switch n, err := strconv.ParseInt(value, 10, 64); {
	case err != nil:
		return ""
	case n <= 0:
		return "A positive queue size is required"
	case n <= all.Int("max.batch.size"):
		return "Must be larger than the maximum batch size"
	}
	return ""
}

func checkOperations(value string, _ config.Values) string {
	ops := config.SplitList(value)
	for _, op := range ops {
		switch strings.ToLower(op) {
		case "c", "u", "d", "t", "r":
		case "none":
			if len(ops) > 1 {
				return `"none" cannot be specified with other skipped operations`
			}
		default:
			return "Invalid operation"
		}
	}
	return ""
}

// checkMessageInterval refuses messages that nobody would write.
func checkMessageInterval(value string, all config.Values) string {
	if reason := nonNegative(value, all); reason != "" || value == "0" {
		return reason
	}
	switch {
	case all.Get("slot.guard.interval.ms") == "0":
		return "the guard writes the messages, and slot.guard.interval.ms is 0"
	case all.Bool("read.only"):
		return "read.only keeps the connector from writing"
	}
	return ""
}

// checkStreamParams refuses what is no list of options, and options that decide what is decoded and how.
func checkStreamParams(value string, _ config.Values) string {
	for part := range strings.SplitSeq(value, ";") {
		name, _, ok := strings.Cut(part, "=")
		switch name = strings.TrimSpace(name); {
		case strings.TrimSpace(part) == "":
		case !ok || name == "":
			return fmt.Sprintf("name=value is expected, with semicolons in between, but not %q", part)
		case slices.Contains([]string{"proto_version", "publication_names", "messages", "binary", "streaming", "two_phase"}, strings.ToLower(name)):
			return fmt.Sprintf("the option %q is the connector's own", name)
		}
	}
	return ""
}

func checkRegexps(value string, _ config.Values) string {
	for _, expr := range config.SplitList(value) {
		if _, err := compileFilter(expr); err != nil {
			return "A comma-separated list of valid regular expressions is expected, but " + regexpReason(expr, err)
		}
	}
	return ""
}

// exclusive refuses a list that is given beside its counterpart.
func exclusive(include string) func(string, config.Values) string {
	return func(value string, all config.Values) string {
		if value != "" && all.Get(include) != "" {
			return fmt.Sprintf("%q is already specified", include)
		}
		return checkRegexps(value, all)
	}
}

// regexpReason words what is wrong with an expression, in Java's words where it is the same fault.
func regexpReason(expr string, err error) string {
	var e *syntax.Error
	if !errors.As(err, &e) {
		return err.Error()
	}
	switch e.Code {
	case syntax.ErrMissingParen:
		return fmt.Sprintf("Unclosed group near index %d\n%s", len(expr), expr)
	case syntax.ErrUnexpectedParen:
		return fmt.Sprintf("Unmatched closing ')'\n%s", expr)
	case syntax.ErrMissingBracket:
		return fmt.Sprintf("Unclosed character class near index %d\n%s", len(expr)-1, expr)
	case syntax.ErrInvalidPerlOp:
		return fmt.Sprintf("look-around (%s) is not served; list the names, or use the other of the include and exclude lists\n%s", e.Expr, expr)
	}
	return fmt.Sprintf("%s: %s\n%s", e.Code, e.Expr, expr)
}

func checkIdentityRules(value string, _ config.Values) string {
	if _, err := parseIdentityRules(config.SplitList(value)); err != nil {
		return err.Error()
	}
	return ""
}

func checkKeyColumns(value string, _ config.Values) string {
	for rule := range strings.SplitSeq(value, ";") {
		if rule != "" && !keyColumnsPattern.MatchString(rule) {
			return fmt.Sprintf("%s has an invalid format (expecting '%s')", rule, keyColumnsFormat)
		}
	}
	if _, err := parseKeyRules(value); err != nil {
		return "regular expressions are expected, but " + regexpReason(value, err)
	}
	return ""
}

func checkPlaceholder(value string, _ config.Values) string {
	if digits, ok := strings.CutPrefix(value, "hex:"); ok {
		if _, err := hex.DecodeString(digits); err != nil {
			return "hexadecimal digits are expected after hex:"
		}
	}
	return ""
}

func checkSignalChannels(value string, _ config.Values) string {
	for _, channel := range config.SplitList(value) {
		switch strings.ToLower(channel) {
		case "source", "kafka", "file", "jmx", "in-process": // of the last two nothing ever comes here
		default:
			return fmt.Sprintf("channel %q is none of source, kafka, file", channel)
		}
	}
	return ""
}

func checkNotificationTopic(value string, all config.Values) string {
	sink := slices.ContainsFunc(all.List("notification.enabled.channels"), func(c string) bool { return strings.EqualFold(c, "sink") })
	if sink && value == "" {
		return "Notification topic name must be provided when kafka notification channel is enabled"
	}
	return ""
}

// selectOverrides is the prefix of the properties with the statements of snapshot.select.statement.overrides.
const selectOverrides = "snapshot.select.statement.overrides"

func checkSelectOverrides(value string, all config.Values) string {
	for _, table := range config.SplitList(value) {
		if name := selectOverrides + "." + table; strings.TrimSpace(all.Get(name)) == "" {
			return fmt.Sprintf("the property %q with the statement is missing", name)
		}
	}
	return ""
}

// checkRegexp refuses what is no regular expression.
func checkRegexp(value string, _ config.Values) string {
	if _, err := regexp.Compile(value); err != nil {
		return "A regular expression is expected, but " + regexpReason(value, err)
	}
	return ""
}

// namingStrategies are the classes of topic.naming.strategy, in full and by their last part.
func namingStrategies() []string {
	var out []string
	for _, kind := range []string{"Schema", "Default"} {
		for _, form := range []string{"", "Unicode", "Regex"} {
			class := kind + form + "TopicNamingStrategy"
			out = append(out, "io.debezium.schema."+class, class)
		}
	}
	return out
}

// warnOfJMX warns of the channel jmx, which there is only in a Java virtual machine.
func warnOfJMX(instead string) func(string) string {
	return func(value string) string {
		if slices.ContainsFunc(config.SplitList(value), func(c string) bool { return strings.EqualFold(c, "jmx") }) {
			return "the channel jmx has no effect here; " + instead
		}
		return ""
	}
}

// checkNotificationChannels refuses channels that there are not.
func checkNotificationChannels(value string, _ config.Values) string {
	for _, channel := range config.SplitList(value) {
		switch strings.ToLower(channel) {
		case "sink", "log", "jmx":
		default:
			return fmt.Sprintf("channel %q is not known; there are sink, log and jmx", channel)
		}
	}
	return ""
}
