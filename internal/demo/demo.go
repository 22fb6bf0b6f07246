// SPDX-License-Identifier: Apache-2.0

// Package demo shows what freshet does, on a PostgreSQL of its own in a temporary folder: a source connector captures the
// table persons of one database into the topic dbserver1.persons, a sink keeps the table of a second database equal, and
// every step is printed as it happens.
//
// The worker is a child process, started from ordinary Debezium files, because one of the steps is to kill it.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"freshet/internal/pgserver"
	"freshet/internal/verify"
	"freshet/schema"
)

// Options is what Run needs.
type Options struct {
	Keep   bool   // leave everything running until ctx ends
	Binary string // the program to start as worker, usually this one
	Out    io.Writer
	Log    *slog.Logger
}

// ErrNotEqual is returned when source and target differ at the end.
var ErrNotEqual = errors.New("source and target are not equal")

// demo is one run.
type demo struct {
	o      Options
	dir    string
	pg     *pgserver.Server
	source *pgx.Conn
	target *pgx.Conn
	worker *process
	events *follower
	step   int
	began  time.Time
}

// Run runs the demo.
func Run(ctx context.Context, o Options) (err error) {
	d := &demo{o: o, began: time.Now()}
	if d.dir, err = os.MkdirTemp("", "freshet-demo-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close(ctx)) }()
	if err := d.prepare(ctx); err != nil {
		return err
	}
	if err := d.play(ctx); err != nil {
		return err
	}
	equal, err := d.compare(ctx)
	if err != nil {
		return err
	}
	d.say("\nDone in %.1f s.", time.Since(d.began).Seconds())
	if o.Keep {
		d.keep(ctx)
	}
	if !equal {
		return ErrNotEqual
	}
	return nil
}

// prepare starts PostgreSQL, makes both databases and starts the worker.
func (d *demo) prepare(ctx context.Context) error {
	d.say("Starting PostgreSQL in a temporary folder …")
	password, err := newPassword()
	if err != nil {
		return err
	}
	if d.pg, err = pgserver.New(ctx, pgserver.Options{Password: password, Log: d.o.Log}); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	admin, err := pgx.Connect(ctx, d.pg.DSN("postgres"))
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close(ctx) }()
	var version string
	if err := admin.QueryRow(ctx, "show server_version").Scan(&version); err != nil {
		return err
	}
	for _, sql := range []string{"create database source", "create database target"} {
		if _, err := admin.Exec(ctx, sql); err != nil {
			return err
		}
	}
	if d.source, err = pgx.Connect(ctx, d.pg.DSN("source")); err != nil {
		return err
	}
	if d.target, err = pgx.Connect(ctx, d.pg.DSN("target")); err != nil {
		return err
	}
	d.say("PostgreSQL %s runs on port %d with the databases source and target.", version, d.pg.Port())
	if _, err := d.source.Exec(ctx, personsTable); err != nil {
		return err
	}
	d.say("\nThe table persons of source, with two rows:\n%s", indent(personsTable))
	if d.worker, err = newProcess(ctx, d.o.Binary, d.dir, d.pg, password); err != nil {
		return err
	}
	d.say("\nStarting the worker: freshet standalone worker.properties persons-source.properties persons-jdbc-sink.json")
	return d.startWorker(ctx)
}

func (d *demo) startWorker(ctx context.Context) (err error) {
	if err := d.worker.start(ctx); err != nil {
		return err
	}
	if d.events == nil {
		d.events, err = follow(ctx, d.worker, "dbserver1.persons")
		return err
	}
	return d.events.again(ctx)
}

// compare compares both tables row by row.
func (d *demo) compare(ctx context.Context) (bool, error) {
	id := schema.ID{Schema: "public", Name: "persons"}
	r, err := verify.Compare(ctx, d.source, d.target, verify.Table{Source: id, Target: id}, 10)
	if err != nil {
		return false, fmt.Errorf("compare source and target: %w", err)
	}
	d.say("\nComparing source and target row by row:")
	rows, err := table(ctx, d.target)
	if err != nil {
		return false, err
	}
	d.say("%s", indent(rows))
	for _, diff := range r.First {
		d.say("  %s", diff)
	}
	if r.Equal() {
		d.say("  %d rows, all equal.", r.Rows)
	} else {
		d.say("  %d rows, %d differences.", r.Rows, r.Differences)
	}
	return r.Equal(), nil
}

// keep tells how to look around, and waits.
func (d *demo) keep(ctx context.Context) {
	d.say(`
Everything is still running; try it from another terminal:
  psql '%s'
  psql '%s'
  curl -s %s/connectors?expand=status
  %s topics tail dbserver1.persons --from-beginning --worker %s
Files and logs: %s
Ctrl-C stops and removes it all.`, d.pg.DSN("source"), d.pg.DSN("target"), d.worker.url, d.o.Binary, d.worker.url, d.dir)
	<-ctx.Done()
}

// close stops what runs, the worker first, and removes the folder.
func (d *demo) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	var errs []error
	if d.events != nil {
		d.events.close()
	}
	if d.worker != nil {
		errs = append(errs, d.worker.stop())
	}
	for _, c := range []*pgx.Conn{d.source, d.target} {
		if c != nil {
			_ = c.Close(ctx) // the server goes next
		}
	}
	if d.pg != nil {
		errs = append(errs, d.pg.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(d.dir))...)
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.o.Out, format+"\n", args...) }

func indent(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n  ")
}

// file writes one of the worker's files.
func (p *process) file(name, text string) (string, error) {
	path := filepath.Join(p.dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}
