// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/internal/testdb"
)

// canary is a password, with characters that are special in URLs, JSON, SQL and connection strings. song is the part of
// it that is searched for: no encoding changes it.
const (
	song   = "kanarienVOGEL"
	canary = song + `'"\/@:# ü%?&=` + song
)

// silent checks that a text does not have the canary.
func silent(t *testing.T, where, text string) {
	t.Helper()
	if i := strings.Index(strings.ToLower(text), strings.ToLower(song)); i >= 0 {
		t.Errorf("the canary sings in %s: %s", where, text[max(0, i-200):min(len(text), i+200)])
	}
}

// title is what others see of a process.
func title(t *testing.T, p *process) string {
	t.Helper()
	if runtime.GOOS != "linux" {
		return ""
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.cmd.Process.Pid))
	require.NoError(t, err)
	return strings.ReplaceAll(string(text), "\x00", " ")
}

// walk asks for everything that the REST API tells.
func (w *worker) walk(t *testing.T, names ...string) {
	t.Helper()
	paths := []string{
		"/", "/health", "/connectors", "/connectors?expand=info&expand=status", "/connector-plugins", "/connector-plugins?connectorsOnly=false",
		"/connector-plugins/PostgresConnector/config", "/connector-plugins/JdbcSinkConnector/config", "/freshet/topics", "/metrics", "/admin/loggers", "/nothing",
	}
	for _, n := range names {
		for _, p := range []string{"", "/config", "/status", "/tasks", "/tasks/0/status", "/tasks-config", "/topics", "/offsets"} {
			paths = append(paths, "/connectors/"+n+p)
		}
	}
	for _, path := range paths {
		_, answer := w.ask(t, "GET", path, nil)
		silent(t, "GET "+path, answer)
	}
}

// TestPasswordsOfWorker: a worker tells no password, in whatever trouble it is.
func TestPasswordsOfWorker(t *testing.T) {
	t.Parallel()
	source, target := testdb.Postgres(t), testdb.Postgres(t)
	role := login(t, strings.ReplaceAll(canary, "'", "''"), source, target)
	source.Exec(t, itemsDDL+"insert into items values (1, 0, 'snapshot')")
	s := pair(t, source, target)
	s.worker = properties{"ssl.keystore.password": canaryInProperties(), "offset.storage.file.filename": "x"}
	s.connectors[sourceName] = s.connectors[sourceName].with(properties{
		"database.user": role, "database.password": canary,
		"my.password": canary, "database.sslpassword": canary,
	})
	s.connectors[sinkName] = s.connectors[sinkName].with(properties{"connection.username": role, "connection.password": canary})
	p := start(t, nil, append([]string{"--log-format", "json", "--log-level", "debug", "standalone"}, s.files(t)...)...)
	w := ready(t, p)
	equal(t, source, target)
	w.walk(t, sourceName, sinkName)
	for _, name := range []string{sourceName, sinkName} {
		require.Contains(t, w.do(t, "GET", "/connectors/"+name, nil), `"****"`, "the mask stands for it")
	}

	inURL := jdbcURL(target) + "?user=" + role + "&password=" + url.QueryEscape(canary)
	wrongURL := jdbcURL(target) + "?user=" + role + "&password=wrong" + url.QueryEscape(canary)
	for _, c := range []struct {
		name    string
		changes properties
		state   connect.State
	}{
		{sourceName, properties{"database.password": "wrong" + canary}, connect.Failed},
		{sourceName, properties{"database.password": canary, "database.hostname": "db..example"}, connect.Restarting},
		{sourceName, properties{"database.hostname": source.Host, "database.sslmode": "require", "database.sslcert": "/no/cert", "database.sslkey": "/no/key"}, connect.Failed},
		{sourceName, properties{"database.sslmode": "prefer", "database.sslcert": "", "database.sslkey": ""}, connect.Running},
		{sinkName, properties{"connection.password": "wrong" + canary}, connect.Failed},
		{sinkName, properties{"connection.url": wrongURL, "connection.password": "", "connection.username": ""}, connect.Failed},
		{sinkName, properties{"connection.url": inURL}, connect.Running},
	} {
		changes := map[string]any{}
		for name, value := range c.changes {
			if changes[name] = value; value == "" {
				changes[name] = nil
			}
		}
		status, answer := w.ask(t, "PATCH", "/connectors/"+c.name+"/config", changes)
		silent(t, "PATCH config", answer)
		if status < 300 {
			w.await(t, c.name, c.state)
		}
		w.walk(t, sourceName, sinkName)
	}
	// Configurations that are refused, and those that are only looked at.
	for _, changes := range []properties{{"snapshot.mode": "initiial"}, {"connector.class": "com.example.No"}, {"connector.class": ""}, {"database.port": "x"}} {
		cfg := s.connectors[sourceName].with(changes)
		_, answer := w.ask(t, "POST", "/connectors", map[string]any{"name": "new", "config": cfg})
		silent(t, "POST", answer)
		_, answer = w.ask(t, "PUT", "/connector-plugins/PostgresConnector/config/validate", cfg)
		silent(t, "validate", answer)
		_, answer = w.ask(t, "PUT", "/connectors/"+sourceName+"/config", cfg)
		silent(t, "PUT config", answer)
	}
	_, answer := w.ask(t, "PUT", "/connector-plugins/JdbcSinkConnector/config/validate", s.connectors[sinkName].with(properties{"connection.url": "mysql://u:" + canary + "@h/d"}))
	silent(t, "validate", answer)
	w.walk(t, sourceName, sinkName, "new")
	silent(t, "the title", title(t, p))
	source.Exec(t, "insert into items values (2, 0, 'streamed')")
	equal(t, source, target)
	w.stop(t)
	silent(t, "the log", p.err.String())
	silent(t, "standard output", p.out.String())
}

