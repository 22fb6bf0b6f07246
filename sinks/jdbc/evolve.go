// SPDX-License-Identifier: Apache-2.0

package jdbc

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"freshet/sinks/jdbc/dialect"
)

// evolve makes the table have a column for each field: it is created, or columns are added, where schema.evolution
// allows it. Nothing is ever dropped, renamed or retyped. DDL is committed on its own; what the segment holds was
// written before.
func (w *writer) evolve(ctx context.Context, t *target, fields []wanted) error {
	if t.table == nil {
		if !w.opt.evolve {
			return refuse(fmt.Errorf("Could not find table: %s", t.shown), "create it, or set schema.evolution=basic")
		}
		create, err := w.createTable(t.name, fields)
		if err != nil {
			return err
		}
		if err := w.define(ctx, t, create); err != nil {
			return err
		}
	}
	// Another task may add a part of the columns at the same moment: then the rest is left.
	for range maxEvolutions {
		missing := w.missingFields(t, fields)
		if len(missing) == 0 {
			return nil
		}
		if err := w.addColumns(ctx, t, missing); err != nil {
			return err
		}
	}
	return refuse(fmt.Errorf("table %q changes while columns are added to it", t.shown), "restart the task")
}

// maxEvolutions is how often columns are added for one record.
const maxEvolutions = 8

func (w *writer) addColumns(ctx context.Context, t *target, missing []wanted) error {
	if err := w.mayAdd(t, missing); err != nil {
		return err
	}
	columns := make([]string, len(missing))
	for i, f := range missing {
		var err error
		if columns[i], err = w.columnDefinition(f); err != nil {
			return err
		}
	}
	return w.define(ctx, t, w.opt.dialect.AddColumns(t.name, columns))
}

func (w *writer) missingFields(t *target, fields []wanted) []wanted {
	var missing []wanted
	for _, f := range fields {
		if t.column(w, f.column) == nil {
			missing = append(missing, f)
		}
	}
	return missing
}

func (w *writer) mayAdd(t *target, missing []wanted) error {
	for _, f := range missing {
		if f.key || !f.typ.Optional && f.typ.Default == nil {
			return refuse(fmt.Errorf("Cannot ALTER table '%s' because field '%s' is not optional but has no default value", t.shown, f.field),
				"add the column "+w.opt.dialect.Quote(f.column)+" by hand"+w.caseHint(t, f))
		}
	}
	if !w.opt.evolve {
		f := missing[0]
		return refuse(fmt.Errorf("Cannot alter table %s because schema evolution is disabled", t.shown),
			"add the column "+w.opt.dialect.Quote(f.column)+" by hand, or set schema.evolution=basic, or leave the field out by field.exclude.list"+w.caseHint(t, f))
	}
	return nil
}

// caseHint points at quote.identifiers where the table has the column in another case.
func (w *writer) caseHint(t *target, f wanted) string {
	for _, c := range t.table.Columns {
		if strings.EqualFold(c.Name, f.field) {
			return fmt.Sprintf("; the table has a column %q: with quote.identifiers=true names keep their case", c.Name)
		}
	}
	return ""
}

// define runs a DDL statement and reads the table anew.
func (w *writer) define(ctx context.Context, t *target, sql string) error {
	failed := w.session.Exec(ctx, sql)
	if failed != nil {
		if class, _ := w.opt.dialect.Classify(failed); class == dialect.Retry {
			return w.targetProblem(failed)
		}
	}
	table, err := w.session.Table(ctx, t.name)
	if err != nil {
		return w.targetProblem(err)
	}
	// Another task may have made the same change at the same moment: what counts is what is there now.
	if failed != nil && (table == nil || t.table != nil && len(table.Columns) == len(t.table.Columns)) {
		_, hint := w.opt.dialect.Classify(failed)
		if hint == "" {
			hint = "the statement was: " + beginning(sql)
		}
		return refuse(fmt.Errorf("table %q: %w", t.shown, failed), hint)
	}
	if table == nil {
		return refuse(fmt.Errorf("table %q is not there after it was created", t.shown), "see whether another program drops it")
	}
	w.log.Info("table defined", "table", t.shown, "statement", beginning(sql))
	t.table = table
	return nil
}

// beginning is a statement as messages show it: those of very wide tables are not for people.
func beginning(sql string) string {
	const most = 2000
	if len(sql) <= most {
		return sql
	}
	return strings.ToValidUTF8(sql[:most], "") + "..."
}

// createTable is the statement that creates a table for fields: key columns first, then PRIMARY KEY.
func (w *writer) createTable(name dialect.Name, fields []wanted) (string, error) {
	var parts, keys []string
	for _, f := range fields {
		column, err := w.columnDefinition(f)
		if err != nil {
			return "", err
		}
		parts = append(parts, column)
		if f.key {
			keys = append(keys, w.opt.dialect.Quote(f.column))
		}
	}
	if len(keys) > 0 {
		parts = append(parts, "PRIMARY KEY("+strings.Join(keys, ",")+")")
	}
	return "CREATE TABLE IF NOT EXISTS " + dialect.QuoteTable(w.opt.dialect, name) + " (" + strings.Join(parts, ", ") + ")", nil
}

// columnDefinition is NAME TYPE [DEFAULT x] NULL or NOT NULL.
func (w *writer) columnDefinition(f wanted) (string, error) {
	typ, err := w.opt.dialect.ColumnType(f.typ, f.key)
	if err != nil {
		return "", refuse(fmt.Errorf("field %q: %w", f.field, err), "leave it out by field.exclude.list")
	}
	def, err := w.opt.dialect.Default(f.typ)
	if err != nil {
		return "", refuse(fmt.Errorf("default of field %q: %w", f.field, err), "leave it out by field.exclude.list")
	}
	parts := []string{w.opt.dialect.Quote(f.column), typ}
	if def != "" {
		parts = append(parts, "DEFAULT "+def)
	}
	if f.key || !f.typ.Optional {
		return strings.Join(append(parts, "NOT NULL"), " "), nil
	}
	return strings.Join(slices.Concat(parts, []string{"NULL"}), " "), nil
}
