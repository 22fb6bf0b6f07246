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
	"freshet/config"
	"freshet/emitter/confluent"
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

	confluent.Options
}

var definition = config.Def{Keys: append(confluent.Keys("the latest version must have the same fields"),
	confluent.Flag("connect.meta.data", "true", "Keep names, versions, parameters and defaults of Connect schemas in the Avro schema."),
	confluent.Flag("enhanced.avro.schema.support", "false", "Keep enums, and namespaces in unions."),
	confluent.Flag("scrub.invalid.names", "false", "Replace what Avro does not allow in names."),
	confluent.Flag("allow.optional.map.keys", "false", "Take maps with keys that may be null for maps of texts."),
	confluent.Flag("ignore.default.for.nullables", "false", "Write a null as null where the schema has a default."),
	confluent.Later("generalized.sum.type.support", "false", "unions and enums in their general form"),
	confluent.Later("discard.type.doc.default", "false", "docs at fields instead of types"),
	confluent.Later("flatten.singleton.unions", "true", "unions of one type as Structs"),
)}

// Plugin describes the converter.
func Plugin() config.Plugin {
	return config.Plugin{Name: "avro", Class: Class, Kind: "converter", Version: "8.0.0", Def: definition}
}

// ParseOptions reads a converter's properties, given without the prefix key.converter. or value.converter. of theirs.
func ParseOptions(properties map[string]string, key bool) (Options, error) {
	shared, v, err := confluent.Parse(&definition, properties, key)
	if err != nil {
		return Options{}, err
	}
	return Options{
		Options:  shared,
		Enhanced: v.Bool("enhanced.avro.schema.support"), MetaData: v.Bool("connect.meta.data"), ScrubNames: v.Bool("scrub.invalid.names"),
		OptionalMapKeys: v.Bool("allow.optional.map.keys"), IgnoreDefaults: v.Bool("ignore.default.for.nullables"),
	}, nil
}

// registered is a schema as it is registered. An optional record counts as the record.
func registered(a *avroType) confluent.Schema {
	s := confluent.Schema{Kind: registry.Avro, Text: string(schemaText(a)), Same: func(r registry.Schema) (bool, error) {
		theirs, err := parseRegistered(&r)
		return err == nil && canonical(theirs) == canonical(a), err
	}}
	for _, b := range a.branches {
		if b.kind == record && len(a.branches) == 2 {
			a = b
		}
	}
	if s.Form = kindNames[a.kind]; a.kind == record {
		s.Record = a.full()
	}
	return s
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
		refs[i] = []byte(r.Text)
	}
	return parseSchema([]byte(s.Text), refs...)
}
