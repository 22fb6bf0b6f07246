// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
)

var noSchemas = map[string]string{
	"key.converter": "org.apache.kafka.connect.json.JsonConverter", "key.converter.schemas.enable": "false",
	"value.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter.schemas.enable": "false",
}

// stream is W1: a stopped connector catches up with a million changes.
func (b *bench) stream(ctx context.Context) error {
	for _, v := range []struct {
		name, what string
		settings   map[string]string
		updates    bool
	}{
		{"w1_schemas", "inserts, JSON with schemas", nil, false},
		{"w1_plain", "inserts, JSON without schemas", noSchemas, false},
		{"w1_full", "updates, replica identity full, JSON with schemas", nil, true},
	} {
		if err := b.streamVariant(ctx, v.name, v.what, v.settings, v.updates); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) streamVariant(ctx context.Context, name, what string, settings map[string]string, updates bool) error {
	s, err := b.catchUp(ctx, name, settings, updates)
	if err != nil {
		return err
	}
	defer s.c.Close(ctx)
	ours := func() (float64, error) { return s.round(ctx) }
	r := result{Workload: "W1", What: what, Unit: "events/s", Limit: "pg_recvlogical"}
	if b.peer == nil {
		err = b.add(r, ours, func() (float64, error) { return b.receive(ctx, s.c, name, name+"_limit", name) })
	}
	for i := 0; i < b.peers() && err == nil; i++ {
		more := merged(tunings[i].settings, settings)
		var theirs func() (float64, error)
		peerName := fmt.Sprintf("%s_peer%d", name, i)
		if !b.alone {
			if theirs, err = b.peerStream(ctx, peerName, more, updates); err != nil {
				return err
			}
		}
		r.Limit = tunings[i].name
		if err = b.measured(r, b.rows, ours, theirs); err == nil {
			b.usage(float64(s.cpu.Microseconds())/float64(b.rows), s.w.peakMB())
			if !b.alone {
				err = b.peer.forget(ctx, peerName)
			}
		}
	}
	if err != nil {
		return err
	}
	_, rss, err := s.w.stop()
	b.usage(float64(s.cpu.Microseconds())/float64(b.rows), rss)
	if b.peer != nil {
		err = errors.Join(err, b.peer.dropTopics(ctx, name))
	}
	return err
}

// catching is a connector that is stopped, and resumed once there are changes to catch up with.
type catching struct {
	b       *bench
	w       *worker
	c       *pgx.Conn
	name    string
	updates bool
	done    int           // changes so far
	cpu     time.Duration // of the last round
}

// catchUp starts a worker and its connector for W1.
func (b *bench) catchUp(ctx context.Context, name string, settings map[string]string, updates bool) (*catching, error) {
	c, err := b.database(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := b.streamTable(ctx, c, updates); err != nil {
		return nil, err
	}
	w, err := b.start(ctx, filepath.Join(b.dir, name))
	if err != nil {
		return nil, err
	}
	cfg := b.source(name, name, map[string]string{"snapshot.mode": "no_data"})
	maps.Copy(cfg, settings)
	if err := w.put(name, cfg); err != nil {
		return nil, err
	}
	return &catching{b: b, w: w, c: c, name: name, updates: updates}, b.slotActive(ctx, w, c, name)
}

// streamTable makes the table, for updates with its rows.
func (b *bench) streamTable(ctx context.Context, c *pgx.Conn, updates bool) error {
	if _, err := c.Exec(ctx, table); err != nil || !updates {
		return err
	}
	if _, err := c.Exec(ctx, "alter table bench.orders replica identity full"); err != nil {
		return err
	}
	return b.fill(ctx, c, 0)
}

// round makes the changes and returns how many a second are read, from resume to the last record.
func (s *catching) round(ctx context.Context) (float64, error) {
	if _, err := s.w.call(http.MethodPut, "/connectors/"+s.name+"/stop", nil); err != nil {
		return 0, err
	}
	if s.b.peer == nil {
		_, _ = s.c.Exec(ctx, "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = $1", s.name+"_limit")
		if _, err := s.c.Exec(ctx, "select pg_create_logical_replication_slot($1, 'pgoutput')", s.name+"_limit"); err != nil {
			return 0, err
		}
	}
	if err := s.b.changes(ctx, s.c, s.done, s.updates); err != nil {
		return 0, err
	}
	before, start := s.w.cpu(), time.Now()
	if _, err := s.w.call(http.MethodPut, "/connectors/"+s.name+"/resume", nil); err != nil {
		return 0, err
	}
	s.done += s.b.rows
	err := s.w.topicReaches(ctx, s.name+".bench.orders", s.done)
	r := rate(s.b.rows, start)
	s.cpu = s.w.cpu() - before
	return r, err
}

// changes makes a million changes, a thousand a transaction.
func (b *bench) changes(ctx context.Context, c *pgx.Conn, done int, updates bool) error {
	if !updates {
		return b.fill(ctx, c, done/1000)
	}
	for i := range b.rows / 1000 {
		if _, err := c.Exec(ctx, "update bench.orders set status = 'SENT', updated_at = updated_at + interval '1 s' where id between $1 and $2", i*1000+1, i*1000+1000); err != nil {
			return err
		}
	}
	return nil
}

// slotActive waits until the server streams from a slot. A slot is active while it is being created, too.
func (b *bench) slotActive(ctx context.Context, w *worker, c *pgx.Conn, slot string) error {
	return w.until(ctx, "slot "+slot+" to be streamed from", func() (active bool, err error) {
		err = c.QueryRow(ctx, `select exists(select from pg_replication_slots s join pg_stat_replication r on r.pid = s.active_pid
where s.slot_name = $1 and r.state in ('streaming', 'catchup'))`, slot).Scan(&active)
		return active, err
	})
}

// merged is a with b on top.
func merged(a, b map[string]string) map[string]string {
	out := make(map[string]string)
	maps.Copy(out, a)
	maps.Copy(out, b)
	return out
}
