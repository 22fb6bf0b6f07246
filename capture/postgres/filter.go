// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"

	"freshet/config"
	"freshet/schema"
)

// captures says whether a table is captured. Filters match the whole of "schema.table" and of "schema".
func (o *options) captures(id schema.ID) bool {
	if o.isSignalTable(id) {
		return true // whatever the filters say
	}
	if o.IgnoreBuiltin && isBuiltin(id) {
		return false
	}
	return selects(o.SchemaInclude, o.SchemaExclude, id.Schema) &&
		selects(o.TableInclude, o.TableExclude, id.Schema+"."+id.Name)
}

// capturesColumn says whether a column is in the values of a captured table. Keys hold their columns whatever it says.
func (o *options) capturesColumn(id schema.ID, column string) bool {
	if o.ColumnInclude == nil && o.ColumnExclude == nil {
		return true
	}
	return selects(o.ColumnInclude, o.ColumnExclude, id.Schema+"."+id.Name+"."+column)
}

// snapshots says whether a captured table is part of snapshots. Quoted identifiers are accepted in the list.
func (o *options) snapshots(id schema.ID) bool {
	return o.SnapshotInclude == nil || matchIndex(o.SnapshotInclude, id.Schema+"."+id.Name) >= 0 ||
		matchIndex(o.SnapshotInclude, id.Quoted()) >= 0
}

// isBuiltin says whether a table belongs to the server or to PostGIS.
func isBuiltin(id schema.ID) bool {
	return id.Schema == "pg_catalog" || id.Schema == "information_schema" || strings.HasPrefix(id.Schema, "pg_temp") ||
		strings.HasPrefix(id.Schema, "pg_toast") || id.Name == "spatial_ref_sys"
}

func selects(include, exclude []*regexp.Regexp, name string) bool {
	if include != nil {
		return matchIndex(include, name) >= 0
	}
	return matchIndex(exclude, name) < 0
}

// matchIndex is the index of the first expression that matches name, -1 for none.
func matchIndex(list []*regexp.Regexp, name string) int {
	for i, re := range list {
		if re.MatchString(name) {
			return i
		}
	}
	return -1
}

// compileFilter compiles an expression of a filter list: it must match a whole name, in any case. The syntax is Java's
// as far as RE2 has it; look-around and back references are refused.
func compileFilter(expr string) (*regexp.Regexp, error) {
	if _, err := syntax.Parse(expr, syntax.Perl); err != nil {
		return nil, err // of the expression as it was written
	}
	return regexp.Compile("(?i)^(?:" + expr + ")$")
}

// parsePatterns compiles the lists of regular expressions.
func (o *options) parsePatterns(v config.Values) error {
	for name, dst := range map[string]*[]*regexp.Regexp{
		"schema.include.list": &o.SchemaInclude, "schema.exclude.list": &o.SchemaExclude,
		"table.include.list": &o.TableInclude, "table.exclude.list": &o.TableExclude,
		"column.include.list": &o.ColumnInclude, "column.exclude.list": &o.ColumnExclude,
		"snapshot.include.collection.list": &o.SnapshotInclude,
		"message.prefix.include.list":      &o.MessageInclude, "message.prefix.exclude.list": &o.MessageExclude,
	} {
		for _, expr := range v.List(name) {
			re, err := compileFilter(expr)
			if err != nil {
				return fmt.Errorf("property %q: %w", name, err)
			}
			*dst = append(*dst, re)
		}
	}
	o.IgnoreBuiltin = v.Bool("table.ignore.builtin")
	var err error
	if expr := v.Get(retriableErrors); expr != "" {
		if o.MayPass, err = regexp.Compile("^(?:" + expr + ")$"); err != nil {
			return fmt.Errorf("property %q: %w", retriableErrors, err)
		}
	}
	if o.ColumnRules, err = parseColumnRules(v); err != nil {
		return err
	}
	if o.Reselect, err = parseReselect(v); err != nil {
		return err
	}
	if o.KeyRules, err = parseKeyRules(v.Get("message.key.columns")); err != nil {
		return fmt.Errorf("property %q: %w", "message.key.columns", err)
	}
	rules, err := parseIdentityRules(v.List("replica.identity.autoset.values"))
	if err != nil {
		return fmt.Errorf("property %q: %w", "replica.identity.autoset.values", err)
	}
	o.ReplicaIdentity = rules
	return nil
}

// parseIdentityRules parses items of the form table:IDENTITY.
func parseIdentityRules(items []string) ([]identityRule, error) {
	var rules []identityRule
	for _, item := range items {
		i := strings.LastIndexByte(item, ':')
		if i < 0 {
			return nil, fmt.Errorf("rule %q has no ':' between table and identity", item)
		}
		re, err := compileFilter(strings.TrimSpace(item[:i]))
		if err != nil {
			return nil, err
		}
		identity, err := parseIdentity(strings.TrimSpace(item[i+1:]))
		if err != nil {
			return nil, err
		}
		rules = append(rules, identityRule{re, identity})
	}
	return rules, nil
}

// parseIdentity makes the clause of ALTER TABLE ... REPLICA IDENTITY.
func parseIdentity(s string) (string, error) {
	switch upper := strings.ToUpper(s); upper {
	case "DEFAULT", "FULL", "NOTHING":
		return upper, nil
	}
	kind, index, ok := strings.Cut(s, " ")
	if index = strings.TrimSpace(index); ok && index != "" && strings.EqualFold(kind, "INDEX") {
		return "USING INDEX " + schema.QuoteName(index), nil
	}
	return "", fmt.Errorf("%q is not a replica identity: write DEFAULT, FULL, NOTHING or INDEX <name>", s)
}
