// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"crypto/sha256"
	"database/sql/driver"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"

	"freshet/sinks/jdbc/dialect"
)

// setup is what rendered values rely on: a mode that cuts nothing and takes backslashes for escapes, texts in UTF-8, a clock
// in UTC. The locks of a row that is not there hinder nobody, and waiting for one ends.
const setup = "SET SESSION sql_mode='STRICT_ALL_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION," +
	"NO_AUTO_VALUE_ON_ZERO', time_zone='+00:00', lock_wait_timeout=60; SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"

// lockSeconds is how long a lock is waited for; the caller's context ends it sooner.
const lockSeconds = 31_536_000

// maxStatements is how many forms of statements a session keeps before it starts anew.
const maxStatements = 1024

// Session is one connection.
type Session struct {
	dialect *Dialect
	conn    driver.Conn
	log     *slog.Logger
	// maxPacket is the longest text that the server takes.
	maxPacket int

	forms map[formKey]*form
	items []item // of an Apply
	text  []byte // statements that are to be sent
	found []int  // items of statements in text that may find no row, and their places there, in pairs
}

var _ dialect.Session = (*Session)(nil)

// Open connects and sets what rendered values rely on.
func (d *Dialect) Open(ctx context.Context, o dialect.Options) (dialect.Session, error) {
	target, err := parseURL(o)
	if err != nil {
		return nil, err
	}
	conn, err := target.connect(ctx)
	if err != nil {
		return nil, err
	}
	s := &Session{dialect: d, conn: conn, log: o.Log, forms: map[formKey]*form{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if err := s.setUp(ctx, target.variables); err != nil {
		return nil, errors.Join(fmt.Errorf("set up the session: %w", err), s.Close(ctx))
	}
	return s, nil
}

func (s *Session) setUp(ctx context.Context, variables string) error {
	if variables != "" {
		if err := s.Exec(ctx, "SET SESSION "+variables); err != nil {
			return fmt.Errorf("sessionVariables: %w", err)
		}
	}
	if err := s.Exec(ctx, setup); err != nil {
		return err
	}
	return s.Query(ctx, "SELECT version(), @@max_allowed_packet", func(c [][]byte) (err error) {
		s.dialect.knows(string(c[0]))
		s.maxPacket, err = strconv.Atoi(string(c[1]))
		return err
	})
}

// Close ends the connection.
func (s *Session) Close(context.Context) error { return s.conn.Close() }

// Exec runs statements without parameters.
func (s *Session) Exec(ctx context.Context, sql string) error {
	_, err := s.exec(ctx, sql)
	return err
}

func (s *Session) exec(ctx context.Context, sql string) (driver.Result, error) {
	return s.conn.(driver.ExecerContext).ExecContext(ctx, sql, nil)
}

// Query reads text columns. Parameters become literals on the way.
func (s *Session) Query(ctx context.Context, sql string, row func([][]byte) error, args ...string) error {
	params := make([]driver.NamedValue, len(args))
	for i, a := range args {
		params[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	rows, err := s.conn.(driver.QueryerContext).QueryContext(ctx, sql, params)
	if err != nil {
		return err
	}
	values := make([]driver.Value, len(rows.Columns()))
	texts := make([][]byte, len(values))
	var stopped error
	for {
		if err = rows.Next(values); err != nil {
			break
		}
		for i, v := range values {
			texts[i] = textOf(v)
		}
		if stopped == nil {
			stopped = row(texts)
		}
	}
	if err == io.EOF { //nolint:errorlint // the driver's contract: not wrapped
		err = stopped
	}
	return errors.Join(err, rows.Close())
}

// textOf is the server's text of a value that the driver has read.
func textOf(v driver.Value) []byte {
	switch v := v.(type) {
	case nil:
		return nil
	case []byte:
		return v
	case string:
		return []byte(v)
	}
	return fmt.Append(nil, v)
}

// Lock takes a named lock of the server, which a session holds until it ends. Names are the server's, whatever the database,
// and short.
func (s *Session) Lock(ctx context.Context, name string) error {
	got := false
	err := s.Query(ctx, "SELECT database()", func(c [][]byte) error { name = string(c[0]) + "\x00" + name; return nil })
	if err == nil {
		sum := sha256.Sum256([]byte(name))
		err = s.Query(ctx, "SELECT get_lock(?, "+itoa(lockSeconds)+")", func(c [][]byte) error { got = isTrue(c[0]); return nil },
			"freshet "+hex.EncodeToString(sum[:16]))
	}
	if err == nil && !got {
		err = errors.New("the server gave no lock")
	}
	if err != nil {
		return fmt.Errorf("lock for the offsets table: another session may still hold it (see SHOW PROCESSLIST): %w", err)
	}
	return nil
}

// Reset forgets all forms of statements.
func (s *Session) Reset(context.Context) error {
	clear(s.forms)
	return nil
}
