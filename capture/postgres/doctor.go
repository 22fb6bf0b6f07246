// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/capture"
	"freshet/schema"
)

const (
	testedVersion  = 140000 // the oldest server that the tests run on, as server_version_num
	decodesStandby = 160000 // the first that decodes on a standby
	// manyBytes of retained log are worth a warning where the server sets no limit.
	manyBytes = 10 << 30
)

// check asks the server what stands in the way of capturing, and changes nothing. A server that does not let us in is a
// finding about database.hostname, in the original's words; an error is only what kept the questions from an answer.
func check(ctx context.Context, o *options, name string) ([]capture.Finding, error) {
	c := dialer{o: o, name: name}
	login, cancel := context.WithTimeout(ctx, o.ValidationTimeout)
	defer cancel()
	conn, err := c.connect(login)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return []capture.Finding{connectFinding(c, err)}, nil
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	d := &doctor{o: o, conn: conn}
	err = d.examine(ctx)
	return d.findings, err
}

// connectFinding is the finding of a failed login.
func connectFinding(c dialer, err error) capture.Finding {
	f := capture.Finding{Level: capture.Fail, Subject: capture.SubjectConnection, Seen: loginFailure(c.o, err), Detail: err.Error(), Property: "database.hostname"}
	var e *Error
	if errors.As(err, &e) {
		f.Fix = e.Hint
	}
	return f
}

// loginFailure is the cause in the words that the original's validation uses.
func loginFailure(o *options, err error) string {
	var pg *pgconn.PgError
	var op *net.OpError
	switch {
	case errors.As(err, &pg):
		return pg.Severity + ": " + pg.Message
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("Connection to %s refused. Check that the hostname and port are correct and that the postmaster is accepting TCP/IP connections.", o.address())
	case errors.As(err, &op):
		return "The connection attempt failed: " + op.Err.Error()
	}
	return "The connection attempt failed."
}

// doctor collects findings on one connection.
type doctor struct {
	o        *options
	conn     *pgconn.PgConn
	server   serverFacts
	slot     *slotState // nil where it does not exist
	findings []capture.Finding
}

// serverFacts is what one statement tells of server and role.
type serverFacts struct {
	version                              int
	versionText, walLevel, user          string
	standby, superuser, replication      bool
	mayCreate                            bool // publications in this database
	slots, maxSlots, senders, maxSenders int64
	keepSize                             string // max_slot_wal_keep_size
	keepBytes                            int64  // -1 for no limit
	encoding                             string
}

func (d *doctor) add(level capture.Level, subject, seen, detail, fix, property string) {
	d.findings = append(d.findings, capture.Finding{Level: level, Subject: subject, Seen: seen, Detail: detail, Fix: fix, Property: property})
}

func (d *doctor) ok(subject, seen string) { d.add(capture.OK, subject, seen, "", "", "") }

// examine runs all checks, the server's before the tables'.
func (d *doctor) examine(ctx context.Context) error {
	if err := d.readServer(ctx); err != nil {
		return err
	}
	d.checkVersion()
	d.checkTLS()
	if d.o.streams() {
		var err error
		if d.slot, err = lookupSlot(ctx, d.conn, d.o.SlotName); err != nil {
			return err
		}
		d.checkWAL()
		d.checkRole()
		d.checkSlots()
		if err := d.checkSlot(ctx); err != nil {
			return err
		}
		d.checkKeepSize()
	}
	return d.checkTables(ctx)
}

