// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"freshet/emitter/topic"
	"freshet/internal/pgserver"
	"freshet/internal/testdb"
	"freshet/test/recorded"
)

// marks is the table whose rows say how far a connector has come: its rows are the ends of the steps.
const marks = "zz_mark"

// lab is where cases run: one server, which the two read.
type lab struct {
	pg   *pgserver.Server
	own  *freshet
	peer *peer
}

// side is one of the two while a case runs.
type side struct {
	*worker
	name    string // of the connector, its slot and its publication
	prefix  string
	ends    func(ctx context.Context, prefix string) (map[string]int64, error)
	records func(ctx context.Context, prefix string) ([]topic.Record, error)
}

// result is what a case came to.
type result struct {
	c           peerCase
	got, want   []string // freshet's lines and the peer's
	failed      string   // freshet's task
	peerFailed  string   // the peer's
	sqlProblems []string
}

// attempt is a case while it runs.
type attempt struct {
	l      *lab
	c      peerCase
	db     *pgx.Conn
	dbName string
	sides  []side // freshet, the peer
	marked int    // rows of marks so far
	runs   bool
	r      result
}

// try runs a case through both.
func (l *lab) try(ctx context.Context, c peerCase) (result, error) {
	id := strings.ToLower(rand.Text()[:8])
	a := &attempt{l: l, c: c, dbName: "p_" + id, r: result{c: c}}
	a.sides = []side{
		{&l.own.worker, "f" + id, "pre" + id, l.own.ends, l.own.records},
		{&l.peer.worker, "d" + id, "pre" + id, l.peer.ends, l.peer.records},
	}
	admin, err := pgx.Connect(ctx, l.pg.DSN("postgres"))
	if err != nil {
		return a.r, err
	}
	defer admin.Close(ctx)
	if _, err := admin.Exec(ctx, "create database "+a.dbName); err != nil {
		return a.r, err
	}
	if a.db, err = pgx.Connect(ctx, l.pg.DSN(a.dbName)); err != nil {
		return a.r, err
	}
	defer a.cleanUp(context.WithoutCancel(ctx), admin)
	if err := a.steps(ctx); err != nil {
		return a.r, err
	}
	return a.r, a.collect(ctx)
}

func (a *attempt) steps(ctx context.Context) error {
	for _, step := range a.c.Steps {
		var err error
		switch step {
		case "@start":
			err = a.start(ctx)
		case "@restart":
			if err = a.stop(ctx); err == nil {
				err = a.resume(ctx)
			}
		case "@stop":
			err = a.stop(ctx)
		case "@resume":
			err = a.resume(ctx)
		default:
			a.sql(ctx, step)
			if a.runs {
				err = a.settle(ctx)
			}
		}
		if err != nil {
			return fmt.Errorf("step %s: %w", step, err)
		}
		if a.r.failed != "" || a.r.peerFailed != "" {
			return nil
		}
	}
	return nil
}

// sql runs a file as psql does: a statement that fails ends its transaction, and the file goes on.
func (a *attempt) sql(ctx context.Context, file string) {
	for _, st := range testdb.Statements(a.c.files[file]) {
		if _, err := a.db.PgConn().Exec(ctx, st.SQL).ReadAll(); err != nil {
			a.r.sqlProblems = append(a.r.sqlProblems, fmt.Sprintf("%s: %v", st.SQL, err))
			continue
		}
		if strings.HasPrefix(st.SQL, "insert into "+marks+" ") {
			a.marked++
		}
	}
}

func (a *attempt) start(ctx context.Context) error {
	for _, s := range a.sides {
		cfg := map[string]string{
			"connector.class":   "io.debezium.connector.postgresql.PostgresConnector",
			"database.hostname": a.l.pg.Host(), "database.port": strconv.Itoa(a.l.pg.Port()), "database.user": pgserver.User,
			"database.password": password, "database.dbname": a.dbName, "plugin.name": "pgoutput",
			"heartbeat.interval.ms": "0", "slot.name": s.name, "publication.name": s.name,
		}
		maps.Copy(cfg, a.c.Config)
		cfg["topic.prefix"] = s.prefix
		own := strings.NewReplacer("${db}", a.dbName, "${slot}", s.name)
		for k, v := range cfg {
			cfg[k] = own.Replace(v)
		}
		if s.worker == &a.l.own.worker {
			cfg["status.update.interval.ms"] = "50"
		}
		if err := s.call(ctx, http.MethodPut, "/connectors/"+s.name+"/config", cfg, nil); err != nil {
			return err
		}
	}
	a.runs = true
	return a.streaming(ctx)
}

