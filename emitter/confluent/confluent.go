// SPDX-License-Identifier: Apache-2.0

// Package confluent has what Confluent's converters share: the settings of the schema registry, the names of subjects, and the
// beginning of a message, which is a zero byte and the id of its schema.
//
// Its main types are Writer, which makes heads of messages for schemas, and Registered, a schema whose id is asked for with
// the first value: a schema that nothing is written by is not registered. Split takes a message apart.
package confluent

import (
	"errors"
	"strings"
	"time"

	"freshet/config"
	"freshet/schema/registry"
)

// Options are the settings that the converters share.
type Options struct {
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

// Flag is a boolean property.
func Flag(name, def, doc string) config.Key {
	return config.Key{Name: name, Type: config.Boolean, Default: def, HasDefault: true, Importance: config.Medium, Doc: doc}
}

// Later is a flag of which only the default is served.
func Later(name, def, why string) config.Key {
	k := Flag(name, def, "")
	k.Later = why
	return k
}

// Ignored is a property without effect.
func Ignored(name string, t config.Type, def, why string) config.Key {
	return config.Key{Name: name, Type: t, Default: def, HasDefault: true, Importance: config.Low, Ignored: why}
}

const (
	ownRetries = "a task that cannot reach the registry waits and tries again by itself"
	keepsAll   = "all schemas of a connector are kept"
)

// Keys are the properties that the converters share; strict says what latest.compatibility.strict means for one of them.
func Keys(strict string) []config.Key {
	return []config.Key{
		{
			Name: "schema.registry.url", Type: config.List, Required: true, Importance: config.High,
			Doc: "Addresses of the schema registry, tried in turn.", Check: checkURLs, Show: showURLs,
		},
		Flag("auto.register.schemas", "true", "Register schemas that are not there; otherwise they must be."),
		Flag("use.latest.version", "false", "Without auto.register.schemas: write with the latest version of the subject, which must have the same fields."),
		Flag("normalize.schemas", "false", "Have the registry take schemas that differ in form alone for one."),
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
		Ignored("schemas.cache.config", config.Int, "1000", keepsAll),
		Ignored("max.schemas.per.subject", config.Int, "1000", keepsAll),
		Ignored("latest.compatibility.strict", config.Boolean, "true", strict),
		Ignored("max.retries", config.Int, "3", ownRetries),
		Ignored("retries.wait.ms", config.Int, "1000", ownRetries),
		Ignored("retries.max.wait.ms", config.Int, "20000", ownRetries),
		Ignored("http.connect.timeout.ms", config.Int, "60000", "http.read.timeout.ms holds for the whole question"),
		{
			Name: "use.schema.id", Type: config.Int, Default: "-1", HasDefault: true, Importance: config.Low,
			Doc: "A fixed schema.", Later: "leave it out",
		},
	}
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

// Parse reads a converter's properties, given without the prefix key.converter. or value.converter. of theirs.
func Parse(def *config.Def, properties map[string]string, key bool) (Options, config.Values, error) {
	v, problems := def.Parse(properties)
	var errs []error
	for _, p := range config.Errors(problems) {
		errs = append(errs, p)
	}
	if len(errs) > 0 {
		return Options{}, v, errors.Join(errs...)
	}
	strategy := "value.subject.name.strategy"
	if key {
		strategy = "key.subject.name.strategy"
	}
	name := v.Get(strategy)
	o := Options{
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
			return Options{}, v, errors.New("basic.auth.user.info must be USER:PASSWORD where basic.auth.credentials.source is USER_INFO")
		}
	}
	if v.Get("bearer.auth.credentials.source") == "STATIC_TOKEN" {
		o.Registry.Token = v.Get("bearer.auth.token")
	}
	return o, v, nil
}
