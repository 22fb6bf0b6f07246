// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5"
)

const personsTable = `CREATE TABLE persons (
  id serial PRIMARY KEY,
  name text NOT NULL,
  email text,
  created_at timestamptz NOT NULL DEFAULT now());
INSERT INTO persons (name, email) VALUES ('Ada', 'ada@example.com'), ('Grace', 'grace@example.com');`

// step is one thing that happens in the source.
type step struct {
	title  string
	sql    string
	events int    // records it makes
	shows  string // condition for the rows of the target to print
	// reached is a query on the target that is true once it has the change.
	reached string
}

// steps are the life of the table; ids are those the sequence gives.
var steps = []step{
	{"Insert", "INSERT INTO persons (name, email) VALUES ('Barbara', 'barbara@example.com')", 1, "id = 3", "select exists(select from persons where id = 3)"},
	{"Update", "UPDATE persons SET email = 'ada@lovelace.example' WHERE id = 1", 1, "id = 1", "select exists(select from persons where email = 'ada@lovelace.example')"},
	{"Delete: the event, and a tombstone", "DELETE FROM persons WHERE id = 2", 2, "id = 2", "select not exists(select from persons where id = 2)"},
	{"Change of the key: delete, tombstone, create", "UPDATE persons SET id = 30 WHERE id = 3", 3, "id in (3, 30)", "select exists(select from persons where id = 30) and not exists(select from persons where id = 3)"},
	{"New column: the next event has it, and the target gets it", "ALTER TABLE persons ADD COLUMN city text; UPDATE persons SET city = 'London' WHERE id = 1", 1, "id = 1", "select exists(select from information_schema.columns where table_name = 'persons' and column_name = 'city')"},
}

// play runs the steps.
func (d *demo) play(ctx context.Context) error {
	d.heading("Snapshot: the rows that are there already, as op r")
	if err := d.show(ctx, 2, time.Time{}); err != nil {
		return err
	}
	if err := d.targetHas(ctx, "select to_regclass('persons') is not null"); err != nil {
		return err
	}
	if err := d.targetHas(ctx, "select count(*) = 2 from persons"); err != nil {
		return err
	}
	if err := d.rows(ctx, "true"); err != nil {
		return err
	}
	for _, s := range steps {
		if err := d.run(ctx, s); err != nil {
			return fmt.Errorf("step %q: %w", s.title, err)
		}
	}
	return d.crash(ctx)
}

// run runs one step: SQL, events, target.
func (d *demo) run(ctx context.Context, s step) error {
	d.heading(s.title)
	d.say("  SQL     %s", s.sql)
	if _, err := d.source.Exec(ctx, s.sql); err != nil {
		return err
	}
	committed := time.Now()
	if err := d.targetHas(ctx, s.reached); err != nil {
		return err
	}
	applied := time.Since(committed)
	if err := d.show(ctx, s.events, committed); err != nil {
		return err
	}
	if err := d.rows(ctx, s.shows); err != nil {
		return err
	}
	d.say("  %.1f ms from commit to target", float64(applied.Microseconds())/1000)
	return nil
}

// crash kills the worker, writes while it is dead, and starts it again.
func (d *demo) crash(ctx context.Context) error {
	d.heading("kill -9 of the worker, writes while it is dead, start again")
	if err := d.worker.kill(); err != nil {
		return err
	}
	d.say("  killed")
	for _, sql := range []string{
		"INSERT INTO persons (id, name, city) SELECT 100 + g, 'Person ' || g, 'Paris' FROM generate_series(1, 1000) g",
		"UPDATE persons SET name = 'Countess of Lovelace' WHERE id = 1",
	} {
		d.say("  SQL     %s", sql)
		if _, err := d.source.Exec(ctx, sql); err != nil {
			return err
		}
	}
	begin := time.Now()
	if err := d.startWorker(ctx); err != nil {
		return err
	}
	d.say("  started")
	if err := d.targetHas(ctx, "select exists(select from persons where name = 'Countess of Lovelace') and count(*) > 1000 from persons"); err != nil {
		return err
	}
	events, err := d.events.take(ctx, 1001)
	if err != nil {
		return err
	}
	d.say("  %d events, %.0f ms from start to the last row in the target", len(events), float64(time.Since(begin).Milliseconds()))
	return d.rows(ctx, "id in (1, 101, 1100)")
}

func (d *demo) heading(title string) {
	d.step++
	d.say("\n%d. %s", d.step, title)
}

// show prints the next n events.
func (d *demo) show(ctx context.Context, n int, committed time.Time) error {
	events, err := d.events.take(ctx, n)
	if err != nil {
		return err
	}
	for _, e := range events {
		line := fmt.Sprintf("  event   op=%s key=%s", e.Op, e.Key)
		if e.Op != "tombstone" {
			line += " after=" + e.After
		}
		if !committed.IsZero() {
			line += fmt.Sprintf("  (%.1f ms)", float64(e.Arrived.Sub(committed).Microseconds())/1000)
		}
		d.say("%s", line)
	}
	return nil
}

// targetHas waits until a query on the target is true.
func (d *demo) targetHas(ctx context.Context, query string) error {
	return until(ctx, "the target: "+query, func() (bool, error) {
		var ok bool
		err := d.target.QueryRow(ctx, query, pgx.QueryExecModeSimpleProtocol).Scan(&ok)
		return ok, err
	})
}

// rows prints rows of the target.
func (d *demo) rows(ctx context.Context, condition string) error {
	text, err := rowsOf(ctx, d.target, "select * from persons where "+condition+" order by id")
	if err != nil {
		return err
	}
	if text == "" {
		text = "(no such row)\n"
	}
	d.say("  target  %s", strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n          "))
	return nil
}

// table is the target's table, shortened.
func table(ctx context.Context, c *pgx.Conn) (string, error) {
	return rowsOf(ctx, c, "select * from persons order by id limit 5")
}

// rowsOf formats the rows of a query, without a heading.
func rowsOf(ctx context.Context, c *pgx.Conn, query string) (string, error) {
	rows, err := c.Query(ctx, query, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 1, ' ', 0)
	for rows.Next() {
		for i, v := range rows.RawValues() {
			text := string(v)
			if v == nil {
				text = "∅"
			}
			fmt.Fprintf(w, "%s=%s\t", rows.FieldDescriptions()[i].Name, text)
		}
		fmt.Fprintln(w)
	}
	err = errors.Join(w.Flush(), rows.Err())
	return out.String(), err
}