// canaryInProperties is the canary as a properties file writes it.
func canaryInProperties() string { return strings.ReplaceAll(canary, `\`, `\\`) }

// TestPasswordsOfCommands: doctor, replicate and their mistakes.
func TestPasswordsOfCommands(t *testing.T) {
	t.Parallel()
	r := newReplication(t)
	r.source.Exec(t, itemsDDL+"insert into items values (1, 0, 'snapshot')")
	role := login(t, strings.ReplaceAll(canary, "'", "''"), r.source, r.target)
	s := newSetup(t)
	for _, c := range []properties{{}, {"database.password": "wrong" + canary}, {"database.port": closedPort(t)}, {"snapshot.mode": "x"}, {"database.sslcert": "/no", "database.sslmode": "require"}} {
		s.connectors[sourceName] = sourceConfig(r.source).with(properties{"database.user": role, "database.password": canary, "database.sslpassword": canary}).with(c)
		p := start(t, nil, "--log-level", "debug", "doctor", s.sourceFile(t))
		silent(t, "the title", title(t, p))
		p.wait(t)
		silent(t, "the doctor", p.err.String()+p.out.String())
	}

	address := net.JoinHostPort(r.source.Host, strconv.Itoa(r.source.Port))
	from := r.source.DSNFor(r.source.Database, role, canary)
	to := r.target.DSNFor(r.target.Database, role, canary)
	inQuery := "postgres://" + role + "@" + address + "/" + r.source.Database + "?sslmode=disable&password=" + strings.ReplaceAll(url.QueryEscape(canary), "+", "%20")
	keyed := fmt.Sprintf("host=%s port=%d dbname=%s user=%s password='%s'", r.source.Host, r.source.Port, r.source.Database, role, strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(canary))
	for _, args := range [][]string{
		{"--from", from, "--to", to},
		{"--from=" + inQuery, "--to=" + to},
		{"--from", keyed, "--to", to},
	} {
		dir := filepath.Join(t.TempDir(), "data")
		p := start(t, nil, append([]string{"--log-format", "json", "--log-level", "debug", "replicate", "--data", dir, "--clean"}, args...)...)
		w := ready(t, p)
		silent(t, "the title", title(t, p))
		require.Contains(t, title(t, p), "replicate --data "+dir, "the rest of the title stays")
		equal(t, r.source, r.target)
		w.walk(t, "replicate-source", "replicate-sink")
		p.stop(t)
		silent(t, "the log", p.err.String()+p.out.String())
		r.target.Exec(t, "drop table items, freshet_offsets")
	}
	for _, args := range [][]string{
		{"--from", strings.Replace(from, song, "wrong"+song, 1), "--to", to},
		{"--from", "postgres://" + role + ":" + canary + "@" + address + "/x", "--to", to}, // not escaped as a URL is
		{"--from", "postgres://" + role + ":" + song + "@" + address + ":x/y", "--to", to},
		{"--from", "mysql://" + role + ":" + song + "@" + address + "/y", "--to", to},
		{"--from", keyed[:len(keyed)-1], "--to", to}, // an open quote
		{"--from", from, "--to", strings.Replace(to, r.target.Database, "no_such_db", 1)},
		{"--from", from, "--to", from},
		{"--from", from, "--to", to, "--tables", "none"},
		{"--from", from, "--too", to},
		{"--from", from, to},
	} {
		p := start(t, nil, append([]string{"--log-level", "debug", "replicate", "--once", "--data", filepath.Join(t.TempDir(), "data")}, args...)...)
		require.NotZero(t, p.wait(t), "%s", p.err)
		silent(t, "a mistake", p.err.String()+p.out.String())
	}
}
