// SPDX-License-Identifier: Apache-2.0

package golden

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/config"
	"freshet/connect"
	"freshet/emitter/topic"
	"freshet/internal/testdb"
	"freshet/test/recorded"
)

// caseFile is a recorded case's case.json.
type caseFile struct {
	Title  string            `json:"title"`
	Source string            `json:"source"`
	Config map[string]string `json:"config"`
	Steps  []string          `json:"steps"`
	Topics string            `json:"topics"` // a regular expression of further topics that belong to the case
}

// settleTimeout bounds the wait for a connector to catch up. It is reached only where something is wrong.
const settleTimeout = 40 * time.Second

// outcome is what a case's run came to: what the recorder would have written.
type outcome struct {
	version int // of the server
	events  []string
	offsets map[string]string // file → JSON, as GET /offsets answers
	failed  string            // the failed task's trace
	failed2 string            // that of the second connector
	refused error
	invalid map[string][]string // property → messages of the validation; nil when not asked for
}

// run is a case while it runs.
type run struct {
	t       *testing.T
	dir     string
	spec    caseFile
	server  *testdb.Server
	worker  *worker
	name    string // of the connector, its slot and its publication
	config  map[string]string
	slot    string
	runs    bool              // the connector is started and not stopped
	signals int               // snapshots asked for by the topic
	names   *strings.Replacer // the run's own names → ${db}, ${slot}
	out     outcome
}

func readCase(t *testing.T, dir string) caseFile {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "case.json"))
	require.NoError(t, err)
	var c caseFile
	require.NoError(t, json.Unmarshal(text, &c))
	return c
}

// runCase runs a case on a database of its own.
func runCase(t *testing.T, dir string, spec caseFile) outcome {
	t.Helper()
	s := testdb.Postgres(t)
	version, err := strconv.Atoi(s.Text(t, "select current_setting('server_version_num')::int / 10000"))
	require.NoError(t, err)
	if need := postgresSince[filepath.Base(dir)]; version < need {
		t.Skipf("this is PostgreSQL %d; the case needs %d", version, need)
	}
	partitions := int64(1)
	if n := spec.Config["topic.creation.default.partitions"]; n != "" {
		partitions, err = strconv.ParseInt(n, 10, 32)
		require.NoError(t, err)
	}
	name := "g" + strings.TrimPrefix(s.Database, "t")
	r := &run{
		t: t, dir: dir, spec: spec, server: s, worker: newWorkerWith(t, int32(partitions)), name: name,
		names: strings.NewReplacer(s.Database, "${db}", name, "${slot}"),
		out:   outcome{version: version, offsets: map[string]string{}},
	}
	r.config = map[string]string{
		"connector.class":       "io.debezium.connector.postgresql.PostgresConnector",
		"database.hostname":     s.Host,
		"database.port":         strconv.Itoa(s.Port),
		"database.user":         s.User,
		"database.password":     s.Password,
		"database.dbname":       s.Database,
		"plugin.name":           "pgoutput",
		"topic.prefix":          "dbserver1",
		"heartbeat.interval.ms": "0",
		"slot.name":             name,
		"publication.name":      name,
		// Nothing of this shows in events: it only makes the waits of settle short.
		"status.update.interval.ms": "50",
	}
	maps.Copy(r.config, spec.Config)
	own := strings.NewReplacer("${db}", s.Database, "${slot}", name)
	for k, v := range r.config {
		r.config[k] = own.Replace(v)
	}
	if r.config["signal.kafka.bootstrap.servers"] != "" { // here the topic is one of the worker's own
		maps.DeleteFunc(r.config, func(name, _ string) bool {
			return name == "signal.kafka.bootstrap.servers" || strings.HasPrefix(name, "signal.consumer.")
		})
	}
	r.slot = r.config["slot.name"]
	r.steps()
	for _, said := range []string{r.worker.said.String(), r.out.failed, r.out.failed2, fmt.Sprint(r.out.refused)} {
		require.NotContains(t, said, s.Password, "the password shows")
	}
	return r.out
}

