// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"freshet/connect"
	"freshet/connect/cluster"
	"freshet/connect/cluster/backing"
	"freshet/emitter/topic"
	"freshet/emitter/topic/kafka"
	"freshet/internal/kafkaclient"
)

// groupTopics is the log of a worker of a group. Positions are in Kafka too: in the group's offsets topic, or in one of the
// connector's own. With exactly-once sources they are part of the transactions that carry the records.
type groupTopics struct {
	*kafkaTopics
	o       groupOptions
	offsets *backing.Offsets

	mu  sync.Mutex // guards own
	own map[string]*backing.OwnOffsets
}

var (
	_ topics            = (*groupTopics)(nil)
	_ connect.Clients   = (*groupTopics)(nil)
	_ connect.Positions = (*groupTopics)(nil)
)

// groupOptions are what the log of a worker of a group needs beside its clients.
type groupOptions struct {
	// Backing are those of the group's topics, without the options of clients.
	Backing backing.Options
	Plugins *connect.Plugins
	// ExactlyOnce is exactly.once.source.support=enabled.
	ExactlyOnce bool
	// FlushInterval is offset.flush.interval.ms: how long a transaction takes where its connector does not say.
	FlushInterval time.Duration
	// Claim, if not nil, tells what to ask before an exactly-once task claims its transactional id, and behind it: the fencing
	// of those before it, and whether the task still is this worker's.
	Claim func(id connect.TaskID) (ready, check func(ctx context.Context) error)
}

// openGroup makes the log. It connects to nothing.
func openGroup(clients *kafkaclient.Worker, o groupOptions, log *slog.Logger) (*groupTopics, error) {
	client, err := clients.Internal()
	if err != nil {
		return nil, err
	}
	o.Backing.Client, o.Backing.Log, o.Backing.Committed = client, log, o.ExactlyOnce
	g := &groupTopics{o: o, offsets: backing.NewOffsets(o.Backing), own: map[string]*backing.OwnOffsets{}}
	g.kafkaTopics, err = openKafka(clients, cluster.Marks{Offsets: g.offsets}, log) // spools are in this log
	return g, err
}

// start waits for the brokers, and reads the offsets topic.
func (g *groupTopics) start(ctx context.Context) error {
	if err := g.connect(ctx); err != nil {
		return err
	}
	return g.offsets.Start(ctx)
}

// Close closes the log, then the positions.
func (g *groupTopics) Close(ctx context.Context) error {
	err := g.kafkaTopics.Close(ctx)
	g.mu.Lock()
	own := slices.Collect(maps.Values(g.own))
	g.mu.Unlock()
	for _, s := range own {
		s.Close(ctx)
	}
	g.offsets.Close(ctx)
	return err
}

