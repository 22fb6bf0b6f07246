// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"math"
	"slices"
	"strings"

	"freshet/change"
	"freshet/config"
	"freshet/schema"
)

var partitionRoutingKind = kind{
	plugin: config.Plugin{
		Name: "PartitionRouting", Class: "io.debezium.transforms.partitions.PartitionRouting", Kind: "transformation", Version: debeziumVersion,
		Def: config.Def{Keys: []config.Key{
			{
				Name: "partition.payload.fields", Type: config.List, Required: true, Importance: config.High, Group: "partitions",
				Display: "List of payload fields to use for compute partition.",
				Doc:     "Fields whose values decide on the partition, as paths with dots. A path that begins with change goes into after, of deletes into before. What a record does not have is left out.",
				Check:   func(s string, _ config.Values) string { return noEmptyElements(s) },
			},
			{
				Name: "partition.topic.num", Type: config.Int, Required: true, Importance: config.High, Group: "partitions",
				Display: "Number of partition configured for topic", Doc: "Number of partitions of the topic.",
				Check: positive,
			},
			{
				Name: "partition.hash.function", Type: config.String, Default: "java", HasDefault: true, Importance: config.Low, Group: "partitions",
				Display: "Hash function", Doc: "Hash of a value: java for Object.hashCode, or murmur.",
				Warn: func(s string) string {
					if strings.EqualFold(s, "java") || strings.EqualFold(s, "murmur") {
						return ""
					}
					return "is neither java nor murmur, and java is taken"
				},
			},
		}},
	},
	make: func(v config.Values) (Transform, error) {
		t := &partitionRouting{partitions: int32(v.Int("partition.topic.num")), hash: javaHash}
		if strings.EqualFold(strings.TrimSpace(v.Get("partition.hash.function")), "murmur") {
			t.hash = murmurHash
		}
		for _, f := range v.List("partition.payload.fields") {
			path := strings.Split(f, ".")
			for i := range path {
				path[i] = strings.TrimSpace(path[i])
			}
			t.fields = append(t.fields, path)
		}
		return t, nil
	},
}

// noEmptyElements refuses a list with an empty element.
func noEmptyElements(list string) string {
	if slices.ContainsFunc(strings.Split(list, ","), func(s string) bool { return strings.TrimSpace(s) == "" }) {
		return "Empty string element(s) not permitted"
	}
	return ""
}

// positive refuses a number that is not above zero.
func positive(s string, _ config.Values) string {
	if config.Int.Accepts(s) && (strings.HasPrefix(s, "-") || strings.Trim(s, "+0") == "") {
		return "A positive, non-zero integer value is expected"
	}
	return ""
}

// partitionRouting gives events the partition that the sum of the hashes of some fields tells. Tombstones, which have no
// fields, keep theirs.
type partitionRouting struct {
	fields     [][]string
	partitions int32
	hash       func(b *change.Batch, t *schema.Type, v change.Value) int32
	plans      cache[*partitionPlan]
}

// partitionPlan is where the fields are in the envelopes of one schema.
type partitionPlan struct {
	envelope
	fields, deleted []envelopePath // those of deletes, where change is before
}

// envelopePath leads to a field: an index for each level.
type envelopePath struct {
	at  []int
	typ *schema.Type
}

// Apply sets the partition of events that have a value in one of the fields.
func (t *partitionRouting) Apply(r *Record) (bool, error) {
	env, ok, err := r.event()
	if err != nil || !ok {
		return err == nil, err
	}
	plan, ok := t.plans.get(r.ValueType)
	if !ok {
		plan = t.plan(r.ValueType)
		t.plans.put(r.ValueType, plan)
	}
	fields := plan.fields
	switch plan.operation(r.Data, env) {
	case change.Truncate, change.Message:
		return true, nil
	case change.Delete:
		fields = plan.deleted
	}
	sum, found := int32(0), false
	for i := range fields {
		if v := fields[i].value(r.Data, env); !v.IsNull() {
			sum, found = sum+t.hash(r.Data, fields[i].typ, v), true
		}
	}
	if found {
		if sum &= math.MaxInt32; sum == math.MaxInt32 {
			sum = 0
		}
		r.Partition = sum % t.partitions
	}
	return true, nil
}

func (t *partitionRouting) plan(env *schema.Type) *partitionPlan {
	p := &partitionPlan{envelope: envelopeOf(env)}
	for _, f := range t.fields {
		if path, ok := pathTo(env, f, "after"); ok {
			p.fields = append(p.fields, path)
		}
		if path, ok := pathTo(env, f, "before"); ok {
			p.deleted = append(p.deleted, path)
		}
	}
	return p
}

// pathTo finds a field; row is what change stands for.
func pathTo(t *schema.Type, names []string, row string) (envelopePath, bool) {
	var p envelopePath
	for i, name := range names {
		if name == "change" && i < len(names)-1 {
			name = row
		}
		if t.Kind != schema.Struct {
			return p, false
		}
		at := t.FieldIndex(name)
		if at < 0 {
			return p, false
		}
		p.at, t = append(p.at, at), t.Fields[at].Type
	}
	p.typ = t
	return p, true
}

// value is the field's, or its default. A struct on the way that is null makes it null.
func (p *envelopePath) value(b *change.Batch, row change.Row) change.Value {
	for _, at := range p.at[:len(p.at)-1] {
		v := b.At(row, at)
		if v.Kind() != change.Struct {
			return change.NullValue()
		}
		row = b.RowOf(v)
	}
	return orDefault(b, b.At(row, p.at[len(p.at)-1]), p.typ)
}
