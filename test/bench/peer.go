// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// peer is Debezium's connector on a Kafka Connect worker, with the Kafka it writes to, as test/peer/rig starts them. It
// takes the place of the limits: `make bench-peer` runs both on the same work in turn.
type peer struct {
	worker
	brokers string
	admin   *kadm.Client
	pids    []int
}

// tunings are how the peer is run: as it comes, and with what its users set for throughput.
var tunings = []struct {
	name     string
	settings map[string]string
}{
	{"Debezium", nil},
	{"Debezium, tuned", map[string]string{
		"max.batch.size": "20480", "max.queue.size": "81920", "poll.interval.ms": "5", "producer.override.linger.ms": "20",
		"producer.override.batch.size": "1048576", "producer.override.compression.type": "lz4",
	}},
}

// peers are the tunings to measure in turn with ours; one with the peer left out.
func (b *bench) peers() int {
	switch {
	case b.peer == nil:
		return 0
	case b.alone:
		return 1
	}
	return len(tunings)
}

// newPeer connects to a peer that runs already. rig is the folder of its processes.
func newPeer(ctx context.Context, url, brokers, rig string) (*peer, error) {
	// What is known of a topic is five seconds old unless the client may ask sooner: a topic would be seen that late.
	c, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.MetadataMinAge(20*time.Millisecond))
	if err != nil {
		return nil, err
	}
	if rig == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return nil, err
		}
		rig = filepath.Join(cache, "freshet-peer")
	}
	p := &peer{worker: worker{url: url, patience: 15 * time.Minute}, brokers: brokers, admin: kadm.NewClient(c)}
	p.topics = p
	for _, name := range []string{"kafka", "connect"} {
		text, err := os.ReadFile(filepath.Join(rig, "run", name+".pid"))
		if err != nil {
			return nil, fmt.Errorf("find the peer's processes: %w; test/peer/rig/up.sh starts them", err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil {
			return nil, fmt.Errorf("find the peer's processes: %s.pid: %w", name, err)
		}
		p.pids = append(p.pids, pid)
	}
	return p, p.until(ctx, "the peer to answer", func() (bool, error) {
		_, err := p.call(http.MethodGet, "/connectors", nil)
		return err == nil, err
	})
}

// usage is the CPU time and the peak memory of the peer's processes together.
func (p *peer) usage() (cpu time.Duration, rssMB float64) {
	for _, pid := range p.pids {
		cpu += cpuOf(pid)
		rssMB += memoryOf(pid, "VmHWM:")
	}
	return cpu, rssMB
}

// end is the end of a topic with one partition, 0 while there is none.
func (p *peer) end(ctx context.Context, topic string) (int, error) {
	ends, err := p.admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return 0, err
	}
	o, ok := ends.Lookup(topic, 0)
	if !ok || o.Err != nil {
		return 0, nil //nolint:nilerr // it is made with its first record
	}
	return int(o.Offset), nil
}

func (p *peer) topicReaches(ctx context.Context, topic string, n int) error {
	return p.until(ctx, fmt.Sprintf("%d records in %s of the peer", n, topic), func() (bool, error) {
		end, err := p.end(ctx, topic)
		return end >= n, err
	})
}

// committed is the offset that a group has stored for the one partition of a topic, 0 while there is none.
func (p *peer) committed(ctx context.Context, group, topic string) (int, error) {
	offsets, err := p.admin.FetchOffsets(ctx, group)
	if err != nil {
		return 0, err
	}
	o, ok := offsets.Lookup(topic, 0)
	if !ok || o.Err != nil {
		return 0, nil //nolint:nilerr // the group is made with its first commit
	}
	return int(o.At), nil
}

// peerApply is W4 as the peer does it: its sink, with batches as large as its users set for throughput.
func (b *bench) peerApply(ctx context.Context, database, topic string) (float64, error) {
	return b.apply(ctx, &b.peer.worker, database, topic, map[string]string{"batch.size": "2000", "consumer.override.max.poll.records": "2000"})
}

// forget takes a connector and its topics away.
func (p *peer) forget(ctx context.Context, name string) error {
	_, err := p.call(http.MethodDelete, "/connectors/"+name, nil)
	return errors.Join(err, p.dropTopics(ctx, name))
}

// dropTopics deletes the topics of a prefix.
func (p *peer) dropTopics(ctx context.Context, name string) error {
	var err error
	topics, listErr := p.admin.ListTopics(ctx)
	for _, t := range topics.Names() {
		if strings.HasPrefix(t, name+".") {
			_, deleteErr := p.admin.DeleteTopic(ctx, t)
			err = errors.Join(err, deleteErr)
		}
	}
	return errors.Join(err, listErr)
}

// measured adds a line with the peer in the place of the limit, and the usage of both.
func (b *bench) measured(r result, events int, ours func() (float64, error), theirs func() (float64, error)) error {
	if b.alone {
		r.Limit = ""
		return b.add(r, ours, nil)
	}
	var cpu time.Duration
	var rss float64
	if err := b.add(r, ours, func() (float64, error) {
		before, _ := b.peer.usage()
		x, err := theirs()
		cpu, rss = b.peer.usage()
		cpu -= before
		return x, err
	}); err != nil {
		return err
	}
	last := &b.results[len(b.results)-1]
	last.LimitCPU, last.LimitRSS = float64(cpu.Microseconds())/float64(events), rss
	return nil
}

