// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"
	"regexp"
	"strings"

	"freshet/schema"
)

// keyRule is a pair of message.key.columns: of the tables that match, the columns that match are part of the key.
type keyRule struct{ table, column *regexp.Regexp }

// parseKeyRules parses message.key.columns: tables and columns between colons, columns between commas, tables between
// semicolons; each is a regular expression.
func parseKeyRules(text string) ([]keyRule, error) {
	var rules []keyRule
	for part := range strings.SplitSeq(text, ";") {
		if strings.TrimSpace(part) == "" {
			continue
		}
		table, columns, ok := strings.Cut(part, ":")
		if !ok {
			return nil, fmt.Errorf("%q has no colon between table and columns", part)
		}
		t, err := compileFilter(strings.TrimSpace(table))
		if err != nil {
			return nil, err
		}
		for column := range strings.SplitSeq(columns, ",") {
			c, err := compileFilter(strings.TrimSpace(column))
			if err != nil {
				return nil, err
			}
			rules = append(rules, keyRule{t, c})
		}
	}
	return rules, nil
}

// keyNames are the names of the key's columns: those that message.key.columns chooses in the order of its pairs, where it
// chooses any, else key.
func (o *options) keyNames(id schema.ID, columns []ColumnInfo, key []string) []string {
	var chosen []string
	for _, rule := range o.KeyRules {
		if !rule.table.MatchString(id.String()) {
			continue
		}
		for _, c := range columns {
			if rule.column.MatchString(c.Name) {
				chosen = append(chosen, c.Name)
			}
		}
	}
	if chosen == nil {
		return key
	}
	return chosen
}
