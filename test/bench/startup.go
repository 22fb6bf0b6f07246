// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"path/filepath"
	"time"
)

// idleTime is how long a worker does nothing before its memory is looked at.
const idleTime = 10 * time.Second

// startup is W7: from the start of the process to the first event, and the memory of a worker that has nothing to do.
func (b *bench) startup(ctx context.Context) error {
	w, c, err := b.streaming(ctx, "w7", table, nil)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	if _, _, err := w.stop(); err != nil {
		return err
	}
	insert := func(id int) error {
		_, err := c.Exec(ctx, `insert into bench.orders values ($1, 1, 'NEW', 1.25, 'EUR', now(), now(), 'start', true, '{"a":1}')`, id)
		return err
	}
	rounds := 0
	existing := func() (float64, error) {
		rounds++
		if err := insert(rounds); err != nil {
			return 0, err
		}
		start := time.Now()
		w, err := b.start(ctx, filepath.Join(b.dir, "w7"))
		if err != nil {
			return 0, err
		}
		if err := w.topicReaches(ctx, "w7.bench.orders", rounds); err != nil {
			return 0, err
		}
		ms := float64(time.Since(start).Microseconds()) / 1000
		_, _, err = w.stop()
		return ms, err
	}
	if err := b.add(result{Workload: "W7", What: "process start → first event readable, existing slot", Unit: "ms"}, existing, nil); err != nil {
		return err
	}
	snapshots := 0
	snapshot := func() (float64, error) {
		snapshots++
		name := fmt.Sprintf("w7_%d", snapshots)
		start := time.Now()
		w, err := b.start(ctx, filepath.Join(b.dir, name))
		if err != nil {
			return 0, err
		}
		if err := w.put(name, b.source("w7", name, map[string]string{"slot.drop.on.stop": "true"})); err != nil {
			return 0, err
		}
		if err := w.topicReaches(ctx, name+".bench.orders", 1); err != nil {
			return 0, err
		}
		ms := float64(time.Since(start).Microseconds()) / 1000
		_, _, err = w.stop()
		return ms, err
	}
	if err := b.add(result{Workload: "W7", What: "process start → first snapshot event readable, slot and publication made", Unit: "ms"}, snapshot, nil); err != nil {
		return err
	}
	return b.idle(ctx)
}

// idle measures the memory of a worker with one connector and nothing to do.
func (b *bench) idle(ctx context.Context) error {
	w, err := b.start(ctx, filepath.Join(b.dir, "w7"))
	if err != nil {
		return err
	}
	select {
	case <-time.After(idleTime):
	case <-ctx.Done():
		return ctx.Err()
	}
	b.results = append(b.results, result{Workload: "W7", What: fmt.Sprintf("memory after %d s with one connector and nothing to do", int(idleTime.Seconds())), Unit: "MB", Ours: []float64{w.memoryMB("VmRSS:")}})
	_, rss, err := w.stop()
	b.usage(0, rss)
	return err
}