// peerStream returns W1 as the peer does it: its connector is stopped, the changes are made, it is resumed.
func (b *bench) peerStream(ctx context.Context, name string, settings map[string]string, updates bool) (func() (float64, error), error) {
	c, err := b.database(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := b.streamTable(ctx, c, updates); err != nil {
		return nil, err
	}
	cfg := b.source(name, name, map[string]string{"snapshot.mode": "no_data"})
	maps.Copy(cfg, settings)
	if err := b.peer.put(name, cfg); err != nil {
		return nil, err
	}
	if err := b.slotActive(ctx, &b.peer.worker, c, name); err != nil {
		return nil, err
	}
	done := 0
	return func() (float64, error) {
		if _, err := b.peer.call(http.MethodPut, "/connectors/"+name+"/stop", nil); err != nil {
			return 0, err
		}
		if err := b.peer.until(ctx, "the peer's slot to be free", func() (free bool, err error) {
			err = c.QueryRow(ctx, "select not active from pg_replication_slots where slot_name = $1", name).Scan(&free)
			return free, err
		}); err != nil {
			return 0, err
		}
		if err := b.changes(ctx, c, done, updates); err != nil {
			return 0, err
		}
		start := time.Now()
		if _, err := b.peer.call(http.MethodPut, "/connectors/"+name+"/resume", nil); err != nil {
			return 0, err
		}
		done += b.rows
		err := b.peer.topicReaches(ctx, name+".bench.orders", done)
		return rate(b.rows, start), err
	}, nil
}

// peerSnapshot is W2 as the peer does it.
func (b *bench) peerSnapshot(ctx context.Context, name string, settings map[string]string) (float64, error) {
	cfg := b.source("w2", name, map[string]string{"slot.drop.on.stop": "true", "snapshot.max.threads": "2"})
	maps.Copy(cfg, settings)
	start := time.Now()
	if err := b.peer.put(name, cfg); err != nil {
		return 0, err
	}
	if err := b.peer.topicReaches(ctx, name+".bench.orders", b.rows); err != nil {
		return 0, err
	}
	r := rate(b.rows, start)
	return r, b.peer.forget(ctx, name)
}

// peerLatency is the first half of W3 as the peer does it: commit → readable in Kafka.
func (b *bench) peerLatency(ctx context.Context) error {
	for i, t := range tunings {
		name := fmt.Sprintf("w3_peer%d", i)
		latencies, err := b.peerLatencyOf(ctx, name, t.settings)
		if err != nil {
			return err
		}
		b.quantiles("commit → readable in the topic, "+t.name, latencies)
	}
	return nil
}

func (b *bench) peerLatencyOf(ctx context.Context, name string, settings map[string]string) ([]float64, error) {
	c, err := b.database(ctx, name)
	if err != nil {
		return nil, err
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, table); err != nil {
		return nil, err
	}
	cfg := b.source(name, name, map[string]string{"snapshot.mode": "no_data"})
	maps.Copy(cfg, settings)
	if err := b.peer.put(name, cfg); err != nil {
		return nil, err
	}
	if err := b.slotActive(ctx, &b.peer.worker, c, name); err != nil {
		return nil, err
	}
	if _, err := c.Exec(ctx, insertBatch, -1); err != nil {
		return nil, err
	}
	topic := name + ".bench.orders"
	if err := b.peer.topicReaches(ctx, topic, 1000); err != nil {
		return nil, err
	}
	out, err := b.kafkaLatency(ctx, c, topic, latencyRate*latencySeconds)
	if err != nil {
		return nil, err
	}
	return out, b.peer.forget(ctx, name)
}

// kafkaLatency writes n rows at the rate while it reads them from a topic in Kafka, which has a thousand records before.
func (b *bench) kafkaLatency(ctx context.Context, c *pgx.Conn, topic string, n int) ([]float64, error) {
	type answer struct {
		out []float64
		err error
	}
	measured := make(chan answer, 1)
	ready := make(chan struct{})
	go func() {
		out, err := b.peer.arrivals(ctx, topic, n, ready)
		measured <- answer{out, err}
	}()
	<-ready
	if err := b.write(ctx, c, 0, n); err != nil {
		return nil, err
	}
	a := <-measured
	return a.out, a.err
}

// arrivals reads n new events from Kafka and returns how long after its commit each came, in ms.
func (p *peer) arrivals(ctx context.Context, topic string, n int, ready chan<- struct{}) ([]float64, error) {
	c, err := kgo.NewClient(kgo.SeedBrokers(p.brokers), kgo.FetchMaxWait(50*time.Millisecond),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().At(1000)}}))
	if err != nil {
		close(ready)
		return nil, err
	}
	defer c.Close()
	close(ready)
	ctx, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	var out []float64
	for len(out) < n {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, err
		}
		now := time.Now().UnixMicro()
		fetches.EachRecord(func(r *kgo.Record) {
			micros, sourceErr := sourceMicros(r.Value)
			err = errors.Join(err, sourceErr)
			out = append(out, float64(now-micros)/1000)
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
