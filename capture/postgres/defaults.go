// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"regexp"
	"strings"

	"freshet/change"
	"freshet/schema"
)

var (
	// functionDefault matches a default that begins with a function call, after one parenthesis at most.
	functionDefault = regexp.MustCompile(`^\(?[A-Za-z0-9_."]+\(`)
	// quotedLiteral matches a string literal; two quotes in it stand for one.
	quotedLiteral = regexp.MustCompile(`'((?:[^']|'')*)'`)
)

// lineEnds are the characters that end a line in Java. The reference does not see a literal with one of them.
const lineEnds = "\n\r\u0085\u2028\u2029"

// currentDefaults are the functions that SQL calls without parentheses and that stand for a value of their type.
var currentDefaults = map[string]bool{
	"CURRENT_TIMESTAMP": true, "CURRENT_DATE": true, "CURRENT_TIME": true, "LOCALTIME": true, "LOCALTIMESTAMP": true,
}

// defaultOf is the schema default of a column; nil for none. Generated columns and identities have none.
func defaultOf(c ColumnInfo, f *form) any {
	if !c.HasDefault || c.Identity || c.Generated {
		return nil
	}
	text, ok := defaultText(strings.TrimSpace(c.Default), f)
	if !ok {
		return nil
	}
	if special, ok := f.defaults[text]; ok {
		return special
	}
	// The default goes through the decoder of the values, so that both have one encoding. A default that does not decode is
	// an expression; it has no value to show.
	var b change.Batch
	v, err := f.decode(&b, []byte(text))
	switch {
	case err != nil && f.typ.Kind == schema.Boolean:
		return false // as Boolean.parseBoolean has it
	case err != nil:
		return nil
	}
	return literalOf(&b, v)
}

// defaultText finds the text of a default's value in its expression.
func defaultText(expr string, f *form) (string, bool) {
	upper := strings.ToUpper(expr)
	switch {
	case expr == "" || upper == "NULL" || strings.HasPrefix(upper, "NULL::"):
		return "", false
	case functionDefault.MatchString(expr) || currentDefaults[upper]:
		return f.zero, true
	}
	if m := quotedLiteral.FindStringSubmatch(expr); m != nil {
		if strings.ContainsAny(m[1], lineEnds) {
			return "", false
		}
		return strings.ReplaceAll(m[1], "''", "'"), true
	}
	return expr, true
}

// literalOf is the Go value of a scalar, as schema.Type.Default wants it; nil for others.
func literalOf(b *change.Batch, v change.Value) any {
	switch v.Kind() {
	case change.Bool:
		return v.Bool()
	case change.Int:
		return v.Int()
	case change.Float:
		return v.Float()
	case change.Text:
		return string(b.Bytes(v))
	case change.Bytes:
		return append([]byte{}, b.Bytes(v)...)
	}
	return nil
}
