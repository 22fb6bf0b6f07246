// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strconv"

	"modernc.org/sqlite"

	"freshet/sinks/jdbc/dialect"
)

// busyTimeout is how long a session waits for another's transaction, in ms, where the URL does not say.
const busyTimeout = "5000"

// cacheSize is the memory for pages, in KiB as SQLite has it (negative): the usual 2 MB make updates of many rows read and
// write the same pages again and again.
const cacheSize = "-16000"

// maxStatements is how many prepared statements a session keeps before it starts anew.
const maxStatements = 512

// connection is what the driver's connections can do.
type connection interface {
	driver.Conn
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
}

// Session is one connection.
type Session struct {
	dialect Dialect
	conn    connection
	path    string
	locks   []connection // to the files of locks that are held
	log     *slog.Logger

	statements map[statementKey]*statement
	args       []driver.NamedValue
	buf        []byte // encoded values of one statement
}

var _ dialect.Session = (*Session)(nil)

// Open opens or creates the file. What is committed is synced: the source is told that it is safe.
func (d Dialect) Open(ctx context.Context, o dialect.Options) (dialect.Session, error) {
	l, err := parseURL(o.URL)
	if err != nil {
		return nil, err
	}
	conn, err := connect(ctx, dsn(l.path, l.uri))
	if err != nil {
		return nil, openError(l.path, err)
	}
	s := &Session{dialect: d, conn: conn, path: l.path, log: o.Log, statements: map[statementKey]*statement{}}
	if err := s.setUp(ctx, l.pragmas); err != nil {
		return nil, errors.Join(openError(l.path, err), s.Close(ctx))
	}
	if len(l.unused) > 0 && s.log != nil {
		s.log.Warn("parameters of connection.url have no effect", "parameters", l.unused)
	}
	return s, nil
}

// Check reads a file that is there, and changes nothing; of one that is not, it looks at the folder.
func (d Dialect) Check(ctx context.Context, o dialect.Options) error {
	l, err := parseURL(o.URL)
	if err != nil {
		return err
	}
	if _, err := os.Stat(l.path); errors.Is(err, fs.ErrNotExist) {
		folder := filepath.Dir(l.path)
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			return fmt.Errorf("open SQLite database %q: there is no folder %q: create it, or correct connection.url", l.path, folder)
		}
		return nil
	}
	l.uri.Set("mode", "ro")
	conn, err := connect(ctx, dsn(l.path, l.uri))
	if err != nil {
		return openError(l.path, err)
	}
	_, err = conn.ExecContext(ctx, "SELECT count(*) FROM sqlite_schema", nil)
	if err = errors.Join(err, conn.Close()); err != nil {
		return openError(l.path, err)
	}
	return nil
}

func connect(ctx context.Context, name string) (connection, error) {
	c, err := sqlite.NewConnector(name)
	if err != nil {
		return nil, err
	}
	conn, err := c.Connect(ctx)
	if err != nil {
		return nil, err
	}
	full, ok := conn.(connection)
	if !ok {
		return nil, errors.Join(fmt.Errorf("the driver's connection %T lacks methods", conn), conn.Close())
	}
	return full, nil
}

// setUp sets what the URL asks for over what is usual.
func (s *Session) setUp(ctx context.Context, asked map[string]string) error {
	settings := map[string]string{"busy_timeout": busyTimeout, "cache_size": cacheSize, "foreign_keys": "on", "journal_mode": "wal"}
	maps.Copy(settings, asked)
	if err := s.pragma(ctx, "busy_timeout", settings["busy_timeout"]); err != nil {
		return err
	}
	delete(settings, "busy_timeout")
	settings["synchronous"] = "full"
	for name, value := range settings {
		if err := s.pragma(ctx, name, value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

func (s *Session) pragma(ctx context.Context, name, value string) error {
	_, err := s.conn.ExecContext(ctx, "PRAGMA "+name+"="+value, nil)
	return err
}

// Close ends the session, and gives up its locks.
func (s *Session) Close(context.Context) error {
	err := errors.Join(s.dropStatements(), s.conn.Close())
	for _, c := range s.locks {
		err = errors.Join(err, c.Close())
	}
	s.locks = nil
	return err
}

// Exec runs statements, all or none of them.
func (s *Session) Exec(ctx context.Context, sql string) error {
	if err := s.run(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := s.run(ctx, sql); err != nil {
		return s.rollback(ctx, err)
	}
	if err := s.run(ctx, "COMMIT"); err != nil {
		return s.rollback(ctx, err)
	}
	return nil
}

func (s *Session) run(ctx context.Context, sql string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := s.conn.ExecContext(ctx, sql, nil)
	return err
}

// rollback ends the transaction after a failure, and returns that. Some failures have ended it already.
func (s *Session) rollback(ctx context.Context, err error) error {
	_, rolled := s.conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK", nil)
	var e *sqlite.Error
	if rolled != nil && !(errors.As(rolled, &e) && e.Code() == 1) { // 1: no transaction is active
		return errors.Join(err, fmt.Errorf("roll back: %w", rolled))
	}
	return err
}

// Query reads columns as texts.
func (s *Session) Query(ctx context.Context, sql string, row func([][]byte) error, args ...string) (err error) {
	named := make([]driver.NamedValue, len(args))
	for i, a := range args {
		named[i] = driver.NamedValue{Ordinal: i + 1, Value: a}
	}
	rows, err := s.conn.QueryContext(ctx, sql, named)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	values := make([]driver.Value, len(rows.Columns()))
	texts := make([][]byte, len(values))
	for {
		switch err := rows.Next(values); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		for i, v := range values {
			if texts[i], err = textOf(v); err != nil {
				return err
			}
		}
		if err := row(texts); err != nil {
			return err
		}
	}
}

func textOf(v driver.Value) ([]byte, error) {
	switch x := v.(type) {
	case nil:
		return nil, nil
	case int64:
		return strconv.AppendInt(nil, x, 10), nil
	case string:
		return []byte(x), nil
	case []byte:
		return x, nil
	}
	return nil, fmt.Errorf("a column of type %T cannot be read as text", v)
}
