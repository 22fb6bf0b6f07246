// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/capture"
	"freshet/config"
)

// Error is an error that an operator sees: what was being done, with what, what went wrong, and the next step. It never
// holds the password.
type Error struct {
	Op      string // "connect", "create slot", "start replication"
	Subject string // `slot "debezium"`, `localhost:5432/shop as "dbz"`
	Err     error
	Hint    string // the next step, "" for none
	// permanent errors stay until somebody acts: the task fails instead of trying again.
	permanent bool
	// away says that no connection was made, so that the next attempt costs nobody anything.
	away bool
	// repeats is the place and the answer of a server that may give the same for ever. See Repeats.
	repeats string
}

// Error is the whole sentence.
func (e *Error) Error() string {
	var s strings.Builder
	s.WriteString(e.Op)
	if e.Subject != "" {
		s.WriteString(" " + e.Subject)
	}
	if e.Err != nil {
		s.WriteString(": " + e.Err.Error())
	}
	if e.Hint != "" {
		s.WriteString(" (next step: " + e.Hint + ")")
	}
	return s.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Retriable says whether opening a new Reader may help.
func (e *Error) Retriable() bool { return !e.permanent }

// Away says that the server takes no connections now. It is asked again soon: see connect.
func (e *Error) Away() bool { return e.away }

// Repeats is not "" for answers that trying again does not mend where they come back. See connect.Repeating.
func (e *Error) Repeats() string { return e.repeats }

// NextStep is the hint, for REST and console.
func (e *Error) NextStep() string { return e.Hint }

// advice is what an SQLSTATE means for the operator.
type advice struct {
	state     string // a code, or a class of two characters
	permanent bool
	hint      string
}

// advices go from codes to classes; the first match counts. Everything that is not here is tried again: an SQL error is
// usually over when the server is back.
var advices = []advice{
	{"28P01", true, "set database.user and database.password to a login that the server accepts"},
	{"28000", true, "check database.user, pg_hba.conf and that the role has LOGIN and REPLICATION: ALTER ROLE ... WITH LOGIN REPLICATION"},
	{"28", true, "check database.user, database.password and pg_hba.conf"},
	{"3D000", true, "set database.dbname to an existing database"},
	{"42501", true, "grant the role what is missing: REPLICATION to stream, SELECT on captured tables, CREATE on the database and ownership of the tables for a publication, or create the publication as their owner and set publication.autocreate.mode=disabled"},
	{"42704", true, "check publication.name and slot.name: what they name must exist and belong to this database"},
	{"53300", false, "raise max_connections or max_wal_senders, or stop other clients"},
	{"53400", true, "raise max_replication_slots and restart the server, or drop a slot that nobody uses: SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active"},
	{"55006", false, "stop the other consumer, or give each connector its own slot.name"},
	{"55000", true, "check wal_level=logical and the state of the slot in pg_replication_slots"},
	{"58P01", true, "the server no longer has the WAL that is needed: drop the slot, and snapshot again with snapshot.mode=when_needed"},
	{"0A000", true, "the server does not support this: see its message"},
	{"57P03", false, "wait until the server has started"},
	{"57P", false, "wait until the server is back"},
}

// passing are the classes of SQLSTATE of a stream's errors that pass by themselves, sooner or later: connections, rollbacks, locks,
// resources, what operators do, and disks.
var passing = []string{"08", "25", "40", "53", "55", "57", "58"}

// mayRepeat says whether a server that answered so may do so for ever.
func mayRepeat(err error) bool {
	state := sqlState(err)
	return state != "" && !slices.Contains(passing, state[:min(2, len(state))])
}

// adviceFor finds what is known about an SQLSTATE.
func adviceFor(code string) (advice, bool) {
	for _, a := range advices {
		if strings.HasPrefix(code, a.state) {
			return a, true
		}
	}
	return advice{}, false
}

// wrapError gives an error its operation and subject, and the advice that belongs to its SQLSTATE. An *Error stays as it
// is, the end of a context too.
func wrapError(op, subject string, err error) error {
	if err == nil {
		return nil
	}
	if known := (*Error)(nil); errors.As(err, &known) || errors.Is(err, context.Canceled) {
		return err
	}
	e := &Error{Op: op, Subject: subject, Err: err}
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) {
		if a, ok := adviceFor(pg.Code); ok {
			e.Hint, e.permanent = a.hint, a.permanent
		}
	}
	return e
}

const retriableErrors = "internal.custom.retriable.exception"

// passed is an error that internal.custom.retriable.exception lets pass.
type passed struct{ error }

func (p passed) Unwrap() error { return p.error }

// Repeats is "": the configuration wants it tried again, for ever.
func (passed) Repeats() string { return "" }

// Retriable is true: the configuration says so.
func (passed) Retriable() bool { return true }

// pass makes an error retriable where a message of it, or of a cause, matches internal.custom.retriable.exception. Lost
// changes and broken invariants never are (R13).
func (o *options) pass(err error) error {
	var gap *gapError
	var broken *capture.InvariantError
	if err == nil || o.MayPass == nil || errors.As(err, &gap) || errors.As(err, &broken) || !matches(o.MayPass, err) {
		return err
	}
	return passed{err}
}

func matches(p *regexp.Regexp, err error) bool {
	if p.MatchString(err.Error()) {
		return true
	}
	switch e := err.(type) { //nolint:errorlint // it walks over the causes
	case interface{ Unwrap() error }:
		return e.Unwrap() != nil && matches(p, e.Unwrap())
	case interface{ Unwrap() []error }:
		return slices.ContainsFunc(e.Unwrap(), func(cause error) bool { return matches(p, cause) })
	}
	return false
}

// sqlState is the SQLSTATE of an error, "" for none.
func sqlState(err error) string {
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) {
		return pg.Code
	}
	return ""
}

// hiddenError keeps a secret out of an error's text. Drivers and TLS libraries quote what they could not parse.
type hiddenError struct {
	err    error
	secret config.Secret
}

func (e *hiddenError) Error() string {
	s := e.secret.Reveal()
	if s == "" {
		return e.err.Error()
	}
	return strings.ReplaceAll(e.err.Error(), s, e.secret.String())
}

func (e *hiddenError) Unwrap() error { return e.err }

// permanentf makes a permanent Error with its next step.
func permanentf(op, subject, hint, format string, args ...any) error {
	return &Error{Op: op, Subject: subject, Err: fmt.Errorf(format, args...), Hint: hint, permanent: true}
}
