// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"freshet/config"
)

// CommonDef declares the properties that Kafka Connect itself defines for connectors of a kind (source or sink) and a
// version.
func CommonDef(kind, version string) config.Def {
	keys := slices.Clone(commonKeys)
	if kind == sinkKind {
		keys = append(keys, sinkKeys...)
	} else {
		keys = append(keys, sourceKeys...)
	}
	def := config.Def{Keys: keys, Style: config.KafkaStyle}
	setDefault(&def, "connector.plugin.version", version)
	return def
}

// commonDef is CommonDef with the converters of this worker.
func (w *Worker) commonDef(p *config.Plugin) config.Def {
	def := CommonDef(p.Kind, p.Version)
	for property, fallback := range map[string]*config.Plugin{
		"key.converter": &jsonConverter, "value.converter": &jsonConverter, "header.converter": &simpleHeaderConverter,
	} {
		class, _ := w.config.converter(property, nil)
		setDefault(&def, property, cmp.Or(class, fallback.Class))
		def.Find(property).Recommended = converterClasses(property)
		setDefault(&def, property+".plugin.version", CompatibleVersion)
	}
	if _, ok := w.topics.(Clients); ok && p.Kind != sinkKind {
		def.Find("topic.creation.groups").Ignored = ""
	}
	if _, ok := w.topics.(Positions); ok && p.Kind != sinkKind {
		def.Find("offsets.storage.topic").Ignored = ""
	}
	if w.config.ExactlyOnce && p.Kind != sinkKind {
		def.Find("transaction.boundary").Ignored, def.Find("transaction.boundary.interval.ms").Ignored = "", ""
	}
	return def
}

// setDefault gives a property of def the default that only a worker or a plug-in knows.
func setDefault(def *config.Def, name, value string) {
	if k := def.Find(name); value != "" {
		k.Default, k.HasDefault = value, true
		if strings.HasSuffix(name, ".version") {
			k.Recommended = []string{value}
		}
	}
}

// converterClasses are what the property of a converter may name.
func converterClasses(property string) []string {
	var classes []string
	for _, k := range converterKinds {
		if property == "header.converter" && !k.headers() || property == "key.converter" && k.plugin.Class == cloudEventsConverter.Class {
			continue
		}
		classes = append(classes, k.plugin.Class)
	}
	if property == "header.converter" {
		classes = append(classes, simpleHeaderConverter.Class)
	}
	return classes
}

const (
	groupCommon = "Common"
	groupErrors = "Error Handling"

	kafkaOnly      = "topics are local, so there is no Kafka client to set up"
	noTransactions = "only workers with exactly.once.source.support=enabled have transactions"
	ownPositions   = "the worker stores positions by itself; those of a group of workers are in a topic"
)

