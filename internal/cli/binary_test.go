// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/internal/store"
	"freshet/internal/testdb"
)

// binary is the path of the program under test, built once.
var binary string

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "freshet-cli-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "freshet")
	if out, err := exec.Command("go", "build", "-o", binary, "freshet/cmd/freshet").CombinedOutput(); err != nil {
		panic(string(out))
	}
	return m.Run()
}

// result is how a run ended.
type result struct {
	code     int
	out, err string
}

// run runs the program in a folder to its end.
func run(t *testing.T, dir, in string, args ...string) result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(in)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// files writes files into a new folder: names and contents in turn.
func files(t *testing.T, pairs ...string) string {
	t.Helper()
	dir := t.TempDir()
	for i := 0; i+1 < len(pairs); i += 2 {
		require.NoError(t, os.WriteFile(filepath.Join(dir, pairs[i]), []byte(pairs[i+1]), 0o600))
	}
	return dir
}

const (
	worker = "listeners=http://127.0.0.1:0\n"
	source = `name=src
connector.class=io.debezium.connector.postgresql.PostgresConnector
database.hostname=127.0.0.1
database.port=1
database.user=app
database.password=canary-4711
database.dbname=shop
topic.prefix=p
`
)

func TestExitCodes(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	dir := files(t,
		"w.properties", worker,
		"taken.properties", "listeners=http://"+taken.Addr().String()+"\n",
		"open.properties", "listeners=http://0.0.0.0:0\n",
		"kafka.properties", worker+"bootstrap.servers=127.0.0.1:9092\nsecurity.protocol=PLAIN\n",
		"flush.properties", worker+"offset.flush.interval.ms=soon\n",
		"conv.properties", worker+"value.converter=com.example.Nope\n",
		"locked.properties", worker+"data.dir=locked\n",
		"unwritable.properties", worker+"data.dir=/proc/freshet-data\n",
		"src.properties", source,
		"misspelt.properties", source+"snapshot.mode=intial\n",
		"class.properties", "name=s1\nconnector.class=nope\n",
		"noname.properties", "connector.class=PostgresConnector\n",
		"broken.json", `{"name":"j1",`,
		"twice.json", `{"name":"src","config":{"connector.class":"postgres"}}`,
		"sink.properties", "name=s\nconnector.class=jdbc\ntopics=t\nconnection.username=u\nconnection.url=jdbc:postgresql://h/d?password=canary-4711\n",
	)
	db, err := store.Open(filepath.Join(dir, "locked"), store.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()

	runAll(t, dir, []mistake{
		{"", 0, nil},
		{"--help", 0, nil},
		{"standalone --help", 0, nil},
		{"topics tail --help", 0, nil},
		{"version", 0, nil},
		{"nope", 2, []string{`unknown command "nope"`, "freshet --help"}},
		{"topics nope", 2, []string{`unknown command "nope"`, "freshet topics --help"}},
		{"--nope", 2, []string{"unknown flag: --nope"}},
		{"version x", 2, []string{"wrong number of arguments"}},
		{"version --log-format xml", 2, []string{`--log-format "xml" is none of text, json`}},
		{"version --log-level loud", 2, []string{`--log-level "loud" is none of debug, info, warn, error`}},
		{"standalone", 2, []string{"BOOTSTRAP_SERVERS", "usage: freshet standalone [worker.properties"}},
		{"standalone none.properties", 2, []string{"none.properties (no such file or directory)"}},
		{"standalone w.properties none.properties", 2, []string{"none.properties (no such file or directory)"}},
		{"standalone taken.properties", 2, []string{taken.Addr().String(), "another process has port", "choose another port"}},
		{"standalone open.properties", 2, []string{"http://0.0.0.0:0", "nothing asks who sends requests", "--insecure"}},
		{"standalone kafka.properties", 2, []string{"Invalid value PLAIN for configuration", "security.protocol: String must be one of: PLAINTEXT, SSL"}},
		{"standalone flush.properties", 2, []string{"Invalid value soon for configuration offset.flush.interval.ms: Not a number of type LONG"}},
		{"standalone conv.properties", 2, []string{"Invalid value com.example.Nope for configuration value.converter: Class com.example.Nope could not be found."}},
		{"standalone locked.properties", 2, []string{"data folder", "locked", "in use"}},
		{"standalone unwritable.properties", 2, []string{`data folder "/proc/freshet-data"`}},
		{"standalone w.properties class.properties", 2, []string{`connector "s1": Failed to find any class that implements Connector and which name matches nope`, "io.debezium.connector.postgresql.PostgresConnector"}},
		{"standalone w.properties noname.properties", 2, []string{"Connector configuration at 'noname.properties' is missing the mandatory 'name' configuration"}},
		{"standalone w.properties broken.json", 2, []string{"Connector configuration at 'broken.json' is missing the mandatory 'name' configuration"}},
		{"standalone w.properties misspelt.properties", 2, []string{"contains the following 1 error(s)", "'snapshot.mode' value is invalid: Value must be one of", "(given: intial)"}},
		{"standalone w.properties src.properties twice.json", 2, []string{`connector "src"`}},
		{"doctor", 2, []string{"usage: freshet doctor source.properties"}},
		{"doctor none.properties", 2, []string{"none.properties (no such file or directory)"}},
		{"doctor src.properties --output xml", 2, []string{`--output "xml" is none of table, json`}},
		{"doctor misspelt.properties", 2, []string{"'snapshot.mode' value is invalid"}},
		{"doctor sink.properties", 2, []string{"is a sink"}},
		{"doctor src.properties", 3, nil}, // nobody listens on port 1
		{"health --worker http://127.0.0.1:1", 1, []string{"worker at http://127.0.0.1:1 does not answer"}},
		{"health --worker nonsense", 2, []string{`worker "nonsense" is not a URL such as http://127.0.0.1:8083`}},
		{"topics list --worker http://127.0.0.1:1", 1, []string{"worker at http://127.0.0.1:1 does not answer", "--data"}},
		{"topics list --data none", 2, []string{`no data folder "none"`}},
		{"topics list --data locked", 2, []string{"data folder", "in use", "--worker URL"}},
		{"topics list --output xml", 2, []string{`--output "xml" is none of table, json`}},
		{"topics list --data a --worker b", 2, []string{"--worker or --data, not both"}},
		{"topics tail", 2, []string{"usage: freshet topics tail NAME"}},
		{"topics tail t --partition x", 2, []string{`invalid argument "x" for "--partition"`}},
	})
}

// mistake is a command with its exit code, and what it says on standard error.
type mistake struct {
	args string
	code int
	want []string
}

// runAll runs commands in a folder.
func runAll(t *testing.T, dir string, mistakes []mistake) {
	t.Helper()
	for _, c := range mistakes {
		t.Run(c.args, func(t *testing.T) {
			r := run(t, dir, "", strings.Fields(c.args)...)
			require.Equal(t, c.code, r.code, "stdout %s\nstderr %s", r.out, r.err)
			for _, want := range c.want {
				require.Contains(t, r.err, want)
			}
			if c.want != nil && c.code != 0 {
				require.Empty(t, r.out, "errors go to standard error")
			}
			require.NotContains(t, r.out+r.err, "canary-4711")
			require.NotContains(t, r.err, "goroutine ")
		})
	}
}

func TestVersion(t *testing.T) {
	r := run(t, t.TempDir(), "", "version")
	require.Regexp(t, `^freshet \S+\ncommit  \S+\ngo      go1\S+ \w+/\w+\nas      Kafka Connect 4\.1\.1, Debezium 3\.6\.1\.Final\n$`, r.out)
}

func TestTopicsOfAFolder(t *testing.T) {
	dir := files(t)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "d"), 0o700))
	r := run(t, dir, `{"key":{"id":1.50},"value":{"b":1,"a":2},"timestamp":5}`+"\n"+`{"value":{"$text":"no JSON"},"timestamp":6,"headers":[["h","v"]]}`+"\n", "topics", "produce", "t", "--data", "d")
	require.Equal(t, result{0, "", "2 record(s) appended to t\n"}, r)
	r = run(t, dir, "", "topics", "tail", "t", "--from-beginning", "--exit-at-end", "--data", "d")
	require.Equal(t, result{0, `{"topic":"t","partition":0,"offset":0,"timestamp":5,"key":{"id":1.50},"value":{"b":1,"a":2},"headers":[]}
{"topic":"t","partition":0,"offset":1,"timestamp":6,"key":null,"value":{"$text":"no JSON"},"headers":[["h","v"]]}
`, ""}, r)
	again := run(t, dir, r.out, "topics", "produce", "u", "--data", "d")
	require.Equal(t, 0, again.code, again.err)
	r = run(t, dir, "", "topics", "list", "--output", "json", "--data", "d")
	require.Equal(t, result{0, `[{"topic":"t","partitions":[{"partition":0,"start":0,"end":2}]},{"topic":"u","partitions":[{"partition":0,"start":0,"end":2}]}]` + "\n", ""}, r)
	r = run(t, dir, "", "topics", "tail", "none", "--exit-at-end", "--data", "d")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, `topic "none": no such topic`)
	r = run(t, dir, "{}\nnonsense\n", "topics", "produce", "t", "--data", "d")
	require.Equal(t, 1, r.code)
	require.Contains(t, r.err, "line 2: not a record")
}