func (r *run) steps() {
	r.t.Helper()
	for _, step := range r.spec.Steps {
		word, file, _ := strings.Cut(step, " ")
		switch word {
		case "@start":
			r.put()
		case "@restart":
			r.stop()
			r.resume()
		case "@stop":
			r.stop()
		case "@resume":
			r.resume()
		case "@config":
			r.reconfigure(file)
		case "@getoffsets":
			r.out.offsets[file] = r.offsets()
		case "@validate":
			r.validate()
		case "@start2":
			r.second(file)
		case "@wait": // the recorder's sleep: the conditions of the other steps take its place, but for snapshots on demand
			r.snapshots()
		case "@signal":
			r.signal(file)
		default:
			require.NotContains(r.t, word, "@", "a step that this runner does not know")
			r.sql(word)
			if r.runs {
				r.settle()
			}
		}
		if r.out.refused != nil {
			return
		}
	}
	r.finish()
}

// snapshots waits until no snapshot on demand is at work: the position has none, or one that is paused behind a window.
func (r *run) snapshots() {
	r.t.Helper()
	waitFor(r.t, "snapshots on demand end", settleTimeout, func() bool {
		at := r.offsets()
		return r.failure(r.name) != "" || !strings.Contains(at, "freshet_snapshots") ||
			strings.Contains(at, `"paused":true`) && strings.Contains(at, `"after":`)
	}, r.offsets)
	waitFor(r.t, "snapshots that were asked for by the topic end", settleTimeout, func() bool {
		return r.failure(r.name) != "" || strings.Count(r.worker.said.String(), `"incremental snapshot is complete"`) >= r.signals
	}, r.offsets)
	r.settle()
}

// signal sends a signal by the topic, and waits until it is taken.
func (r *run) signal(file string) {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, file))
	require.NoError(r.t, err)
	r.signals++
	at := topic.Partition{Topic: r.config["signal.kafka.topic"]}
	durable := make(chan error, 1)
	r.worker.log.Append(r.t.Context(), topic.Unit{Records: []topic.Record{{
		Topic: at.Topic, Key: topic.Data{Body: []byte(r.config["topic.prefix"])}, Value: topic.Data{Body: text},
	}}}, func(err error) { durable <- err })
	require.NoError(r.t, <-durable)
	waitFor(r.t, "the signal is taken", settleTimeout, func() bool {
		offsets, err := r.worker.log.(connect.Admin).GroupOffsets(r.t.Context(), r.config["signal.kafka.groupId"])
		return err == nil && offsets[at] == int64(r.signals)
	}, r.offsets)
}

func (r *run) sql(file string) {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, file))
	require.NoError(r.t, err)
	if err := r.server.Script(r.t, string(text)); err != nil {
		r.t.Logf("%s: %v (the recorder went on too)", file, err)
	}
}

func (r *run) put() {
	r.t.Helper()
	_, _, err := r.worker.herder.Put(r.t.Context(), r.name, r.config, true, "")
	var refused *connect.Error
	if errors.As(err, &refused) {
		r.out.refused = refused
		return
	}
	require.NoError(r.t, err)
	r.runs = true
	r.settle()
}

func (r *run) stop() {
	r.t.Helper()
	r.runs = false
	require.NoError(r.t, r.worker.herder.Stop(r.t.Context(), r.name))
}

func (r *run) resume() {
	r.t.Helper()
	require.NoError(r.t, r.worker.herder.Resume(r.t.Context(), r.name))
	r.runs = true
	r.settle()
}

func (r *run) reconfigure(file string) {
	r.t.Helper()
	for k, v := range r.readConfig(file) {
		r.config[k] = strings.ReplaceAll(v, "${name}", r.name)
	}
	_, _, err := r.worker.herder.Put(r.t.Context(), r.name, r.config, false, "")
	var refused *connect.Error
	if errors.As(err, &refused) {
		r.out.refused = refused
		return
	}
	require.NoError(r.t, err)
}

func (r *run) readConfig(file string) map[string]string {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join(r.dir, file))
	require.NoError(r.t, err)
	var c map[string]string
	require.NoError(r.t, json.Unmarshal(text, &c))
	return c
}

func (r *run) validate() {
	r.t.Helper()
	cfg := maps.Clone(r.config)
	cfg["name"] = r.name
	v, err := r.worker.herder.Validate(r.t.Context(), "PostgresConnector", cfg)
	require.NoError(r.t, err)
	r.out.invalid = map[string][]string{}
	for _, p := range config.Errors(v.Problems) {
		r.out.invalid[p.Property] = append(r.out.invalid[p.Property], p.Message)
	}
}

