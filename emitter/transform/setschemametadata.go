// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"errors"

	"freshet/change"
	"freshet/config"
	"freshet/schema"
)

var setSchemaMetadataKinds = bothSides(config.Plugin{
	Name: "SetSchemaMetadata", Class: "org.apache.kafka.connect.transforms.SetSchemaMetadata", Kind: "transformation", Version: Version,
	Def: config.Def{Keys: []config.Key{
		{Name: "schema.name", Type: config.String, Importance: config.High, Doc: "Name to give the schema."},
		{Name: "schema.version", Type: config.Int, Importance: config.High, Doc: "Version to give the schema. One of both must be given."},
		replaceNullsKey,
	}},
}, func(s side, v config.Values) (Transform, error) {
	t := &setSchemaMetadata{side: s, nulls: nullsOf(v)}
	if t.named = v.Has("schema.name"); t.named {
		t.name = v.Get("schema.name")
	}
	if t.versioned = v.Has("schema.version"); t.versioned {
		t.version = int(v.Int("schema.version"))
	}
	if !t.named && !t.versioned {
		return nil, errors.New("Neither schema name nor version configured") //nolint:staticcheck // Kafka's words
	}
	return t, nil
})

// setSchemaMetadata gives structs another name or version of their schema.
type setSchemaMetadata struct {
	side             side
	nulls            nulls
	named, versioned bool
	name             string
	version          int
	types            cache[*schema.Type]
}

// Apply changes the type. Nulls in fields with a default become that default, as in Kafka Connect.
func (t *setSchemaMetadata) Apply(r *Record) (bool, error) {
	typ, v, err := t.side.get(r)
	if err != nil || typ == nil && v.IsNull() {
		return err == nil, err
	}
	switch {
	case typ == nil:
		return false, refuse("Schema required for [updating schema metadata]")
	case typ.Kind != schema.Struct:
		return false, refuse("Cannot list fields on non-struct type")
	}
	out, ok := t.types.get(typ)
	if !ok {
		c := *typ
		if t.named {
			c.Name = t.name
		}
		if t.versioned {
			c.Version = t.version
		}
		out = &c
		t.types.put(typ, out)
	}
	if !v.IsNull() {
		b := r.Data
		to := b.NewRow(len(typ.Fields))
		t.nulls.copyFields(b, typ, b.RowOf(v), to)
		v = b.Run(change.Struct, to)
	}
	t.side.set(r, out, v)
	return true, nil
}