// streaming waits until both read the log, or one has failed.
func (a *attempt) streaming(ctx context.Context) error {
	for i, s := range a.sides {
		err := until(ctx, s.name+" to stream", func() (bool, error) {
			if a.noteFailure(ctx, i) {
				return true, nil
			}
			var n int
			err := a.db.QueryRow(ctx, `select count(*) from pg_replication_slots s join pg_stat_replication p on p.pid = s.active_pid
				where s.slot_name = $1 and p.state in ('catchup', 'streaming')`, s.name).Scan(&n)
			return n == 1, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// noteFailure keeps the trace of a side that has failed.
func (a *attempt) noteFailure(ctx context.Context, i int) bool {
	trace := a.sides[i].failure(ctx, a.sides[i].name)
	if trace == "" {
		return false
	}
	if i == 0 {
		a.r.failed = trace
	} else {
		a.r.peerFailed = trace
	}
	return true
}

// settle waits until both have emitted the last mark, and then until nothing more comes.
func (a *attempt) settle(ctx context.Context) error {
	for i, s := range a.sides {
		last, calm := int64(-1), 0
		err := until(ctx, fmt.Sprintf("mark %d in the topics of %s", a.marked, s.name), func() (bool, error) {
			if a.noteFailure(ctx, i) {
				return true, nil
			}
			ends, err := s.ends(ctx, s.prefix)
			if err != nil || ends[s.prefix+".public."+marks] < int64(a.marked) {
				return false, err
			}
			var sum int64
			for _, end := range ends {
				sum += end
			}
			if calm++; sum != last {
				last, calm = sum, 0
			}
			return calm >= 6, nil // topics of one broker are written one after the other
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *attempt) stop(ctx context.Context) error {
	a.runs = false
	for _, s := range a.sides {
		if err := s.call(ctx, http.MethodPut, "/connectors/"+s.name+"/stop", nil, nil); err != nil {
			return err
		}
	}
	for _, s := range a.sides {
		err := until(ctx, s.name+" to stop", func() (bool, error) {
			st, err := s.status(ctx, s.name)
			if err != nil || st.Connector.State != "STOPPED" || len(st.Tasks) > 0 {
				return false, err
			}
			var n int
			err = a.db.QueryRow(ctx, `select count(*) from pg_replication_slots where slot_name = $1 and active`, s.name).Scan(&n)
			return n == 0, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *attempt) resume(ctx context.Context) error {
	for _, s := range a.sides {
		if err := s.call(ctx, http.MethodPut, "/connectors/"+s.name+"/resume", nil, nil); err != nil {
			return err
		}
	}
	a.runs = true
	if err := a.streaming(ctx); err != nil {
		return err
	}
	// What was written while they were away has marks too.
	return a.settle(ctx)
}

// collect reads what both emitted.
func (a *attempt) collect(ctx context.Context) error {
	for i, s := range a.sides {
		records, err := s.records(ctx, s.prefix)
		if err != nil {
			return err
		}
		lines := recorded.Render(records, strings.NewReplacer(a.dbName, "${db}", s.name, "${slot}", s.prefix, "dbserver1"))
		if i == 0 {
			a.r.got = lines
		} else {
			a.r.want = lines
		}
	}
	return nil
}

// cleanUp takes away what the attempt made. What stays behind costs the next ones nothing but room.
func (a *attempt) cleanUp(ctx context.Context, admin *pgx.Conn) {
	for _, s := range a.sides {
		_ = s.call(ctx, http.MethodDelete, "/connectors/"+s.name, nil, nil)
	}
	_ = a.l.peer.forget(ctx, a.sides[1].prefix)
	_ = a.db.Close(ctx)
	_ = until(ctx, "the database to be dropped", func() (bool, error) {
		for _, sql := range []string{
			`select pg_terminate_backend(pid) from pg_stat_activity where datname = '` + a.dbName + `'`,
			`select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = '` + a.dbName + `'`,
			`drop database if exists ` + a.dbName + ` with (force)`,
		} {
			if _, err := admin.Exec(ctx, sql); err != nil {
				return false, err
			}
		}
		return true, nil
	})
}

var _ = pgconn.CommandTag{}

// difference compares the events; "" is none.
func (r *result) difference() string {
	switch {
	case r.failed != "" && r.peerFailed == "":
		return "freshet stopped: " + firstLines(r.failed)
	case r.peerFailed != "":
		return "" // nothing to compare with
	}
	d := recorded.Compare(r.got, r.want)
	return d.Text
}

func (r *result) same() bool { return r.difference() == "" }

// summary is a line for the log.
func (r *result) summary() string {
	switch {
	case r.peerFailed != "":
		s := "the peer stopped: " + firstLines(r.peerFailed)
		if r.failed != "" {
			s += "; freshet too: " + firstLines(r.failed)
		}
		return s
	case !r.same():
		return "differs"
	}
	s := fmt.Sprintf("%d events are the same", len(r.got))
	if n := len(r.sqlProblems); n > 0 {
		s += fmt.Sprintf(", %d statements failed", n)
	}
	return s
}

// write keeps the case with both outputs: events.jsonl is the peer's.
func (r *result) write(dir string) error {
	if err := r.c.write(dir); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"events.jsonl": strings.Join(r.want, "\n") + "\n", "freshet.jsonl": strings.Join(r.got, "\n") + "\n",
		"failed.txt": r.failed, "peer-failed.txt": r.peerFailed, "sql.txt": strings.Join(r.sqlProblems, "\n"),
	} {
		if strings.TrimSpace(text) == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// firstLines is the beginning of a Java trace without its frames.
func firstLines(trace string) string {
	var out []string
	for line := range strings.SplitSeq(trace, "\n") {
		if strings.HasPrefix(line, "\tat ") || strings.HasPrefix(line, "\t... ") {
			continue
		}
		out = append(out, line)
	}
	text := strings.Join(out, " | ")
	return text[:min(len(text), 1200)]
}

var _ = time.Second
