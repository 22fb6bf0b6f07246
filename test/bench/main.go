// SPDX-License-Identifier: Apache-2.0

// Command bench runs the workloads of docs/benchmarks.md against the real binary and a real PostgreSQL, beside the limits
// of the machine measured in the same run (pg_recvlogical, COPY), and prints a Markdown table.
//
// Records are counted at the far end: readable in the topic, or committed in the target. Workload and limit take turns;
// the first round is thrown away. CPU time and peak memory are the worker's own, from /proc.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"freshet/internal/pgserver"
)

// password guards nothing: the server lives for one run on the loopback interface.
const password = "bench-only"

// bench is one run: a server, the binary under test, and what was measured.
type bench struct {
	rows   int
	rounds int
	dir    string
	binary string
	// profiles is a folder for profiles of the workers: CPU, allocations, blocking, "" for none.
	profiles string
	pg       *pgserver.Server
	peer     *peer    // nil: limits instead
	alone    bool     // the peer only lends its Kafka
	settings []string // of the worker
	results  []result
}

// options are the flags.
type options struct {
	workloads, out, profiles, binary string
	rows, rounds                     int
	peer, alone                      bool
	settings                         []string
	connect, kafka, rig              string
}

func main() {
	var o options
	flag.StringVar(&o.workloads, "workloads", "", "which workloads to run (default: W1,W2,W3,W4,W6,W7,W8, beside a peer W1,W2,W3,W4; W5, the large ones, takes minutes)")
	flag.IntVar(&o.rows, "rows", 1_000_000, "rows of W1, W2, W4 and W8; W5 has ten times as many")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds of each, the first thrown away where there are more than one")
	flag.StringVar(&o.out, "out", "", "folder for results.json and results.md")
	flag.StringVar(&o.profiles, "profiles", "", "folder for profiles of the workers: CPU, allocations, blocking")
	flag.StringVar(&o.binary, "binary", "", "another build to measure (default: this tree's, built as for a release)")
	flag.BoolVar(&o.peer, "peer", false, "measure Debezium on Kafka Connect beside, in the place of the limits; test/peer/rig/up.sh starts it")
	flag.Func("set", "a property of the worker, NAME=VALUE; may be given more than once", func(s string) error {
		o.settings = append(o.settings, s)
		return nil
	})
	flag.BoolVar(&o.alone, "alone", false, "with -peer: only ours, into the peer's Kafka")
	flag.StringVar(&o.connect, "connect", "http://127.0.0.1:18083", "the Kafka Connect worker of the peer")
	flag.StringVar(&o.kafka, "kafka", "127.0.0.1:19092", "the Kafka of the peer")
	flag.StringVar(&o.rig, "rig", "", "the folder of the peer (default: as test/peer/rig/up.sh)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "freshet-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &bench{rows: o.rows / 1000 * 1000, rounds: o.rounds, dir: dir, binary: filepath.Join(dir, "freshet"), profiles: o.profiles, alone: o.alone, settings: o.settings}
	if o.binary != "" {
		b.binary = o.binary
	} else if err := b.build(ctx); err != nil {
		return err
	}
	if o.peer {
		if b.peer, err = newPeer(ctx, o.connect, o.kafka, o.rig); err != nil {
			return err
		}
	}
	if b.pg, err = pgserver.New(ctx, pgserver.Options{
		Password: password, Log: slog.New(slog.DiscardHandler),
		Settings: map[string]string{
			"shared_buffers": "256MB", "max_wal_size": "4GB", "track_commit_timestamp": "on", "wal_sender_timeout": "60s",
			"max_wal_senders": "20", "max_replication_slots": "20", "synchronous_commit": "on", "autovacuum": "off",
		},
	}); err != nil {
		return err
	}
	defer b.pg.Close()
	if o.workloads == "" {
		o.workloads = "W1,W2,W3,W4,W6,W7,W8"
		if o.peer {
			o.workloads = "W1,W2,W3,W4"
		}
	}
	all := []struct {
		name string
		run  func(context.Context) error
	}{{"W1", b.stream}, {"W2", b.snapshot}, {"W3", b.latency}, {"W4", b.sink}, {"W5", b.large}, {"W6", b.many}, {"W7", b.startup}, {"W8", b.replicate}}
	for _, w := range all {
		if !slices.Contains(strings.Split(o.workloads, ","), w.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "== %s\n", w.name)
		if err := b.settle(ctx); err != nil {
			return err
		}
		if err := w.run(ctx); err != nil {
			return fmt.Errorf("%s: %w%s", w.name, err, b.lastWords())
		}
	}
	return b.report(o.out)
}

// lastWords are the ends of what the workers said.
func (b *bench) lastWords() string {
	const most = 8 << 10
	logs, _ := filepath.Glob(filepath.Join(b.dir, "*.log"))
	var out strings.Builder
	for _, name := range logs {
		text, err := os.ReadFile(name)
		if err == nil {
			fmt.Fprintf(&out, "\n%s:\n%s", filepath.Base(name), text[max(0, len(text)-most):])
		}
	}
	return out.String()
}

// build compiles the binary as it is released: static, without symbols.
func (b *bench) build(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s", "-o", b.binary, "freshet/cmd/freshet")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	cmd.Stderr = os.Stderr
	return cmd.Run()
}

func (b *bench) report(out string) error {
	table := markdown(b.results)
	fmt.Print(table)
	if out == "" {
		return nil
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(b.results, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(out, "results.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(out, "results.md"), []byte(table), 0o644)
}