func (d *doctor) readServer(ctx context.Context) error {
	rows, err := query(ctx, d.conn, `
SELECT current_setting('server_version_num'), current_setting('server_version'), current_setting('wal_level'), current_user,
  pg_is_in_recovery(), r.rolsuper,
  r.rolreplication OR EXISTS (SELECT FROM pg_roles m WHERE m.rolname = 'rds_replication' AND pg_has_role(current_user, m.oid, 'MEMBER')),
  has_database_privilege(current_database(), 'CREATE'),
  (SELECT count(*) FROM pg_replication_slots), current_setting('max_replication_slots'),
  (SELECT count(*) FROM pg_stat_replication), current_setting('max_wal_senders'),
  current_setting('max_slot_wal_keep_size', true),
  (SELECT CASE WHEN setting::bigint < 0 THEN -1 ELSE setting::bigint * 1048576 END FROM pg_settings WHERE name = 'max_slot_wal_keep_size'),
  current_setting('server_encoding')
FROM pg_roles r WHERE r.rolname = current_user`)
	if err != nil {
		return wrapError("examine", d.o.address(), err)
	}
	if len(rows) != 1 {
		return fmt.Errorf("examine %s: role %q is not in pg_roles", d.o.address(), d.o.User)
	}
	r := rows[0]
	s := &d.server
	s.versionText, s.walLevel, s.user = string(r[1]), string(r[2]), string(r[3])
	s.standby, s.superuser, s.replication, s.mayCreate = isTrue(r[4]), isTrue(r[5]), isTrue(r[6]), isTrue(r[7])
	s.keepSize, s.encoding, s.keepBytes = string(r[12]), string(r[14]), -1
	var version int64
	for _, n := range []struct {
		to   *int64
		text []byte
	}{{&version, r[0]}, {&s.slots, r[8]}, {&s.maxSlots, r[9]}, {&s.senders, r[10]}, {&s.maxSenders, r[11]}, {&s.keepBytes, r[13]}} {
		if n.text == nil {
			continue
		}
		if *n.to, err = strconv.ParseInt(string(n.text), 10, 64); err != nil {
			return fmt.Errorf("examine %s: %w", d.o.address(), err)
		}
	}
	s.version = int(version)
	return nil
}

func (d *doctor) checkVersion() {
	switch s := d.server; {
	case s.version < testedVersion:
		d.add(capture.Warn, "server version", s.versionText, "servers before 14 are not tested with this connector", "upgrade the server to PostgreSQL 14 or later", "")
	case s.standby && d.o.streams() && s.version < decodesStandby:
		d.add(capture.Fail, "server version", s.versionText, "a standby of this version cannot decode its log", "set database.hostname to the primary", "database.hostname")
	default:
		d.ok("server version", s.versionText)
	}
	if d.server.encoding == "SQL_ASCII" {
		d.add(capture.Warn, "server_encoding", d.server.encoding, "texts that are not UTF-8 stop the connector", "move the data to a database with ENCODING 'UTF8'", "")
	}
}

// checkTLS warns of data that goes over the network in clear.
func (d *doctor) checkTLS() {
	switch _, encrypted := d.conn.Conn().(*tls.Conn); {
	case encrypted:
		d.ok("encryption", "TLS")
	case inClear(d.conn.Conn()):
		d.add(capture.Warn, "encryption", "none", "everybody on the way can read the data",
			"turn ssl on in the server, and set database.sslmode=verify-full and database.sslrootcert", "database.sslmode")
	default:
		d.ok("encryption", "none, within this machine")
	}
}

func (d *doctor) checkWAL() {
	if d.server.walLevel == "logical" {
		d.ok("wal_level", "logical")
		return
	}
	d.add(capture.Fail, "wal_level", d.server.walLevel, "changes cannot be decoded from the log",
		"ALTER SYSTEM SET wal_level = 'logical'; -- then restart the server", "")
}

func (d *doctor) checkRole() {
	subject := "role " + d.server.user
	switch {
	case d.server.superuser:
		d.ok(subject, "superuser")
	case d.server.replication:
		d.ok(subject, "REPLICATION")
	default:
		d.add(capture.Fail, subject, "no REPLICATION", "it may neither create nor read a replication slot",
			"ALTER ROLE "+schema.QuoteName(d.server.user)+" WITH REPLICATION; -- as a superuser", "database.user")
	}
}

