// SPDX-License-Identifier: Apache-2.0

package chaos

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/internal/testdb"
	"freshet/internal/topicio"
)

// workerEnv is what every child starts with: one folder and the same files.
type workerEnv struct {
	data  string
	files []string
}

func newWorkerEnv(t *testing.T, source *testdb.Server, s *shape) workerEnv {
	t.Helper()
	dir := t.TempDir()
	env := workerEnv{data: filepath.Join(dir, "data")}
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		env.files = append(env.files, path)
	}
	write("worker.properties", "listeners=http://127.0.0.1:0\ndata.dir="+env.data+"\n")
	write("source.json", config(t, "kill-source", map[string]string{
		"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "topic.prefix": "kill", "plugin.name": "pgoutput",
		"database.hostname": source.Host, "database.port": strconv.Itoa(source.Port), "database.user": source.User,
		"database.password": source.Password, "database.dbname": source.Database, "table.include.list": "public\\..*",
		"slot.name": "kill_" + source.Database, "publication.name": "kill", "publication.autocreate.mode": "filtered",
		"max.batch.size": strconv.Itoa(s.batch), "snapshot.max.threads": strconv.Itoa(s.threads), "snapshot.max.threads.multiplier": strconv.Itoa(s.blocks),
		"streaming.delay.ms": strconv.Itoa(s.pause), "slot.retry.delay.ms": "200", "status.update.interval.ms": "50", "skipped.operations": "none",
		"provide.transaction.metadata": strconv.FormatBool(s.metadata), "incremental.snapshot.chunk.size": "20",
		"signal.data.collection": "public.signals",
		"key.converter":          "org.apache.kafka.connect.json.JsonConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter",
	}))
	write("sink.json", config(t, "kill-sink", map[string]string{
		"connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector", "topics.regex": `kill\.public\.(counters|moves)`,
		"connection.url":      "jdbc:postgresql://" + net.JoinHostPort(source.Host, strconv.Itoa(source.Port)) + "/" + source.Database,
		"connection.username": source.User, "connection.password": source.Password, "insert.mode": "upsert",
		"primary.key.mode": "record_key", "delete.enabled": "true", "truncate.enabled": "true",
		"collection.name.format": "copy.${source.table}", "offsets.table.name": "copy.freshet_offsets", "batch.size": strconv.Itoa(s.sinkBatch),
	}))
	return env
}

func config(t *testing.T, name string, cfg map[string]string) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"name": name, "config": cfg})
	require.NoError(t, err)
	return string(text)
}

// child is a running worker.
type child struct {
	cmd    *exec.Cmd
	lines  chan string // of its standard output
	stderr *tail
	url    string // of its REST API, once known
}

func (e workerEnv) start(t *testing.T, stop string) *child {
	t.Helper()
	c := &child{cmd: exec.Command(os.Args[0], append([]string{"standalone"}, e.files...)...), lines: make(chan string, 16), stderr: &tail{}}
	c.cmd.Env = append(os.Environ(), envChild+"=1", envStop+"="+stop)
	c.cmd.Stderr = c.stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.cmd.Start())
	go c.read(out)
	t.Cleanup(func() { _ = c.cmd.Process.Kill() })
	return c
}

func (c *child) read(out io.Reader) {
	defer close(c.lines)
	for s := bufio.NewScanner(out); s.Scan(); {
		c.lines <- s.Text()
	}
}

// waitFor waits for a line of the child, for a while: at says whether it came. failed ends the wait when a writer has failed.
func (c *child) waitFor(t *testing.T, line string, while time.Duration, failed <-chan error) (at bool) {
	t.Helper()
	moment := time.NewTimer(while)
	defer moment.Stop()
	for {
		select {
		case got, ok := <-c.lines:
			require.True(t, ok, "the worker ended:\n%s", c.stderr)
			if got == line {
				return true
			}
		case err := <-failed:
			require.NoError(t, err)
		case <-moment.C:
			return false
		}
	}
}

// ready says whether the REST API answers.
func (c *child) ready() bool {
	if m := ready.FindStringSubmatch(c.stderr.all()); m != nil {
		c.url = m[1]
	}
	return c.url != ""
}

var ready = regexp.MustCompile(`msg="worker is ready" url=(\S+)`)

// offsets are the source's positions, as REST tells them.
func (c *child) offsets(t *testing.T) string { return c.get(t, "/connectors/kill-source/offsets") }

// consumed says whether the sink has applied and committed all that is in its topics.
func (c *child) consumed(t *testing.T) bool {
	t.Helper()
	var committed struct {
		Offsets []struct {
			Partition struct {
				Topic string `json:"kafka_topic"`
			}
			Offset struct {
				Offset int64 `json:"kafka_offset"`
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(c.get(t, "/connectors/kill-sink/offsets")), &committed))
	at := map[string]int64{}
	for _, o := range committed.Offsets {
		at[o.Partition.Topic] = o.Offset.Offset
	}
	var topics []topicio.Topic
	require.NoError(t, json.Unmarshal([]byte(c.get(t, "/freshet/topics")), &topics))
	for _, x := range topics {
		for _, table := range tables {
			if x.Topic == "kill.public."+table && at[x.Topic] < x.Partitions[0].End {
				return false
			}
		}
	}
	return true
}

func (c *child) get(t *testing.T, path string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url+path, nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s", text)
	return string(text)
}

// streamed says whether the snapshot was over.
func (c *child) streamed() bool {
	said := c.stderr.all()
	return strings.Contains(said, "snapshot=false") && strings.Contains(said, "msg=streaming") || strings.Contains(said, "the spool is read and deleted")
}

func (c *child) kill(t *testing.T) {
	t.Helper()
	require.NoError(t, c.cmd.Process.Kill())
	_ = c.cmd.Wait() // killed
}

// stop ends the worker in an orderly way.
func (c *child) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, c.cmd.Wait(), "%s", c.stderr)
}

// tail keeps what is written to it, all but for the beginning of very much.
type tail struct {
	mu   sync.Mutex
	text string
}

func (w *tail) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text += string(p)
	if len(w.text) > 4<<20 {
		w.text = w.text[len(w.text)-2<<20:]
	}
	return len(p), nil
}

func (w *tail) all() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text
}

// String is the end of the text, for messages.
func (w *tail) String() string {
	text := w.all()
	return strings.TrimSpace(text[max(0, len(text)-16<<10):])
}
