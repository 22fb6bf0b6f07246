// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/change"
	"freshet/internal/failpoint"
	"freshet/sinks/jdbc/dialect"
)

// bulkRows is the number of rows of a group from which COPY beats single statements; stageRows is how many rows of such
// groups a set must have had before a staging table is worth making for it.
const (
	bulkRows  = 50
	stageRows = 300
)

// What a session keeps on the server at most, before it starts anew.
const (
	maxStatements = 256
	maxStaging    = 32
)

// Session is one connection.
type Session struct {
	dialect Dialect
	conn    *pgconn.PgConn
	log     *slog.Logger

	statements map[statementKey]*statement
	staging    map[*dialect.Set]string // quoted name of the staging table
	stagedInTx []*dialect.Set          // those that a rollback takes away
	waiting    map[*dialect.Set]int    // rows that went without a staging table so far
	ways       []way                   // of the groups of an Apply
	serial     int                     // of names on the server
	noStaging  bool                    // the role may not create temporary tables
	// notFresh counts down, per table, the groups for which copying straight into the table is not tried again.
	notFresh map[*dialect.Table]int

	copyBuf []byte   // what is copied
	textBuf []byte   // the parameters of one statement
	params  [][]byte // spans of textBuf
}

var _ dialect.Session = (*Session)(nil)

// Open connects and sets what rendered values rely on.
func (d Dialect) Open(ctx context.Context, o dialect.Options) (dialect.Session, error) {
	cfg, err := parseURL(o)
	if err != nil {
		return nil, err
	}
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, connectError(cfg, err)
	}
	s := &Session{
		dialect: d, conn: conn, log: o.Log, statements: map[statementKey]*statement{},
		staging: map[*dialect.Set]string{}, waiting: map[*dialect.Set]int{}, notFresh: map[*dialect.Table]int{},
	}
	zone := o.TimeZone
	if zone == "" {
		zone = "UTC"
	}
	// Not as startup parameters: connection poolers refuse those. Staged keys are few, so an index is the way to them.
	setup := "SET client_encoding='UTF8'; SET standard_conforming_strings=on; SET DateStyle='ISO, YMD'; SET IntervalStyle='postgres';" +
		" SET client_min_messages=warning; SET random_page_cost=1.1; SET TimeZone=" + quoteLiteral(zone)
	if err := s.Exec(ctx, setup); err != nil {
		return nil, errors.Join(fmt.Errorf("set up the session: %w", err), s.Close(ctx))
	}
	return s, nil
}

// Close ends the connection. The server drops staging tables with it.
func (s *Session) Close(ctx context.Context) error { return s.conn.Close(ctx) }

// Exec runs statements without parameters.
func (s *Session) Exec(ctx context.Context, sql string) error {
	_, err := s.conn.Exec(ctx, sql).ReadAll()
	return err
}

// Lock takes an advisory lock. A session that writes under it and is gone for its client, but not yet for the server,
// is waited for until ctx ends.
func (s *Session) Lock(ctx context.Context, name string) error {
	err := s.Query(ctx, "SELECT pg_advisory_lock(hashtextextended($1, 0))", func([][]byte) error { return nil }, name)
	if err != nil {
		return fmt.Errorf("lock %q: another session may still hold it (see pg_locks, locktype advisory): %w", name, err)
	}
	return nil
}

// Query reads text columns.
func (s *Session) Query(ctx context.Context, sql string, row func([][]byte) error, args ...string) error {
	params := make([][]byte, len(args))
	for i, a := range args {
		params[i] = []byte(a)
	}
	rows := s.conn.ExecParams(ctx, sql, params, nil, nil, nil)
	var stopped error
	for rows.NextRow() {
		if stopped == nil {
			stopped = row(rows.Values())
		}
	}
	if _, err := rows.Close(); err != nil {
		return err
	}
	return stopped
}

