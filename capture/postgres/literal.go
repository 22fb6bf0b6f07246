// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"

	"freshet/schema"
)

// literalForm carries a value as the text that the server prints and that any server reads back as the same value, for
// internal.literal.types. Its schema has a name, so that a sink can tell such a text from one of the user's, and the type
// as a parameter where it is one that every server has.
func (r *Registry) literalForm(u typeUse) form {
	f := textForm(schema.Literal)(u)
	if name := r.builtinName(u.resolved); name != "" {
		f.typ.Params = []schema.Param{{Name: "type", Value: name}}
	}
	return f
}

// lossy says whether the usual form of a type leaves out something of its values, or whether there is none: arrays lose
// their dimensions, numbers without a scale zeros at their end, intervals their months, zoned times their zone, varying bit
// strings zeros at their start.
func lossy(u typeUse) bool {
	if u.elem != 0 {
		return true
	}
	if u.schema == "pg_catalog" {
		switch u.name {
		case "numeric":
			return u.typmod < numericHeaderBytes
		case "interval", "timetz", "varbit":
			return true
		}
	}
	_, known := knownForm(u)
	return !known
}

// builtinName is the name of a type of pg_catalog, such as int4[] or varchar(3); "" for others.
func (r *Registry) builtinName(t resolved) string {
	switch {
	case t.schema != "pg_catalog" || t.domain && t.elem != 0:
		return ""
	case t.elem != 0 && t.name == "_"+r.resolve(t.elem, -1).name:
		elem := r.builtinName(r.resolve(t.elem, t.typmod))
		if elem == "" {
			return ""
		}
		return elem + "[]"
	case t.typmod < 0:
		return t.name
	}
	switch t.name {
	case "numeric":
		m := t.typmod - numericHeaderBytes
		if m&0x400 != 0 { // a negative scale, which not every server knows
			return t.name
		}
		return fmt.Sprintf("numeric(%d,%d)", m>>16, m&0x7ff)
	case "varchar", "bpchar":
		return fmt.Sprintf("%s(%d)", t.name, t.typmod-4)
	case "bit", "varbit":
		return fmt.Sprintf("%s(%d)", t.name, t.typmod)
	}
	return t.name
}
