// SPDX-License-Identifier: Apache-2.0

// Package avro is Confluent's AvroConverter in both directions, with a Confluent-compatible schema registry: schemas and
// bytes are those that its AvroData makes.
//
// Its main types are Format, which compiles Connect schemas into encoders, and Side, which makes typed values of messages.
// A message is a zero byte, the id of its schema in the registry, and Avro's binary form; the first two are a topic.Head.
// An encoder is a tree of nodes with defaults already encoded, and allocates nothing for a value. It asks the registry for
// its id with the first value, not when it is compiled: a schema that nothing is written by is not registered.
package avro

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"freshet/config"
	"freshet/schema/registry"
)

// Class is Confluent's.
const Class = "io.confluent.connect.avro.AvroConverter"

// Options are the settings of a converter.
type Options struct {
	Enhanced        bool // enhanced.avro.schema.support: enums stay enums
	MetaData        bool // connect.meta.data
	ScrubNames      bool // scrub.invalid.names
	OptionalMapKeys bool // allow.optional.map.keys
	IgnoreDefaults  bool // ignore.default.for.nullables

	Key                     bool // converts keys
	AutoRegister, UseLatest bool
	Strategy                string // the last part of the subject name strategy's class
	Registry                registry.Options
}

// The subject name strategies.
const (
	topicName       = "TopicNameStrategy"
	recordName      = "RecordNameStrategy"
	topicRecordName = "TopicRecordNameStrategy"
)

func strategyKey(name string) config.Key {
	return config.Key{
		Name: name, Type: config.Class, Default: "io.confluent.kafka.serializers.subject." + topicName, HasDefault: true, Importance: config.Medium,
		Doc: "How the subject of a schema is named: by the topic, the record, or both.",
		Check: func(value string, _ config.Values) string {
			switch strings.TrimPrefix(value, "io.confluent.kafka.serializers.subject.") {
			case topicName, recordName, topicRecordName:
				return ""
			}
			return "not served yet: use one of TopicNameStrategy, RecordNameStrategy, TopicRecordNameStrategy of io.confluent.kafka.serializers.subject"
		},
	}
}

func flag(name, def string, doc string) config.Key {
	return config.Key{Name: name, Type: config.Boolean, Default: def, HasDefault: true, Importance: config.Medium, Doc: doc}
}

// later is a flag of which only the default is served.
func later(name, def, why string) config.Key {
	k := flag(name, def, "")
	k.Later = why
	return k
}

const ownRetries = "a task that cannot reach the registry waits and tries again by itself"

var definition = config.Def{Keys: []config.Key{
	{
		Name: "schema.registry.url", Type: config.List, Required: true, Importance: config.High,
		Doc: "Addresses of the schema registry, tried in turn.", Check: checkURLs, Show: showURLs,
	},
	flag("auto.register.schemas", "true", "Register schemas that are not there; otherwise they must be."),
	flag("use.latest.version", "false", "Without auto.register.schemas: write with the latest version of the subject, which must have the same fields."),
	flag("normalize.schemas", "false", "Have the registry take schemas that differ in form alone for one."),
	strategyKey("key.subject.name.strategy"),
	strategyKey("value.subject.name.strategy"),
	{
		Name: "basic.auth.credentials.source", Type: config.String, Default: "URL", HasDefault: true, Importance: config.Medium,
		Doc: "Where user and password are: in the URL, or in basic.auth.user.info.", Allowed: []string{"URL", "USER_INFO", "SASL_INHERIT"},
		Later: "give user and password by USER_INFO", Served: []string{"URL", "USER_INFO"},
	},
	{
		Name: "basic.auth.user.info", Type: config.Password, Importance: config.Medium, Doc: "USER:PASSWORD.",
		Aliases: []string{"schema.registry.basic.auth.user.info"},
	},
	{
		Name: "bearer.auth.credentials.source", Type: config.String, Default: "", HasDefault: true, Importance: config.Medium,
		Doc: "STATIC_TOKEN sends bearer.auth.token.", Later: "give a token by STATIC_TOKEN", Served: []string{"", "STATIC_TOKEN"},
	},
	{Name: "bearer.auth.token", Type: config.Password, Importance: config.Medium, Doc: "The token of STATIC_TOKEN."},
	{
		Name: "http.read.timeout.ms", Type: config.Int, Default: "60000", HasDefault: true, Importance: config.Low,
		Doc: "How long a question to the registry may take.",
	},
	flag("connect.meta.data", "true", "Keep names, versions, parameters and defaults of Connect schemas in the Avro schema."),
	flag("enhanced.avro.schema.support", "false", "Keep enums, and namespaces in unions."),
	flag("scrub.invalid.names", "false", "Replace what Avro does not allow in names."),
	flag("allow.optional.map.keys", "false", "Take maps with keys that may be null for maps of texts."),
	flag("ignore.default.for.nullables", "false", "Write a null as null where the schema has a default."),
	later("generalized.sum.type.support", "false", "unions and enums in their general form"),
	later("discard.type.doc.default", "false", "docs at fields instead of types"),
	later("flatten.singleton.unions", "true", "unions of one type as Structs"),
	ignored("schemas.cache.config", config.Int, "1000", "all schemas of a connector are kept"),
	ignored("max.schemas.per.subject", config.Int, "1000", "all schemas of a connector are kept"),
	ignored("latest.compatibility.strict", config.Boolean, "true", "the latest version must have the same fields"),
	ignored("max.retries", config.Int, "3", ownRetries),
	ignored("retries.wait.ms", config.Int, "1000", ownRetries),
	ignored("retries.max.wait.ms", config.Int, "20000", ownRetries),
	ignored("http.connect.timeout.ms", config.Int, "60000", "http.read.timeout.ms holds for the whole question"),
	{
		Name: "use.schema.id", Type: config.Int, Default: "-1", HasDefault: true, Importance: config.Low,
		Doc: "A fixed schema.", Later: "leave it out",
	},
}}

