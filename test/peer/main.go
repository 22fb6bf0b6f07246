// SPDX-License-Identifier: Apache-2.0

// Command peer puts random cases through Debezium's PostgreSQL connector on Kafka Connect and through freshet, and
// compares the events of the two as text, topic by topic, in order.
//
// A case comes from a seed: tables, types, values, options, transactions, key changes, DDL, restarts. Both connectors read
// the same database at the same time, each through a slot of its own. Where the events differ the case is made smaller as
// long as they do, and written in the form of testdata/golden: what is kept is put into testdata/peer by hand, and runs
// from there without the peer.
//
// rig/up.sh starts the peer. What both are known to differ in (docs/compatibility.md) the generator leaves out.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"freshet/internal/pgserver"
)

// password guards nothing: the server lives for one run on the loopback interface.
const password = "peer-only"

// options are the flags.
type options struct {
	seed    uint64
	count   int
	jobs    int
	shrink  int
	dir     string
	connect string
	kafka   string
	only    string
	sql     bool
	sweep   bool
}

func main() {
	var o options
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().Unix()), "the first seed; the others follow it")
	flag.IntVar(&o.count, "n", 30, "how many seeds")
	flag.IntVar(&o.jobs, "jobs", 3, "how many cases run at once")
	flag.IntVar(&o.shrink, "shrink", 40, "how many runs to spend on making one differing case smaller")
	flag.StringVar(&o.dir, "out", "", "folder for the cases that differ (default: a temporary one)")
	flag.StringVar(&o.connect, "connect", "http://127.0.0.1:18083", "the Kafka Connect worker of the peer")
	flag.StringVar(&o.kafka, "kafka", "127.0.0.1:19092", "the Kafka of the peer")
	flag.StringVar(&o.only, "case", "", "run this folder with a case instead of random ones")
	flag.BoolVar(&o.sql, "sql", false, "print the statements that the server refuses")
	flag.BoolVar(&o.sweep, "sweep", false, "every value of every type instead of random cases")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "freshet-peer-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "freshet-peer-cases-"); err != nil {
			return err
		}
	}
	pg, err := pgserver.New(ctx, pgserver.Options{
		Password: password, Log: slog.New(slog.DiscardHandler),
		Settings: map[string]string{"fsync": "off", "max_wal_senders": "40", "max_replication_slots": "40", "max_connections": "200"},
	})
	if err != nil {
		return err
	}
	defer pg.Close()
	own, err := startFreshet(ctx, dir)
	if err != nil {
		return err
	}
	defer own.close()
	other, err := newPeer(o.connect, o.kafka)
	if err != nil {
		return err
	}
	defer other.close()
	if o.sweep {
		o.seed, o.count = 0, len(sweeps)
	}
	l := &lab{pg: pg, own: own, peer: other}
	if o.only != "" {
		return l.one(ctx, o)
	}
	return l.all(ctx, o)
}

// one runs a case from a folder, and writes both outputs beside it.
func (l *lab) one(ctx context.Context, o options) error {
	c, err := readCase(o.only)
	if err != nil {
		return err
	}
	r, err := l.try(ctx, c)
	if err != nil {
		return err
	}
	fmt.Println(r.summary())
	return r.write(o.dir)
}

// all runs the seeds.
func (l *lab) all(ctx context.Context, o options) error {
	fmt.Printf("seeds %d to %d; cases that differ go to %s\n", o.seed, o.seed+uint64(o.count)-1, o.dir)
	seeds := make(chan uint64)
	var mu sync.Mutex // guards the counts
	var differ []uint64
	var broken error
	var workers sync.WaitGroup
	for range o.jobs {
		workers.Go(func() {
			for seed := range seeds {
				same, err := l.seed(ctx, o, seed)
				mu.Lock()
				if err != nil {
					broken = errors.Join(broken, fmt.Errorf("seed %d: %w", seed, err))
				} else if !same {
					differ = append(differ, seed)
				}
				mu.Unlock()
			}
		})
	}
	for i := range o.count {
		select {
		case seeds <- o.seed + uint64(i):
		case <-ctx.Done():
		}
	}
	close(seeds)
	workers.Wait()
	switch {
	case broken != nil:
		return broken
	case len(differ) > 0:
		return fmt.Errorf("%d of %d seeds differ: %d; see %s", len(differ), o.count, differ, o.dir)
	}
	fmt.Printf("%d seeds, no difference\n", o.count)
	return nil
}

// seed runs one seed and says whether the events are the same.
func (l *lab) seed(ctx context.Context, o options, seed uint64) (bool, error) {
	began := time.Now()
	s := generate(seed)
	if o.sweep {
		s = sweep(int(seed))
	}
	r, err := l.try(ctx, s.render())
	if err != nil {
		return false, err
	}
	fmt.Printf("seed %d: %s (%s)\n", seed, r.summary(), time.Since(began).Round(time.Second))
	if o.sql {
		fmt.Println(strings.Join(r.sqlProblems, "\n"))
	}
	if r.same() {
		return true, nil
	}
	if o.shrink > 0 {
		_, r = l.smaller(ctx, s, r, o.shrink)
	}
	dir := filepath.Join(o.dir, fmt.Sprintf("seed-%d", seed))
	fmt.Printf("seed %d: %s\n%s\n", seed, dir, r.difference())
	return false, r.write(dir)
}

// build compiles the binary under test.
func build(ctx context.Context, to string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", to, "freshet/cmd/freshet")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	return cmd.Run()
}