var commonKeys = []config.Key{
	{
		Name: "name", Type: config.String, Required: true, Importance: config.High, Group: groupCommon,
		Display: "Connector name", Width: config.WidthMedium,
		Doc: "Globally unique name to use for this connector.", Check: nameReason,
	},
	{
		Name: "connector.class", Type: config.String, Required: true, Importance: config.High, Group: groupCommon,
		Display: "Connector class", Width: config.WidthLong,
		Doc: "Name or alias of the class for this connector.",
	},
	{
		Name: "connector.plugin.version", Type: config.String, Importance: config.Medium, Group: groupCommon,
		Display: "Connector version", Width: config.WidthMedium,
		Doc: "Version of the connector.", Ignored: "there is one version of each plug-in",
	},
	{
		Name: "tasks.max", Type: config.Int, Default: "1", HasDefault: true, Importance: config.High, Group: groupCommon,
		Display: "Tasks max", Width: config.WidthShort,
		Doc: "Maximum number of tasks to use for this connector.", Check: atLeast(1),
	},
	{
		Name: "tasks.max.enforce", Type: config.Boolean, Default: "true", HasDefault: true, Importance: config.Low, Group: groupCommon,
		Display: "Enforce tasks max", Width: config.WidthShort,
		Doc: "Whether a connector may have more tasks than tasks.max.", Ignored: "no connector makes more tasks than tasks.max",
	},
	{
		Name: "key.converter", Type: config.Class, Importance: config.Low, Group: groupCommon,
		Display: "Key converter class", Width: config.WidthShort,
		Doc: "Converter of record keys; the worker's where it is not given.",
	},
	{
		Name: "key.converter.plugin.version", Type: config.String, Importance: config.Low, Group: groupCommon,
		Display: "Key converter version", Width: config.WidthShort,
		Doc: "Version of the key converter.", Ignored: "there is one version of each plug-in",
	},
	{
		Name: "value.converter", Type: config.Class, Importance: config.Low, Group: groupCommon,
		Display: "Value converter class", Width: config.WidthShort,
		Doc: "Converter of record values; the worker's where it is not given.",
	},
	{
		Name: "value.converter.plugin.version", Type: config.String, Importance: config.Low, Group: groupCommon,
		Display: "Value converter version", Width: config.WidthShort,
		Doc: "Version of the value converter.", Ignored: "there is one version of each plug-in",
	},
	{
		Name: "header.converter", Type: config.Class, Importance: config.Low, Group: groupCommon,
		Display: "Header converter class", Width: config.WidthShort,
		Doc: "Converter of record headers; the worker's where it is not given.",
	},
	{
		Name: "header.converter.plugin.version", Type: config.String, Importance: config.Low, Group: groupCommon,
		Display: "Header converter version", Width: config.WidthShort,
		Doc: "Version of the header converter.", Ignored: "there is one version of each plug-in",
	},
	{
		Name: "transforms", Type: config.List, HasDefault: true, Importance: config.Low, Group: "Transforms",
		Display: "Transforms", Width: config.WidthLong, Order: 12,
		Doc: "Aliases of the transformations to be applied to records, in order.",
	},
	{
		Name: "predicates", Type: config.List, HasDefault: true, Importance: config.Low, Group: "Predicates",
		Display: "Predicates", Width: config.WidthLong, Order: 13,
		Doc: "Aliases of the predicates used by transformations.",
	},
	{
		Name: "config.action.reload", Type: config.String, Default: "restart", HasDefault: true, Importance: config.Low, Group: groupCommon,
		Display: "Reload Action", Width: config.WidthMedium, Order: 14,
		Doc: "What to do when an external configuration provider's value changes.", Check: oneOf("none", "restart"),
	},
	{
		Name: "errors.retry.timeout", Type: config.Long, Default: "0", HasDefault: true, Importance: config.Medium, Group: groupErrors,
		Display: "Retry Timeout for Errors", Width: config.WidthMedium,
		Doc: "How long a conversion that fails for a passing reason is tried again, in milliseconds; -1 is for ever. With 0, and at sources always, a registry that is away is waited for, by opening the task anew.",
	},
	{
		Name: "errors.retry.delay.max.ms", Type: config.Long, Default: "60000", HasDefault: true, Importance: config.Medium, Group: groupErrors,
		Display: "Maximum Delay Between Retries for Errors", Width: config.WidthMedium,
		Doc: "Longest wait between two attempts of a conversion.",
	},
	{
		Name: "errors.tolerance", Type: config.String, Default: "none", HasDefault: true, Importance: config.Medium, Group: groupErrors,
		Display: "Error Tolerance", Width: config.WidthShort,
		Doc: "Whether records that cannot be converted or transformed are skipped (all); with a dead letter queue records that the target refuses are, too.", Check: oneOf("none", "all"),
	},
	{
		Name: "errors.log.enable", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Medium, Group: groupErrors,
		Display: "Log Errors", Width: config.WidthShort,
		Doc: "Whether to log every record that fails; what ends a task is always logged.",
	},
	{
		Name: "errors.log.include.messages", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Medium, Group: groupErrors,
		Display: "Log Error Details", Width: config.WidthShort,
		Doc: "Whether that log tells which record it is: topic, partition, offset and time, never its values.",
	},
}

var sinkKeys = []config.Key{
	{
		Name: "topics", Type: config.List, HasDefault: true, Importance: config.High, Group: groupCommon,
		Display: "Topics", Width: config.WidthLong, Order: 4,
		Doc: "Topics to read, separated by commas.",
	},
	{
		Name: "topics.regex", Type: config.String, HasDefault: true, Importance: config.High, Group: groupCommon,
		Display: "Topics regex", Width: config.WidthLong, Order: 4,
		Doc: "Regular expression that matches the names of the topics to read.", Check: regexReason,
	},
	{
		Name: "errors.deadletterqueue.topic.name", Type: config.String, HasDefault: true, Importance: config.Medium, Group: groupErrors,
		Display: "Dead Letter Queue Topic Name", Width: config.WidthMedium,
		Doc: "Topic for records that the sink cannot take; none unless given.",
	},
	{
		Name: "errors.deadletterqueue.topic.replication.factor", Type: config.Short, Default: "3", HasDefault: true, Importance: config.Medium, Group: groupErrors,
		Display: "Dead Letter Queue Topic Replication Factor", Width: config.WidthMedium,
		Doc: "Replication factor of that topic, where it is created in Kafka.",
	},
	{
		Name: "errors.deadletterqueue.context.headers.enable", Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Medium, Group: groupErrors,
		Display: "Enable Error Context Headers", Width: config.WidthMedium,
		Doc: "Whether headers in that topic tell the error.",
	},
}