// Apply applies groups in order and commits. Groups of few rows go together in as few round trips as there are groups of
// many rows between them; without such groups all of it, from BEGIN to COMMIT, is one.
func (s *Session) Apply(ctx context.Context, groups []dialect.Group, data *change.Batch) error {
	ways, err := s.ready(ctx, groups)
	if err != nil {
		return err
	}
	p := &pipeline{s: s, data: data}
	p.begin(ctx)
	for i := range groups {
		g := &groups[i]
		if ways[i] == oneByOne {
			p.add(ctx, i, g)
			continue
		}
		// What is on its way must have arrived: COPY cannot share the connection with a pipeline.
		if err := p.flush(); err != nil {
			return s.rollback(ctx, err)
		}
		if err := s.copyGroup(ctx, g, ways[i], data); err != nil {
			return s.rollback(ctx, &dialect.GroupError{Group: i, Err: err})
		}
	}
	if err := p.commit(ctx); err != nil {
		return s.rollback(ctx, err)
	}
	s.stagedInTx = s.stagedInTx[:0]
	failpoint.Hit("sink.commit.after")
	return nil
}

// rollback ends the transaction of a failed Apply, so that the session can be used again, and returns the failure.
func (s *Session) rollback(ctx context.Context, err error) error {
	for _, set := range s.stagedInTx {
		delete(s.staging, set)
	}
	s.stagedInTx = s.stagedInTx[:0]
	if s.conn.IsClosed() || s.conn.TxStatus() == 'I' {
		return err
	}
	if rolled := s.Exec(context.WithoutCancel(ctx), "ROLLBACK"); rolled != nil {
		return errors.Join(err, fmt.Errorf("roll back: %w", rolled))
	}
	return err
}

// way is how a group gets to the server.
type way uint8

const (
	oneByOne way = iota // a prepared statement for each row
	straight            // COPY into the table
	merged              // COPY into a staging table, from there by one statement
)

// wayOf decides on a group's way.
func (s *Session) wayOf(g *dialect.Group) way {
	switch {
	case len(g.Rows) < bulkRows, g.Kind == dialect.Truncate, g.Kind == dialect.Move:
		return oneByOne
	case g.Kind == dialect.Insert && !overrides(g.Set), s.tryFresh(g):
		return straight
	case s.staging[g.Set] != "":
		return merged
	}
	return oneByOne
}

// overrides says whether the set writes an identity column, which COPY would fill without being told to.
func overrides(set *dialect.Set) bool {
	for _, f := range set.Fields {
		if set.Plan.Fields[f].Column.Always {
			return true
		}
	}
	return false
}

// tryFresh says whether a group of upserts is copied straight into the table: its rows are most likely new, and were so
// lately.
func (s *Session) tryFresh(g *dialect.Group) bool {
	return g.Kind == dialect.Upsert && g.Fresh && s.notFresh[g.Set.Plan.Table] == 0 && !s.noStaging && !overrides(g.Set)
}

// ready decides on the groups' ways, and makes the statements and staging tables that they need, outside of their
// transaction, so that a rollback does not take them away.
func (s *Session) ready(ctx context.Context, groups []dialect.Group) ([]way, error) {
	if len(s.statements) > maxStatements || len(s.staging) > maxStaging {
		if err := s.Reset(ctx); err != nil {
			return nil, err
		}
	}
	s.ways = s.ways[:0]
	for i := range groups {
		g := &groups[i]
		if left := s.notFresh[g.Set.Plan.Table]; left > 0 && g.Fresh {
			s.notFresh[g.Set.Plan.Table] = left - 1
		}
		if s.worthStaging(g) {
			if err := s.stage(ctx, g.Set); err != nil {
				return nil, err
			}
		}
		w := s.wayOf(g)
		if w == oneByOne {
			if _, err := s.prepared(ctx, g.Kind, g.Set); err != nil {
				return nil, err
			}
		}
		s.ways = append(s.ways, w)
	}
	return s.ways, nil
}

// worthStaging says whether a group that has no staging table shall get one.
func (s *Session) worthStaging(g *dialect.Group) bool {
	if s.noStaging || len(g.Rows) < bulkRows || g.Kind >= dialect.Move || s.wayOf(g) != oneByOne {
		return false
	}
	s.waiting[g.Set] += len(g.Rows)
	return s.waiting[g.Set] >= stageRows
}

// Reset drops all statements and staging tables of the session.
func (s *Session) Reset(ctx context.Context) error {
	drop := []string{"DEALLOCATE ALL"}
	for _, name := range s.staging {
		drop = append(drop, "DROP TABLE IF EXISTS "+name)
	}
	clear(s.statements)
	clear(s.staging)
	clear(s.waiting)
	clear(s.notFresh)
	return s.Exec(ctx, strings.Join(drop, "; "))
}
