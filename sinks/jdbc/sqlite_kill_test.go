// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/emitter/topic"
	"freshet/internal/failpoint"
	"freshet/schema"
	"freshet/sinks"
)

const (
	envKillFile = "FRESHET_TEST_SQLITE_FILE" // the child's database
	envKillStop = "FRESHET_TEST_SQLITE_STOP" // the step at which it hangs, and how many times it is passed first
	killMarker  = "at the step"
	killRecords = 3000
)

// logProperties are those of rows without a key, each of which must come once.
func logProperties(f *sqliteFile) map[string]string {
	return f.upsert("insert.mode", "insert", "primary.key.mode", "none", "delete.enabled", "false", "offsets.table.name", "freshet_offsets")
}

// TestSQLiteIsKilled: a process that writes is killed at the steps around its commits, and in the middle of them, and the next
// one goes on where the file says: every row is there once.
func TestSQLiteIsKilled(t *testing.T) {
	if os.Getenv(envKillFile) != "" {
		killedChild(t)
		return
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	file := newSQLite(t, "")
	kills := 0
	for done := false; !done; kills++ {
		require.Less(t, kills, 200)
		step := []string{"sink.commit.before", "sink.commit.after"}[r.IntN(2)] + ":" + strconv.Itoa(r.IntN(6))
		if kills%5 == 4 {
			step = "none:0" // runs to the end, unless it is killed between two steps
		}
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSQLiteIsKilled$", "-test.timeout=60s")
		child.Env = append(os.Environ(), envKillFile+"="+file.path, envKillStop+"="+step)
		out, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		lines := bufio.NewScanner(out)
		for passed := 0; lines.Scan(); passed++ {
			switch {
			case lines.Text() == killMarker, step == "none:0" && passed > r.IntN(40):
				require.NoError(t, child.Process.Kill())
			case strings.HasPrefix(lines.Text(), "ok all"):
				done = true
			}
		}
		err = child.Wait()
		require.Equal(t, done, err == nil, "the child was killed or has written everything: %v", err)
	}
	require.Greater(t, kills, 3)
	require.Equal(t, fmt.Sprint(killRecords, " ", killRecords, " ", killRecords-1), file.show(t, "SELECT count(*), count(DISTINCT n), max(n) FROM log"))
	require.Equal(t, fmt.Sprint("connect-c log 0 ", killRecords), file.show(t, "SELECT * FROM freshet_offsets"))
	require.Equal(t, "ok", file.show(t, "PRAGMA integrity_check"))
}

// killedChild writes what is missing, and hangs at its step.
func killedChild(t *testing.T) {
	file := &sqliteFile{path: os.Getenv(envKillFile)}
	step, count, _ := strings.Cut(os.Getenv(envKillStop), ":")
	left, err := strconv.Atoi(count)
	require.NoError(t, err)
	failpoint.Set(func(at string) {
		fmt.Fprintln(os.Stdout, at)
		if at == step {
			if left--; left < 0 {
				fmt.Fprintln(os.Stdout, killMarker)
				select {}
			}
		}
	})
	f := newFeed("log", 0, fieldOf("n", schema.Int64))
	p := topic.Partition{Topic: "log"}
	w := open(t, logProperties(file), nil)
	positions, err := w.(sinks.Positioner).Positions(t.Context())
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(uint64(os.Getpid()), 0))
	for f.next = positions[p]; f.next < killRecords; {
		write(t, w, func(b *sinks.Batch) {
			for n := min(killRecords-f.next, 1+r.Int64N(150)); n > 0; n-- {
				f.change(b, change.Create, f.next)
			}
		})
	}
	require.NoError(t, w.Close(t.Context()))
	fmt.Fprintln(os.Stdout, "ok all")
}
