// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/sinks/jdbc/dialect"
)

// valueError is a value that has no form in its column: the client refuses it before the server could.
type valueError struct{ err error }

func (e *valueError) Error() string { return e.err.Error() }
func (e *valueError) Unwrap() error { return e.err }

// retryStates are the SQLSTATE prefixes of troubles that pass: connection, transaction rollback (deadlock,
// serialization), resources, shutdown and cancel, lock not available, a standby that was the primary before.
var retryStates = [...]string{"08", "40", "53", "57", "55P03", "25006"}

// staleStates are those of objects that are not there (any more): table, column, type, prepared statement.
var staleStates = [...]string{"42P01", "42703", "42704", "26000"}

// refuseStates are those of data: values, constraints, a row hit twice, wrong casts, identity columns, rows and tables beyond
// the server's limits.
var refuseStates = [...]string{"22", "23", "21000", "428C9", "42804", "44", "54", "P0001", "0A000"}

// Classify goes by SQLSTATE; what has none is trouble with the connection, unless it is a value or a context.
func (Dialect) Classify(err error) (class dialect.Class, hint string) {
	var pg *pgconn.PgError
	var value *valueError
	var network net.Error
	switch {
	case errors.As(err, &value):
		return dialect.Refuse, "correct the value at the source, or change the column's type in the target"
	case errors.As(err, &pg):
		switch {
		case hasPrefix(pg.Code, retryStates[:]):
			return dialect.Retry, retryHint(pg.Code)
		case hasPrefix(pg.Code, staleStates[:]):
			return dialect.Stale, ""
		case hasPrefix(pg.Code, refuseStates[:]):
			return dialect.Refuse, refuseHint(pg.Code)
		}
		return dialect.Other, otherHint(pg.Code)
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, context.DeadlineExceeded), pgconn.SafeToRetry(err), strings.Contains(err.Error(), "conn closed"):
		return dialect.Retry, ""
	}
	return dialect.Other, ""
}

// retryHint is the next step for a trouble that does not always pass by itself.
func retryHint(code string) string {
	switch code {
	case "25006":
		return "the target takes no writes: it is a standby, or default_transaction_read_only is on for the role or the database"
	case "53100":
		return "free space on the target's disk"
	case "53200":
		return "the target has no memory left: see its log"
	case "53300":
		return "free connections on the target or raise max_connections"
	}
	return ""
}

// refuseHint is the next step for a row that the database refuses.
func refuseHint(code string) string {
	switch code {
	case "23502":
		return "make the column nullable or give it a default in the target, or correct the row at the source; then restart the task"
	case "22001", "22003":
		return "widen the column in the target, then restart the task"
	case "54011":
		return "leave fields out by field.exclude.list"
	case "54000":
		return "the row is beyond a limit of PostgreSQL: leave a field out by field.exclude.list, or drop the index in the target"
	case "23505":
		return "insert.mode=upsert overwrites existing keys; another unique constraint of the target has to go or the rows that hold it"
	case "23503":
		return "write the referenced table too, or drop the foreign key in the target or make it DEFERRABLE INITIALLY DEFERRED"
	}
	return "correct the row at the source or the table in the target, then restart the task"
}

// otherHint is the next step for an error of the target's set-up.
func otherHint(code string) string {
	switch code {
	case "42P10":
		return "create a unique index on the key columns in the target, or name the columns of an existing one in primary.key.fields"
	case "42501":
		return "grant the role of connection.username what the statement needs"
	}
	return ""
}

func hasPrefix(code string, prefixes []string) bool {
	for _, p := range prefixes {
		if strings.HasPrefix(code, p) {
			return true
		}
	}
	return false
}

// connectError says where to, as whom, why not, and what to do. It never holds the password.
func connectError(cfg *pgconn.Config, err error) error {
	address := net.JoinHostPort(cfg.Host, itoa(int(cfg.Port)))
	if strings.HasPrefix(cfg.Host, "/") {
		address = cfg.Host
	}
	cause := causeOf(err)
	told := fmt.Errorf("connect to PostgreSQL at %s, database %q, as %q: %w: %s", address, cfg.Database, cfg.User, cause, connectHint(cause))
	var pg *pgconn.PgError
	if answered := errors.As(cause, &pg); answered && pg.Code == "57P03" || !answered && dialect.Unreachable(cause) { // it starts or stops
		return &dialect.AwayError{Err: told}
	}
	return told
}

// causeOf drops pgconn's own wrapping, which repeats user and database.
func causeOf(err error) error {
	var connect *pgconn.ConnectError
	var parse *pgconn.ParseConfigError
	var pg *pgconn.PgError
	var network *net.OpError
	switch {
	case errors.As(err, &pg):
		return pg
	case errors.As(err, &network): // one for each address tried, all alike
		return network
	case errors.As(err, &connect), errors.As(err, &parse):
		if inner := errors.Unwrap(err); inner != nil {
			return inner
		}
	}
	return err
}

func connectHint(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch {
		case strings.HasPrefix(pg.Code, "28"):
			return "check connection.username, connection.password and the server's pg_hba.conf"
		case pg.Code == "3D000":
			return "create the database or correct connection.url"
		case pg.Code == "53300":
			return "free connections on the server or raise max_connections"
		}
		return "see the server's log"
	}
	return "check host and port in connection.url, that the server runs, and that nothing blocks the way"
}
