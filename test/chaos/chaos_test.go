// SPDX-License-Identifier: Apache-2.0

// Package chaos holds the kill tests: the real worker, in a process of its own, is killed at seeded moments while writers
// change the source, and is started again on the same folder. Afterwards a checker looks at every record of the topic and
// at every row of the target.
package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/internal/cli"
	"freshet/internal/failpoint"
	"freshet/internal/testdb"
	"freshet/internal/verify"
	"freshet/schema"
)

const (
	envChild = "FRESHET_CHAOS_CHILD" // set in the child: the test binary is the worker
	envStop  = "FRESHET_CHAOS_STOP"  // step:n, where the child says that it is there and waits to be killed
	envSeed  = "FRESHET_CHAOS_SEED"
	envKills = "FRESHET_CHAOS_KILLS"
)

// marker is the line a child prints when it has reached its step.
const marker = "CHAOS MARK "

func TestMain(m *testing.M) {
	if os.Getenv(envChild) == "" {
		os.Exit(m.Run())
	}
	if stop := os.Getenv(envStop); stop != "" {
		stopAt(stop)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Execute(ctx, cli.Env{Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(code)
}

// stopAt makes this process print the marker and hang when the step is reached for the n-th time: killed there, it is
// killed exactly there.
func stopAt(stop string) {
	step, count, _ := strings.Cut(stop, ":")
	n, _ := strconv.ParseInt(count, 10, 64)
	var seen atomic.Int64
	failpoint.Set(func(s string) {
		if s == step && seen.Add(1) == n {
			fmt.Println(marker + stop)
			select {}
		}
	})
}

// steps are the moments that matter, and how far into a run they may be chosen.
var steps = []struct {
	name string
	most int
}{
	{"emitter.append", 20},
	{"log.append.before-commit", 40},
	{"log.append.after-commit", 40},
	{"emitter.durable", 20},
	{"pg.confirm.before", 5},
	{"pg.confirm.after", 5},
	{"sink.commit.before", 20},
	{"sink.commit.after", 20},
}

func setting(name string, otherwise int64) int64 {
	if n, err := strconv.ParseInt(os.Getenv(name), 10, 64); err == nil {
		return n
	}
	return otherwise
}

// TestKill is the promise of the whole: nothing is lost, nothing is out of order, repeats are replays of what came
// before, and the target ends equal to the source, wherever the worker is killed.
func TestKill(t *testing.T) {
	seed := setting(envSeed, time.Now().UnixNano())
	kills := int(setting(envKills, 20))
	t.Logf("%s=%d %s=%d", envSeed, seed, envKills, kills)
	rnd := rand.New(rand.NewPCG(uint64(seed), 1))

	source, target := testdb.Postgres(t), testdb.Postgres(t)
	source.Exec(t, `create table counters(id int primary key, n bigint not null, writer int not null, note text);
insert into counters select g, 0, g % 3, repeat('x', 200) from generate_series(1, 3000) g`)
	w := startWriters(t, source, seed)
	env := newWorkerEnv(t, source, target)

	// The first kills hit the snapshot, which is a handful of units.
	for i := range kills {
		step := steps[rnd.IntN(len(steps))]
		n := 1 + rnd.IntN(step.most)
		if i < 3 {
			step, n = steps[i], 1+rnd.IntN(2)
		}
		stop := fmt.Sprintf("%s:%d", step.name, n)
		t.Logf("kill %d at %s", i+1, stop)
		p := env.start(t, stop)
		p.waitFor(t, marker+stop, w.failed)
		p.kill(t)
	}

	p := env.start(t, "")
	w.stop(t)
	waitFor(t, "the target to have the last changes", func() bool {
		return target.Text(t, "select coalesce(sum(n), -1) from counters") == source.Text(t, "select sum(n) from counters")
	})
	p.stop(t)

	want := map[int64]int64{}
	for _, row := range source.Rows(t, "select id, n from counters") {
		want[number(t, row[0])] = number(t, row[1])
	}
	checkTopic(t, env.data, want, kills)
	id := schema.ID{Schema: "public", Name: "counters"}
	r, err := verify.Compare(t.Context(), source.Connect(t), target.Connect(t), verify.Table{Source: id, Target: id}, 5)
	require.NoError(t, err)
	require.Empty(t, r.First)
	require.EqualValues(t, 3000, r.Rows)
}

func number(t *testing.T, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	require.NoError(t, err)
	return n
}

// waitFor polls a condition.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for tick := time.NewTicker(20 * time.Millisecond); !done(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}
