// SPDX-License-Identifier: Apache-2.0

// Package replicate copies PostgreSQL databases into others and keeps them equal, without a configuration file: it
// prepares the target's tables, and runs a worker with a source and a sink connector for them.
//
// The data folder holds topics and positions; the same command on the same folder goes on where it was. Its Run owns the
// worker and its two side connections.
package replicate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"freshet/capture"
	"freshet/config"
	"freshet/connect"
	"freshet/internal/worker"
	"freshet/schema"
)

// Options is what Run needs.
type Options struct {
	From, To string   // URLs of the databases
	Tables   []string // such as public.persons or shop.*; none means all
	Data     string   // folder of topics and positions
	Listen   string   // address of the REST API; "" is a free port of the loopback interface
	Once     bool     // end when the target has what the source had at the start
	Clean    bool     // drop slot and publication at the end, and remove Data
	Terminal bool     // Out is a terminal
	Out      io.Writer
	Plugins  *connect.Plugins
	Log      *slog.Logger
}

// UsageError is a mistake in the options.
type UsageError struct{ Err error }

// Error is the cause.
func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *UsageError) Unwrap() error { return e.Err }

// Run replicates until ctx ends, or until the target has caught up where Once is set.
func Run(ctx context.Context, o Options) error {
	from, err := parseEndpoint("--from", o.From)
	if err != nil {
		return &UsageError{err}
	}
	to, err := parseEndpoint("--to", o.To)
	if err != nil {
		return &UsageError{err}
	}
	if from.address() == to.address() {
		return &UsageError{fmt.Errorf("--from and --to are the same database %s: the copy would be captured again", from.address())}
	}
	source, err := connectTo(ctx, "--from", from)
	if err != nil {
		return err
	}
	defer closeConn(ctx, source)
	tables, err := prepare(ctx, o, source, to)
	if err != nil {
		return err
	}
	var goal string
	if err := source.QueryRow(ctx, "select pg_current_wal_lsn()::text").Scan(&goal); err != nil {
		return fmt.Errorf("ask %s for its position: %w", from.address(), err)
	}
	slot := slotName(from, to, patternsOf(o.Tables))
	m := &monitor{o: o, from: from, source: source, goal: goal, show: newDisplay(o)}
	err = m.run(ctx, []config.File{
		{Name: sourceName, Config: sourceConfig(from, slot, tables)},
		{Name: sinkName, Config: sinkConfig(to)},
	})
	m.show.close()
	return errors.Join(err, m.end(ctx, slot))
}

// endTimeout bounds what is done once the run has ended.
const endTimeout = 10 * time.Second

// end removes what the run needed, or tells that the slot stays.
func (m *monitor) end(ctx context.Context, slot string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	if m.source.IsClosed() { // a query was under way when the run ended, or the server was away
		source, err := connectTo(ctx, "--from", m.from)
		if err != nil {
			return fmt.Errorf("look after slot %q: %w", slot, err)
		}
		defer closeConn(ctx, source)
		m.source = source
	}
	if !m.o.Clean {
		var exists bool
		err := m.source.QueryRow(ctx, "select exists(select from pg_replication_slots where slot_name = $1)", slot).Scan(&exists)
		if err == nil && exists {
			m.o.Log.Warn("the slot stays in the source for the next run and makes it keep its log until then",
				"slot", slot, "to_drop_it", fmt.Sprintf("SELECT pg_drop_replication_slot('%s')", slot))
		}
		return nil
	}
	if _, err := m.source.Exec(ctx, "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1", slot); err != nil {
		return fmt.Errorf("drop slot %q: %w", slot, err)
	}
	if _, err := m.source.Exec(ctx, "drop publication if exists "+schema.QuoteName(slot)); err != nil {
		return fmt.Errorf("drop publication %q: %w", slot, err)
	}
	if err := os.RemoveAll(m.o.Data); err != nil {
		return fmt.Errorf("remove the data folder: %w", err)
	}
	return nil
}

