// SPDX-License-Identifier: Apache-2.0

// Package chaos holds the kill tests: the real worker, in a process of its own, is killed again and again while writers
// change the source, and is started again on the same folder. Afterwards internal/history judges every record of the
// topics against what the source committed, and the target is compared with the source row by row.
//
// A seed decides the rows, the writers, the configuration and the moments: named steps of the code, so that the process is
// killed exactly between two of them, and moments of no meaning. -seed runs one seed again.
package chaos

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/internal/cli"
	"freshet/internal/failpoint"
	"freshet/internal/testdb"
)

const (
	envChild = "FRESHET_CHAOS_CHILD" // set in the child: the test binary is the worker
	envStop  = "FRESHET_CHAOS_STOP"  // step:n, where the child says that it is there and waits to be killed
)

var (
	oneSeed = flag.Uint64("seed", 0, "run this seed, and with -seeds the ones behind it")
	seeds   = flag.Int("seeds", defaultSeeds, "how many seeds to run")
)

// marker is the line a child prints when it has reached its step.
const marker = "CHAOS MARK "

func TestMain(m *testing.M) {
	if os.Getenv(envChild) == "" {
		flag.Parse()
		if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
			_ = flag.Set("test.parallel", "3") // a seed waits for its worker half of the time
		}
		os.Exit(m.Run())
	}
	if stop := os.Getenv(envStop); stop != "" {
		stopAt(stop)
	}
	cli.LimitMemory() // as the program does
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := cli.Execute(ctx, cli.Env{Args: os.Args[1:], In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(code)
}

// stopAt makes this process print the marker and hang when the step is reached for the n-th time: killed there, it is
// killed exactly there. The step any is every one.
func stopAt(stop string) {
	step, count, _ := strings.Cut(stop, ":")
	n, _ := strconv.ParseInt(count, 10, 64)
	var seen atomic.Int64
	failpoint.Set(func(s string) {
		if (s == step || step == "any") && seen.Add(1) == n {
			fmt.Println(marker + stop)
			select {}
		}
	})
}

// step is a moment that matters, and how far into a run it may be chosen.
type step struct {
	name string
	most int
}

// firstSteps are reached while the initial snapshot runs, and while what came meanwhile is read from the spool; windowSteps
// where a shape has windows; the others at any time.
var (
	firstSteps = []step{
		{"snapshot.block.begun", 3},
		{"snapshot.block.read", 3},
		{"snapshot.block.finished", 2},
		{"snapshot.completed", 1},
		{"spool.append", 3},
		{"spool.durable", 3},
		{"spool.replay", 1},
		{"spool.replayed", 1},
		{"spool.deleted", 1},
	}
	windowSteps = []step{
		{"snapshot.window.opened", 3},
		{"snapshot.window.read", 3},
		{"snapshot.window.closed", 3},
		{"snapshot.window.passed", 3},
	}
	otherSteps = []step{
		{"emitter.append", 10},
		{"log.append.before-commit", 10},
		{"log.append.after-commit", 10},
		{"emitter.durable", 10},
		{"pg.transaction.read", 3},
		{"pg.transaction.durable", 3},
		{"pg.confirm.before", 3},
		{"pg.confirm.after", 3},
		{"sink.commit.before", 5},
		{"sink.commit.after", 5},
		{"any", 60},
	}
	steps = slices.Concat(firstSteps, windowSteps, otherSteps)
)

// stepsOf chooses where a seed's workers are killed. Seeds in a row take the steps in turn, so that a run of many leaves none
// out: the first kill is one of firstSteps in every other seed, later ones are any of those that can be reached again.
func stepsOf(seed uint64, rnd *rand.Rand) []step {
	later := slices.Concat(windowSteps, otherSteps)
	first := otherSteps[seed/2%uint64(len(otherSteps))]
	if seed%2 == 0 {
		first = firstSteps[seed/2%uint64(len(firstSteps))]
	}
	out := []step{first, later[seed%uint64(len(later))]}
	if rnd.IntN(2) == 0 {
		out = append(out, later[rnd.IntN(len(later))])
	}
	return out
}

// reached counts at which steps workers were killed.
var reached = struct {
	sync.Mutex
	steps map[string]int
}{steps: map[string]int{}}

// TestKill is the promise of the whole: nothing is lost, nothing is out of order, nothing is told twice, and the target
// ends equal to the source, wherever the worker is killed.
func TestKill(t *testing.T) {
	first, n := uint64(time.Now().UnixNano())%1e9*1000, *seeds
	switch {
	case *oneSeed != 0 && !isSet("seeds"):
		first, n = *oneSeed, 1
	case *oneSeed != 0:
		first = *oneSeed
	}
	t.Logf("seeds %d to %d", first, first+uint64(n)-1)
	t.Run("seeds", func(t *testing.T) {
		for i := range uint64(n) {
			t.Run(fmt.Sprintf("seed=%d", first+i), func(t *testing.T) {
				t.Parallel()
				kill(t, first+i)
			})
		}
	})
	t.Logf("killed at %v", reached.steps)
	if n < allSteps {
		return
	}
	for _, s := range steps {
		require.NotZero(t, reached.steps[s.name], "no worker was killed at %s: the step is gone, or the shapes do not lead there", s.name)
	}
}

// allSteps is how many seeds in a row choose every step more than once.
const allSteps = 50

// isSet says whether a flag was given.
func isSet(name string) (set bool) {
	flag.Visit(func(f *flag.Flag) { set = set || f.Name == name })
	return set
}

// deletesInSnapshot lets writers delete rows before the stream has begun. A snapshot that goes on after a kill tells of them;
// one that is taken again as a whole never would.
const deletesInSnapshot = true

// kill runs one seed.
func kill(t *testing.T, seed uint64) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 1))
	db := testdb.Postgres(t)
	chosen := stepsOf(seed, rnd)
	shape := newShape(rnd, chosen)
	shape.create(t, db)
	w := startWriters(t, db, seed, shape)
	env := newWorkerEnv(t, db, shape)
	for i, step := range chosen {
		most := step.most
		if i == 0 {
			most = min(most, 3) // early, in the snapshot, which is a handful of units
		}
		stop, moment := fmt.Sprintf("%s:%d", step.name, 1+rnd.IntN(most)), 15*time.Second
		if i == 2 && rnd.IntN(2) == 0 {
			stop, moment = "no step", time.Duration(1+rnd.IntN(16))*50*time.Millisecond
		}
		p := env.start(t, stop)
		at := p.waitFor(t, marker+stop, moment, w.failed)
		p.kill(t)
		w.deletes.Store(deletesInSnapshot || p.streamed())
		if at {
			reached.Lock()
			reached.steps[step.name]++
			reached.Unlock()
		}
		t.Logf("kill %d: %s within %s: %t", i+1, stop, moment, at)
	}
	p := env.start(t, "")
	waitFor(t, "the worker", p.ready, p.stderr)
	waitFor(t, "the stream", p.streamed, p.stderr)
	w.deletes.Store(true)
	w.more(t, db, 30)
	w.stop(t)
	waitFor(t, "the target to be the source", func() bool { return shape.equal(t, db) }, p.stderr)
	waitFor(t, "the rows that an interrupted snapshot owed", func() bool { return !strings.Contains(p.offsets(t), "initial-snapshot") }, p.stderr)
	// Windows that are still to be read would write, and the last transaction be one without its end.
	db.Exec(t, `insert into signals values (gen_random_uuid(), 'stop-snapshot', '{}')`)
	waitFor(t, "the end of all windows", func() bool { return !strings.Contains(p.offsets(t), "freshet_snapshots") }, p.stderr)
	waitForEnd(t, db, p)
	// The target was the source before, but it may have been so in passing: the source had a state that it had been in.
	waitFor(t, "the sink to be at the end", func() bool { return p.consumed(t) }, p.stderr)
	p.stop(t)
	shape.check(t, db, env.data)
}

// waitForEnd waits until the server has heard that everything up to now is durable.
func waitForEnd(t *testing.T, db *testdb.Server, p *child) {
	t.Helper()
	end := db.Text(t, "select pg_current_wal_lsn()")
	waitFor(t, "the slot to be at the end", func() bool {
		return db.Text(t, "select confirmed_flush_lsn >= '"+end+"' from pg_replication_slots where slot_name = 'kill_"+db.Database+"'") == "t"
	}, p.stderr)
}

// waitFor polls a condition, and shows the worker's words where it does not come true.
func waitFor(t *testing.T, what string, done func() bool, says fmt.Stringer) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for tick := time.NewTicker(20 * time.Millisecond); !done(); <-tick.C {
		if time.Now().After(deadline) {
			t.Errorf("waited too long for %s; the worker says:\n%s", what, says)
			return // what is in the topics tells more
		}
	}
}

// pick is one of the values.
func pick[T any](rnd *rand.Rand, values ...T) T { return values[rnd.IntN(len(values))] }

// owned are the numbers below n that the writer owns.
func owned(writer, n int) []int {
	var out []int
	for id := writer; id < n; id += writerCount {
		out = append(out, id)
	}
	return slices.Clip(out)
}
