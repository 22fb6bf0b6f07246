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

// bulkRows is the number of rows of a group from which staging them by COPY beats single statements.
const bulkRows = 50

// What a session keeps on the server at most, before it starts over.
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
	s := &Session{dialect: d, conn: conn, log: o.Log, statements: map[statementKey]*statement{},
		staging: map[*dialect.Set]string{}, notFresh: map[*dialect.Table]int{}}
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
	if err := s.ready(ctx, groups); err != nil {
		return err
	}
	p := &pipeline{s: s, data: data}
	p.begin(ctx)
	for i := range groups {
		g := &groups[i]
		if !s.bulk(g) {
			p.add(ctx, i, g)
			continue
		}
		// What is on its way must have arrived: COPY cannot share the connection with a pipeline.
		if err := p.flush(); err != nil {
			return s.rollback(ctx, err)
		}
		if err := s.copyGroup(ctx, g, data); err != nil {
			return s.rollback(ctx, &dialect.GroupError{Group: i, Err: err})
		}
	}
	if err := p.commit(ctx); err != nil {
		return s.rollback(ctx, err)
	}
	failpoint.Hit("sink.commit.after")
	return nil
}

// rollback ends the transaction of a failed Apply, so that the session can be used again, and returns the failure.
func (s *Session) rollback(ctx context.Context, err error) error {
	if s.conn.IsClosed() || s.conn.TxStatus() == 'I' {
		return err
	}
	if rolled := s.Exec(context.WithoutCancel(ctx), "ROLLBACK"); rolled != nil {
		return errors.Join(err, fmt.Errorf("roll back: %w", rolled))
	}
	return err
}

// bulk says whether a group goes by COPY.
func (s *Session) bulk(g *dialect.Group) bool {
	return g.Kind != dialect.Truncate && len(g.Rows) >= bulkRows && !(s.noStaging && staged(g))
}

// staged says whether a group's rows are staged when they go by COPY. Plain inserts are copied straight into the table,
// unless COPY would override an identity column unasked.
func staged(g *dialect.Group) bool { return g.Kind != dialect.Insert || overrides(g.Set) }

// ready makes the statements and staging tables that groups need, outside of their transaction, so that a rollback does
// not take them away.
func (s *Session) ready(ctx context.Context, groups []dialect.Group) error {
	if len(s.statements) > maxStatements || len(s.staging) > maxStaging {
		if err := s.startOver(ctx); err != nil {
			return err
		}
	}
	for i := range groups {
		g := &groups[i]
		if s.bulk(g) && staged(g) {
			if err := s.stage(ctx, g.Set); err != nil {
				return err
			}
		}
		if s.bulk(g) { // stage may have found out that there is no staging
			continue
		}
		if _, err := s.prepared(ctx, g.Kind, g.Set); err != nil {
			return err
		}
	}
	return nil
}

// startOver drops all statements and staging tables of the session.
func (s *Session) startOver(ctx context.Context) error {
	drop := []string{"DEALLOCATE ALL"}
	for _, name := range s.staging {
		drop = append(drop, "DROP TABLE IF EXISTS "+name)
	}
	clear(s.statements)
	clear(s.staging)
	return s.Exec(ctx, strings.Join(drop, "; "))
}

// Forget drops what belongs to a set that is not used any more. What stays on the server until startOver is small.
func (s *Session) Forget(set *dialect.Set) {
	for kind := dialect.Insert; kind <= dialect.Truncate; kind++ {
		delete(s.statements, statementKey{set, kind})
	}
	delete(s.notFresh, set.Plan.Table)
}
