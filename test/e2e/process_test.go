// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long a condition may take to come true. It is generous, for loaded machines; no test waits for it to
// pass.
const patience = 150 * time.Second

// process is a run of the program.
type process struct {
	cmd      *exec.Cmd
	out, err *buffer
	done     chan struct{} // closed when it has ended and been waited for
}

// start starts the program. It is killed when the test ends, if it still runs then. The race detector's reports fail the
// test, whatever the exit code.
func start(t *testing.T, in io.Reader, args ...string) *process {
	t.Helper()
	return startCommand(t, exec.Command(os.Args[0], args...), in)
}

// startCommand is start for a command whose process is to be special.
func startCommand(t *testing.T, cmd *exec.Cmd, in io.Reader) *process {
	t.Helper()
	return startBy(t, cmd, in, cmd.Start)
}

func startBy(t *testing.T, cmd *exec.Cmd, in io.Reader, start func() error) *process {
	t.Helper()
	p := &process{cmd: cmd, out: &buffer{}, err: &buffer{}, done: make(chan struct{})}
	cmd.Env = append(os.Environ(), envChild+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, p.out, p.err
	require.NoError(t, start())
	go func() {
		defer close(p.done)
		_ = cmd.Wait() // the exit code tells
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may have ended
		<-p.done
		require.NotContains(t, p.err.String(), "DATA RACE")
		if t.Failed() {
			t.Logf("%s said:\n%s", strings.Join(cmd.Args[1:], " "), p.err.last())
		}
	})
	return p
}

// run runs the program to its end.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	p := start(t, nil, args...)
	code = p.wait(t)
	return code, p.out.String(), p.err.String()
}

// wait waits for the end, and returns the exit code.
func (p *process) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		t.Fatalf("%s does not end", p.cmd.Args[1])
	}
	return p.cmd.ProcessState.ExitCode()
}

// ended says whether the process has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) signal(t *testing.T, s os.Signal) {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(s))
}

// stop asks the process to end, which it must do with exit code 0.
func (p *process) stop(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	require.Zero(t, p.wait(t), "exit code after SIGTERM")
}

// kill ends the process as a power cut would.
func (p *process) kill(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGKILL)
	<-p.done
}

// logged are the log lines with a message. The process logs JSON.
func (p *process) logged(message string) []map[string]any {
	var found []map[string]any
	for line := range strings.Lines(p.err.String()) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == message {
			found = append(found, fields)
		}
	}
	return found
}

// buffer keeps what is written to it. It is safe for concurrent use.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// last is the end of the text, for reports.
func (b *buffer) last() string {
	text := b.String()
	return text[max(0, len(text)-4<<10):]
}

// waitFor polls a condition.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	waitWithin(t, patience, what, done)
}

// waitWithin waits for a condition. Where asking is dear, as reading a whole topic is, it asks seldom: who is waited for needs the
// processor.
func waitWithin(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); ; {
		begin := time.Now()
		if done() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
		<-time.After(min(max(10*time.Millisecond, 2*time.Since(begin)), time.Second))
	}
}

// requireWords checks that a message says all of words.
func requireWords(t *testing.T, message string, words ...string) {
	t.Helper()
	for _, w := range words {
		require.Contains(t, message, w)
	}
}