func patternsOf(items []string) []string {
	var out []string
	for _, item := range items {
		out = append(out, pattern(item))
	}
	return out
}

func newDisplay(o Options) display {
	if o.Terminal {
		return newBars(o.Out)
	}
	return newLines(o.Log)
}

// connectTo opens a side connection.
func connectTo(ctx context.Context, flag string, e endpoint) (*pgx.Conn, error) {
	c, err := pgx.ParseConfig(e.url)
	if err != nil {
		return nil, &UsageError{fmt.Errorf("%s: %w", flag, err)}
	}
	c.RuntimeParams["application_name"] = "freshet replicate"
	c.RuntimeParams["search_path"] = "pg_catalog"
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		// The driver's error names user, database and address, and no password.
		return nil, fmt.Errorf("%s: connect to %s: %w", flag, e.address(), err)
	}
	return conn, nil
}

func closeConn(ctx context.Context, c *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = c.Close(ctx) // nothing depends on it
}

// prepare looks the tables up and makes their copies.
func prepare(ctx context.Context, o Options, source *pgx.Conn, to endpoint) ([]table, error) {
	tables, err := sourceTables(ctx, source, patternsOf(o.Tables))
	if err != nil {
		return nil, fmt.Errorf("read the tables of the source: %w", err)
	}
	if len(tables) == 0 {
		return nil, &UsageError{fmt.Errorf("no table matches --tables %s: write them as schema.table, where * stands for any letters", strings.Join(o.Tables, ","))}
	}
	if err := checkTables(o.Log, tables); err != nil {
		return nil, err
	}
	types, err := enums(ctx, source, tables)
	if err != nil {
		return nil, fmt.Errorf("read the enum types of the source: %w", err)
	}
	target, err := connectTo(ctx, "--to", to)
	if err != nil {
		return nil, err
	}
	defer closeConn(ctx, target)
	for _, sql := range createSQL(tables, types) {
		if _, err := target.Exec(ctx, sql); err != nil {
			return nil, fmt.Errorf("prepare the target %s: %w, in: %s", to.address(), err, sql)
		}
	}
	return tables, nil
}

// checkTables refuses what cannot be kept equal, and tells what is left out.
func checkTables(log *slog.Logger, tables []table) error {
	var keyless []string
	for i := range tables {
		if len(tables[i].key) == 0 {
			keyless = append(keyless, tables[i].id.String())
		}
		for _, c := range tables[i].columns {
			if c.uncaptured {
				log.Warn("column is not replicated: its type is not captured", "table", tables[i].id.String(), "column", c.name, "type", c.typ)
			}
		}
	}
	if len(keyless) > 0 {
		return &UsageError{fmt.Errorf("tables without a primary key cannot be kept equal row by row: %s; add one (ALTER TABLE … ADD PRIMARY KEY …), or name the other tables with --tables",
			strings.Join(keyless, ", "))}
	}
	return nil
}

// run runs the worker and watches it.
func (m *monitor) run(ctx context.Context, connectors []config.File) error {
	listen := m.o.Listen
	if listen == "" {
		listen = "127.0.0.1:0"
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ready := make(chan worker.Running, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer cancel()
		return worker.Run(ctx, worker.Options{
			Properties: map[string]string{"data.dir": m.o.Data, "listeners": "http://" + listen},
			Connectors: connectors, Plugins: m.o.Plugins, Log: m.o.Log,
			Ready:    func(r worker.Running) { ready <- r },
			Progress: func(_ string, p capture.Progress) { m.show.snapshot(p) },
		})
	})
	g.Go(func() error {
		defer cancel()
		select {
		case r := <-ready:
			return m.watch(ctx, r)
		case <-ctx.Done():
			return nil
		}
	})
	err := g.Wait()
	var start *worker.StartError
	if errors.As(err, &start) {
		return &UsageError{err}
	}
	return err
}