func ignored(name string, t config.Type, def, why string) config.Key {
	return config.Key{Name: name, Type: t, Default: def, HasDefault: true, Importance: config.Low, Ignored: why}
}

func checkURLs(value string, _ config.Values) string {
	if _, err := registry.New(registry.Options{URLs: config.SplitList(value)}); err != nil {
		return err.Error()
	}
	return ""
}

// showURLs hides passwords.
func showURLs(value string) string {
	urls := config.SplitList(value)
	for i, u := range urls {
		if scheme, rest, ok := strings.Cut(u, "://"); ok {
			if at := strings.LastIndexByte(rest, '@'); at >= 0 {
				urls[i] = scheme + "://****" + rest[at:]
			}
		}
	}
	return strings.Join(urls, ",")
}

// Plugin describes the converter.
func Plugin() config.Plugin {
	return config.Plugin{Name: "avro", Class: Class, Kind: "converter", Version: "8.0.0", Def: definition}
}

// ParseOptions reads a converter's properties, given without the prefix key.converter. or value.converter. of theirs.
func ParseOptions(properties map[string]string, key bool) (Options, error) {
	v, problems := definition.Parse(properties)
	var errs []error
	for _, p := range config.Errors(problems) {
		errs = append(errs, p)
	}
	if len(errs) > 0 {
		return Options{}, errors.Join(errs...)
	}
	strategy := "value.subject.name.strategy"
	if key {
		strategy = "key.subject.name.strategy"
	}
	name := v.Get(strategy)
	o := Options{
		Enhanced: v.Bool("enhanced.avro.schema.support"), MetaData: v.Bool("connect.meta.data"), ScrubNames: v.Bool("scrub.invalid.names"),
		OptionalMapKeys: v.Bool("allow.optional.map.keys"), IgnoreDefaults: v.Bool("ignore.default.for.nullables"),
		Key: key, AutoRegister: v.Bool("auto.register.schemas"), UseLatest: v.Bool("use.latest.version"),
		Strategy: name[strings.LastIndexByte(name, '.')+1:],
		Registry: registry.Options{
			URLs: v.List("schema.registry.url"), Normalize: v.Bool("normalize.schemas"),
			Timeout: time.Duration(v.Int("http.read.timeout.ms")) * time.Millisecond,
		},
	}
	if v.Get("basic.auth.credentials.source") == "USER_INFO" {
		var ok bool
		if o.Registry.User, o.Registry.Password, ok = strings.Cut(v.Get("basic.auth.user.info"), ":"); !ok {
			return Options{}, errors.New("basic.auth.user.info must be USER:PASSWORD where basic.auth.credentials.source is USER_INFO")
		}
	}
	if v.Get("bearer.auth.credentials.source") == "STATIC_TOKEN" {
		o.Registry.Token = v.Get("bearer.auth.token")
	}
	return o, nil
}

// subject is what a schema is registered under.
func (o *Options) subject(topic string, a *avroType) (string, error) {
	if o.Strategy == recordName || o.Strategy == topicRecordName {
		for _, b := range a.branches { // an optional record counts as the record
			if b.kind == record && len(a.branches) == 2 {
				a = b
			}
		}
		if a.kind != record {
			return "", schemaError(fmt.Sprintf("the subject name strategy %s needs a record, but the schema is of type %s", o.Strategy, kindNames[a.kind]))
		}
		if o.Strategy == recordName {
			return a.full(), nil
		}
		return topic + "-" + a.full(), nil
	}
	if o.Key {
		return topic + "-key", nil
	}
	return topic + "-value", nil
}

// id is the registry's id of what is written to a topic by schema a.
func (o *Options) id(ctx context.Context, client *registry.Client, topic string, a *avroType) (int, error) {
	subject, err := o.subject(topic, a)
	if err != nil {
		return 0, err
	}
	switch text := string(schemaText(a)); {
	case o.AutoRegister:
		return client.Register(ctx, subject, text)
	case !o.UseLatest:
		return client.Lookup(ctx, subject, text)
	}
	latest, err := client.Latest(ctx, subject)
	if err != nil {
		return 0, err
	}
	theirs, err := parseRegistered(&latest)
	if err != nil {
		return 0, err
	}
	if canonical(theirs) != canonical(a) {
		return 0, schemaError(fmt.Sprintf("the latest schema of subject %q has other fields than what is written; register the new one, or set auto.register.schemas=true", subject))
	}
	return latest.ID, nil
}

// canonical is what of a schema decides on the bytes: no properties, docs or defaults.
func canonical(a *avroType) string {
	seen := map[*avroType]*avroType{}
	var bare func(t *avroType) *avroType
	bare = func(t *avroType) *avroType {
		if t == nil || seen[t] != nil {
			return seen[t]
		}
		out := &avroType{kind: t.kind, name: t.name, space: t.space, symbols: t.symbols, size: t.size}
		seen[t] = out
		out.elem = bare(t.elem)
		for _, b := range t.branches {
			out.branches = append(out.branches, bare(b))
		}
		for _, f := range t.fields {
			out.fields = append(out.fields, avroField{name: f.name, typ: bare(f.typ)})
		}
		return out
	}
	return string(schemaText(bare(a)))
}

func parseRegistered(s *registry.Schema) (*avroType, error) {
	refs := make([][]byte, len(s.References))
	for i, r := range s.References {
		refs[i] = []byte(r)
	}
	return parseSchema([]byte(s.Text), refs...)
}