// checkSlots looks for a free slot where one has to be made, and for a free sender.
func (d *doctor) checkSlots() {
	s := d.server
	seen := fmt.Sprintf("%d of %d in use", s.slots, s.maxSlots)
	if d.slot == nil && s.slots >= s.maxSlots {
		d.add(capture.Fail, "max_replication_slots", seen, "no slot is free for "+strconv.Quote(d.o.SlotName),
			fmt.Sprintf("ALTER SYSTEM SET max_replication_slots = %d; -- then restart the server; or drop a slot that nobody needs: "+
				"SELECT slot_name, database, pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active AND slot_name = '...'", s.maxSlots+5), "slot.name")
	} else {
		d.ok("max_replication_slots", seen)
	}
	seen = fmt.Sprintf("%d of %d in use", s.senders, s.maxSenders)
	ours := d.slot != nil && d.slot.Active // its sender is counted already
	if s.senders >= s.maxSenders && !ours {
		d.add(capture.Fail, "max_wal_senders", seen, "no sender is free for the stream",
			fmt.Sprintf("ALTER SYSTEM SET max_wal_senders = %d; -- then restart the server", s.maxSenders+5), "")
	} else {
		d.ok("max_wal_senders", seen)
	}
}

// checkSlot looks at the connector's slot.
func (d *doctor) checkSlot(ctx context.Context) error {
	subject := "slot " + d.o.SlotName
	drop := "SELECT pg_drop_replication_slot(" + quoteLiteral(d.o.SlotName) + ");"
	switch s := d.slot; {
	case s == nil:
		d.ok(subject, "missing: it is created at the start")
		return nil
	case usableSlot(d.o, s) != nil:
		d.add(capture.Fail, subject, fmt.Sprintf("plugin %s, database %s", s.Plugin, s.Database), "it belongs to something else",
			"set slot.name to a name of its own, or, if nothing uses the slot: "+drop, "slot.name")
		return nil //nolint:nilerr // it is a finding
	case s.lost():
		d.add(capture.Fail, subject, "wal_status "+s.WALStatus, "the server has removed the log that it stood for: changes are lost",
			drop+" -- then start with snapshot.mode=when_needed", "slot.name")
		return nil
	}
	end, err := currentLSN(ctx, d.conn)
	if err != nil {
		return err
	}
	s := d.slot
	retained := int64(max(end, s.Restart) - s.Restart)
	seen := fmt.Sprintf("wal_status %s, %d bytes of log retained", s.WALStatus, retained)
	switch {
	case s.WALStatus == "unreserved":
		d.add(capture.Fail, subject, seen, "the server is about to remove log that the slot needs", "start the connector now, and raise max_slot_wal_keep_size", "")
	case d.server.keepBytes > 0 && retained > d.server.keepBytes/2, d.server.keepBytes < 0 && retained > manyBytes:
		d.add(capture.Warn, subject, seen, "the log on the server's disk grows until the connector has read it", "start the connector; or, if it will not run again: "+drop, "")
	default:
		d.ok(subject, seen)
	}
	if s.Active {
		d.add(capture.Warn, subject, "in use by "+s.user(), "only one consumer can read a slot: fine if it is this connector, running",
			"stop the other consumer, or set slot.name to a name of its own", "slot.name")
	}
	return nil
}

func (d *doctor) checkKeepSize() {
	if d.server.keepBytes >= 0 {
		d.ok("max_slot_wal_keep_size", d.server.keepSize)
		return
	}
	d.add(capture.Warn, "max_slot_wal_keep_size", d.server.keepSize, "while the connector is stopped the log grows without limit and can fill the server's disk",
		"ALTER SYSTEM SET max_slot_wal_keep_size = '50GB'; SELECT pg_reload_conf(); -- as much as the disk can spare; monitor pg_replication_slots either way", "")
}

// shown lists names for a finding: the first few, and how many there are.
func shown(names []string) string {
	const most = 10
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}