// process is a worker that runs.
type process struct {
	cmd  *exec.Cmd
	url  string
	logs *bytes.Buffer
	done chan struct{} // closed when logs is complete
}

var readyURL = regexp.MustCompile(`msg="worker is ready" url=(\S+)`)

// startWorker runs a worker until stop, and waits until it is ready.
func startWorker(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.CommandContext(context.WithoutCancel(t.Context()), binary, args...), logs: &bytes.Buffer{}, done: make(chan struct{})}
	p.cmd.Dir = dir
	stderr, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	ready := make(chan string, 1)
	go func() {
		defer close(p.done)
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			p.logs.WriteString(lines.Text() + "\n")
			if m := readyURL.FindStringSubmatch(lines.Text()); m != nil {
				ready <- m[1]
			}
		}
		close(ready)
	}()
	p.url = <-ready
	require.NotEmpty(t, p.url, "the worker did not become ready")
	return p
}

// stop sends a signal and waits; the logs are then complete.
func (p *process) stop(t *testing.T, signal os.Signal) int {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(signal))
	<-p.done
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// A worker serves the topics, ends with 0 on SIGTERM and SIGINT, and shows its connectors' passwords nowhere.
func TestWorkerProcess(t *testing.T) {
	for _, signal := range []os.Signal{syscall.SIGTERM, os.Interrupt} {
		t.Run(signal.String(), func(t *testing.T) {
			dir := files(t, "w.properties", worker, "src.properties", source)
			p := startWorker(t, dir, "standalone", "w.properties", "src.properties")
			r := run(t, dir, "", "health", "--worker", p.url)
			require.Equal(t, result{0, "healthy: " + p.url + " answers as Kafka Connect 4.1.1\n", ""}, r)
			r = run(t, dir, `{"value":1}`, "topics", "produce", "t", "--worker", p.url)
			require.Equal(t, 0, r.code, r.err)
			r = run(t, dir, "", "topics", "tail", "t", "--from-beginning", "--exit-at-end", "--worker", p.url)
			require.Contains(t, r.out, `"value":1`)
			title, err := os.ReadFile("/proc/" + strconv.Itoa(p.cmd.Process.Pid) + "/cmdline")
			require.NoError(t, err)
			require.NotContains(t, string(title), "canary-4711")
			require.Equal(t, 0, p.stop(t, signal), p.logs)
			require.NotContains(t, p.logs.String(), "canary-4711")
			require.Contains(t, p.logs.String(), "worker has stopped")
		})
	}
}