// marksOf is where a connector's positions are.
func (g *groupTopics) marksOf(connector string, cfg map[string]string) (backing.Alterable, error) {
	name := strings.TrimSpace(cfg["offsets.storage.topic"])
	if name == "" {
		return g.offsets, nil
	}
	o, err := g.clients.Options(cfg, "")
	if err != nil {
		return nil, err
	}
	b := g.o.Backing
	b.Offsets.Name, b.ClientID, b.Client, b.Committed = name, "connector-"+connector, o.Admin, true
	// Connectors with other clients have another store; so has one whose clients change.
	var id strings.Builder
	fmt.Fprintf(&id, "%q %q", name, connector)
	for _, k := range slices.Sorted(maps.Keys(cfg)) {
		if strings.HasPrefix(k, "admin.override.") {
			fmt.Fprintf(&id, " %q=%q", k, cfg[k])
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.own[id.String()]
	if s == nil {
		s = backing.NewOwnOffsets(b, g.offsets)
		g.own[id.String()] = s
	}
	return s, nil
}

// OpenClient opens the log of a task.
func (g *groupTopics) OpenClient(connector string, task int, cfg map[string]string) (topic.Log, error) {
	id := fmt.Sprintf("connector-{kind}-%s-%d", connector, task)
	plugin, err := g.o.Plugins.Find(cfg["connector.class"])
	if err != nil {
		return nil, err
	}
	transactional := g.o.ExactlyOnce && plugin.Source != nil
	open := g.clients.Options
	if transactional {
		open = g.clients.TransactionalOptions
	}
	o, err := open(cfg, id)
	if err != nil {
		return nil, err
	}
	o.Log, o.Identity = g.log.With("connector", connector, "task", task), g.Identity()
	if o.Marks, err = g.marksOf(connector, cfg); err != nil {
		return nil, err
	}
	if transactional {
		task := connect.TaskID{Connector: connector, Task: task}
		o.Transactions.ID = backing.TaskTransactionalID(g.o.Backing.Group, task)
		o.Transactions.Interval = g.interval(cfg)
		if g.o.Claim != nil {
			o.Transactions.Ready, o.Transactions.Check = g.o.Claim(task)
		}
	}
	return kafka.Open(o)
}

// interval is how long a transaction takes in units; 0 gives each one of its own.
func (g *groupTopics) interval(cfg map[string]string) time.Duration {
	if !strings.EqualFold(strings.TrimSpace(cfg["transaction.boundary"]), "interval") {
		return 0
	}
	if ms, err := strconv.ParseInt(strings.TrimSpace(cfg["transaction.boundary.interval.ms"]), 10, 64); err == nil {
		return max(time.Duration(ms)*time.Millisecond, time.Millisecond)
	}
	return g.o.FlushInterval
}

// fence keeps the tasks 0 to n-1 of a connector, those of before, from committing anything more.
func (g *groupTopics) fence(ctx context.Context, connector string, n int, cfg map[string]string) error {
	o, err := g.clients.Options(cfg, "connector-worker-adminclient-"+connector)
	if err != nil {
		return err
	}
	return backing.FenceTasks(ctx, o.Admin, g.o.Backing.Group, connector, n)
}

// AdminOf is where the positions of a connector are.
func (g *groupTopics) AdminOf(connector string, cfg map[string]string) (connect.Admin, error) {
	marks, err := g.marksOf(connector, cfg)
	if err != nil {
		return nil, err
	}
	own := ownAdmin{g.Log, marks}
	if !g.o.ExactlyOnce {
		return own, nil
	}
	o, err := g.clients.TransactionalOptions(cfg, fmt.Sprintf("connector-{kind}-%s-0", connector))
	if err != nil {
		return nil, err
	}
	o.Transactions.ID = backing.TaskTransactionalID(g.o.Backing.Group, connect.TaskID{Connector: connector})
	return exactAdmin{own, o, marks}, nil
}

// exactAdmin is that of an exactly-once source: positions change in a transaction of its first task.
type exactAdmin struct {
	ownAdmin
	clients kafka.Options
	store   backing.Alterable
}

var _ connect.Alterer = exactAdmin{}

// AlterMarks changes positions, all or none.
func (a exactAdmin) AlterMarks(ctx context.Context, marks []topic.Mark) error {
	return backing.AlterMarks(ctx, a.clients, a.store, marks)
}

// ownAdmin is a log with the positions of one connector.
type ownAdmin struct {
	*kafka.Log
	marks kafka.MarkStore
}

var _ connect.Admin = ownAdmin{}

// Marks returns the marks whose key begins with prefix, by key.
func (a ownAdmin) Marks(ctx context.Context, prefix string) ([]topic.Mark, error) {
	return a.marks.Marks(ctx, prefix)
}

// SetMark sets a mark by hand.
func (a ownAdmin) SetMark(ctx context.Context, m topic.Mark) error {
	return a.marks.PutMarks(ctx, []topic.Mark{m})
}

// DeleteMark forgets a mark; one that does not exist is fine.
func (a ownAdmin) DeleteMark(ctx context.Context, key string) error {
	return a.marks.DeleteMark(ctx, key)
}