// second starts another connector with nearly the same settings, which is to fail.
func (r *run) second(file string) {
	r.t.Helper()
	cfg := maps.Clone(r.config)
	maps.Copy(cfg, r.readConfig(file))
	_, _, err := r.worker.herder.Put(r.t.Context(), r.name+"b", cfg, true, "")
	require.NoError(r.t, err)
	waitFor(r.t, "the second connector fails", settleTimeout,
		func() bool { return r.failure(r.name+"b") != "" }, func() string { return "it runs" })
	r.out.failed2 = r.failure(r.name + "b")
	require.NoError(r.t, r.worker.herder.Delete(r.t.Context(), r.name+"b"))
}

// failure is the trace of a connector that failed, or of its task.
func (r *run) failure(name string) string {
	r.t.Helper()
	s, err := r.worker.herder.Status(r.t.Context(), name)
	require.NoError(r.t, err)
	if s.Connector.State == connect.Failed {
		return s.Connector.Trace
	}
	for _, task := range s.Tasks {
		if task.State == connect.Failed {
			return task.Trace
		}
	}
	return ""
}

// settle waits until the connector has passed everything the database has written so far, or has failed.
//
// A commit of ours makes the server write beyond the last change of the step; once the slot is confirmed there, all
// before it is durable in the topics (I2, I3). A connector that does not stream says in its offset that it is done.
func (r *run) settle() {
	r.t.Helper()
	state := func() string {
		slots := r.server.Rows(r.t, "select slot_name, active, confirmed_flush_lsn, pg_current_wal_lsn() from pg_replication_slots where database = current_database()")
		s, err := r.worker.herder.Status(r.t.Context(), r.name)
		return fmt.Sprintf("slots %v, status %+v %v, offsets %s", slots, s, err, r.offsets())
	}
	slot := func(condition string) bool {
		return r.server.Text(r.t, "select count(*) from pg_replication_slots s left join pg_stat_replication p on p.pid = s.active_pid"+
			" where slot_name = '"+r.slot+"' and "+condition) == "1"
	}
	ended := func() bool {
		return r.failure(r.name) != "" ||
			r.config["snapshot.mode"] == "initial_only" && strings.Contains(r.offsets(), `"snapshot_completed":true`)
	}
	// A slot is active while it is created, too: what counts is that its server process sends.
	waitFor(r.t, "the connector streams", settleTimeout, func() bool { return ended() || slot("p.state in ('catchup', 'streaming')") }, state)
	if ended() {
		return
	}
	r.server.Exec(r.t, `comment on database "`+r.server.Database+`" is 'settled'`)
	lsn := r.server.Text(r.t, "select pg_current_wal_lsn()")
	waitFor(r.t, "the slot is confirmed beyond "+lsn, settleTimeout,
		func() bool { return ended() || slot("confirmed_flush_lsn >= '"+lsn+"'") }, state)
}

// offsets is what GET /connectors/{name}/offsets answers.
func (r *run) offsets() string {
	r.t.Helper()
	all, err := r.worker.herder.Offsets(r.t.Context(), r.name)
	require.NoError(r.t, err)
	parts := make([]string, len(all))
	for i, o := range all {
		offset := o.Offset
		if offset == "" {
			offset = "null"
		}
		parts[i] = `{"partition":` + o.Partition + `,"offset":` + offset + `}`
	}
	return r.names.Replace(`{"offsets":[` + strings.Join(parts, ",") + `]}`)
}

// finish takes down what the recorder writes at the end.
func (r *run) finish() {
	r.t.Helper()
	r.out.failed = r.failure(r.name)
	r.stop()
	r.out.offsets["offsets.json"] = r.offsets()
	prefix := r.config["topic.prefix"]
	var extra *regexp.Regexp
	if r.spec.Topics != "" {
		extra = regexp.MustCompile(`\A(?:` + r.spec.Topics + `)\z`)
	}
	records := r.worker.records(r.t, func(topic string) bool {
		return topic == prefix || strings.HasPrefix(topic, prefix+".") || strings.HasPrefix(topic, "__debezium-heartbeat."+prefix) ||
			extra != nil && extra.MatchString(topic)
	})
	r.out.events = recorded.Render(records, r.names)
}