// Ctrl-C ends a tail cleanly.
func TestTailEndsOnInterrupt(t *testing.T) {
	dir := files(t)
	require.NoError(t, os.Mkdir(filepath.Join(dir, "d"), 0o700))
	require.Equal(t, 0, run(t, dir, `{"value":1}`, "topics", "produce", "t", "--data", "d").code)
	cmd := exec.CommandContext(t.Context(), binary, "topics", "tail", "t", "--from-beginning", "--data", "d")
	cmd.Dir = dir
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, `"value":1`)
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	_, err = io.Copy(io.Discard, out)
	require.NoError(t, err)
	require.NoError(t, cmd.Wait(), errs.String())
	require.Empty(t, errs.String())
}

func TestLogFormatJSON(t *testing.T) {
	dir := files(t, "w.properties", worker+"plugin.path=/x\nlisteners=http://0.0.0.0:0\n")
	r := run(t, dir, "", "standalone", "w.properties", "--log-format", "json")
	require.Equal(t, 2, r.code)
	var line struct{ Level, Msg, Property string }
	first, _, _ := strings.Cut(r.err, "\n")
	require.NoError(t, json.Unmarshal([]byte(first), &line))
	require.Equal(t, "plugin.path", line.Property)
	r = run(t, dir, "", "standalone", "w.properties", "--log-level", "error")
	require.NotContains(t, r.err, "plugin.path")
}

// The doctor on a real server: nothing wrong, then a wrong database.
func TestDoctor(t *testing.T) {
	db := testdb.Postgres(t)
	cfg := fmt.Sprintf("name=src\nconnector.class=postgres\ntopic.prefix=p\ndatabase.hostname=%s\ndatabase.port=%d\ndatabase.user=%s\ndatabase.password=%s\ndatabase.dbname=%s\n",
		db.Host, db.Port, db.User, db.Password, db.Database)
	dir := files(t, "good.properties", cfg, "bad.properties", cfg+"\ndatabase.dbname=no_such_database\n")
	r := run(t, dir, "", "doctor", "good.properties")
	require.Equal(t, 0, r.code, r.out+r.err)
	require.Regexp(t, `(?m)^OK    wal_level +logical$`, r.out)
	r = run(t, dir, "", "doctor", "bad.properties", "--output", "json")
	require.Equal(t, 3, r.code, r.out+r.err)
	var report struct {
		OK       bool
		Findings []struct{ Level, Subject, Seen string }
	}
	require.NoError(t, json.Unmarshal([]byte(r.out), &report))
	require.False(t, report.OK)
	require.Contains(t, r.out, "no_such_database")
}
