// SPDX-License-Identifier: Apache-2.0

package json

import (
	"freshet/schema"
)

// plan decodes the values of one type. It is immutable.
type plan struct {
	code code
	typ  *schema.Type // nil without a schema
	// fallback is what null and missing members become, nil for null itself; optional says whether null may stay.
	fallback  any
	optional  bool
	lenient   bool // a missing member is null even where null may not be
	scale     int  // of a Decimal
	scaleErr  error
	key, elem *plan
	fields    []fieldPlan
	index     map[string]int // fields by name
}

// fieldPlan is a field of a struct. label is `"name":`, as converters write it.
type fieldPlan struct {
	label []byte
	name  string
	plan  *plan
}

// compilePlan makes the plan of a type and of all below it. keepNull leaves the nulls of optional fields alone, where
// otherwise they become defaults.
func compilePlan(t *schema.Type, o Options, keepNull bool) *plan {
	pl := &plan{code: codeIn(t, o), typ: t, lenient: o.JSONSchema}
	if t == nil {
		pl.optional = true
		return pl
	}
	pl.optional = t.Optional
	if o.ReplaceNullWithDefault && !(keepNull && t.Optional) {
		pl.fallback = t.Default
	}
	switch pl.code {
	case codeDecimal:
		pl.scale, pl.scaleErr = decimalScale(t)
	case codeArray:
		pl.elem = compilePlan(t.Elem, o, keepNull)
	case codeObject, codePairs, codeEntries:
		pl.key, pl.elem = compilePlan(t.Key, o, keepNull), compilePlan(t.Elem, o, keepNull)
	case codeStruct, codeUnion:
		pl.fields = make([]fieldPlan, len(t.Fields))
		pl.index = make(map[string]int, len(t.Fields))
		envelope := isEnvelope(t)
		for i, f := range t.Fields {
			keep := keepNull || envelope && (f.Name == "before" || f.Name == "after")
			label := append(AppendString(nil, []byte(f.Name)), ':')
			pl.fields[i] = fieldPlan{label, f.Name, compilePlan(f.Type, o, keep)}
			pl.index[f.Name] = i
		}
	}
	return pl
}

// isEnvelope says whether a struct is a complete change event. The rows in it tell null from default on their own: a
// null there is a null of the source's table, and stays one.
func isEnvelope(t *schema.Type) bool {
	for _, name := range [...]string{"before", "after", "source", "op"} {
		if t.FieldIndex(name) < 0 {
			return false
		}
	}
	return true
}