var sourceKeys = []config.Key{
	{
		Name: "topic.creation.groups", Type: config.List, HasDefault: true, Importance: config.Low, Group: "Topic Creation",
		Display: "Topic Creation Groups", Width: config.WidthLong,
		Doc: "Groups of topics with settings of their own.", Ignored: "topics are made with the log's defaults",
	},
	{
		Name: "exactly.once.support", Type: config.String, Default: "requested", HasDefault: true, Importance: config.Medium, Group: "Exactly Once Support",
		Display: "Exactly once support", Width: config.WidthShort, Order: 2,
		Doc: "Whether the worker must offer exactly-once delivery.", Check: foldedOneOf("REQUIRED", "REQUESTED"),
	},
	{
		Name: "transaction.boundary", Type: config.String, Default: "poll", HasDefault: true, Importance: config.Medium, Group: "Exactly Once Support",
		Display: "Transaction Boundary", Width: config.WidthShort,
		Doc: "Where transactions of the exactly-once producer end.", Check: foldedOneOf("INTERVAL", "POLL", "CONNECTOR"), Ignored: noTransactions,
	},
	{
		Name: "transaction.boundary.interval.ms", Type: config.Long, Importance: config.Low, Group: "Exactly Once Support",
		Display: "Transaction boundary interval", Width: config.WidthShort,
		Doc: "Length of those transactions.", Check: atLeast(0), Ignored: noTransactions,
	},
	{
		Name: "offsets.storage.topic", Type: config.String, Importance: config.Low, Group: "offsets.topic",
		Display: "Offsets topic", Width: config.WidthLong,
		Doc: "Topic for the connector's own offsets.", Ignored: ownPositions,
	},
}

// otherKeys are families of properties that a worker knows without a declaration of each.
var otherKeys = regexp.MustCompile(`^((transforms|predicates|topic\.creation|(key|value|header)\.converter)\.|(producer|consumer|admin)\.override\.)`)

// withoutEffect says why a property of otherKeys does nothing here.
func withoutEffect(name string) string {
	switch {
	case strings.HasPrefix(name, "topic.creation."):
		return "topics are made with the log's defaults"
	case strings.Contains(name, ".override."):
		return kafkaOnly
	}
	return ""
}

func nameReason(s string, _ config.Values) string {
	if strings.TrimSpace(s) == "" {
		return "String may not be empty"
	}
	var codes []string
	for _, r := range s {
		if unicode.IsControl(r) {
			codes = append(codes, strconv.Itoa(int(r)))
		}
	}
	if len(codes) > 0 {
		return "String may not contain control sequences but had the following ASCII chars: " + strings.Join(codes, ", ")
	}
	return ""
}

func atLeast(least int64) func(string, config.Values) string {
	return func(s string, _ config.Values) string {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil && n < least {
			return fmt.Sprintf("Value must be at least %d", least)
		}
		return ""
	}
}

func oneOf(allowed ...string) func(string, config.Values) string {
	return func(s string, _ config.Values) string {
		if slices.Contains(allowed, s) {
			return ""
		}
		return "String must be one of: " + strings.Join(allowed, ", ")
	}
}

func foldedOneOf(allowed ...string) func(string, config.Values) string {
	return func(s string, _ config.Values) string {
		if slices.ContainsFunc(allowed, func(a string) bool { return strings.EqualFold(a, s) }) {
			return ""
		}
		return "String must be one of (case insensitive): " + strings.Join(allowed, ", ")
	}
}

func regexReason(s string, _ config.Values) string {
	if _, err := regexp.Compile(s); err != nil {
		return "Invalid regex: " + err.Error()
	}
	return ""
}
