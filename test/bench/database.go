// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"freshet/internal/pgserver"
)

// table is the table of all workloads.
const table = `create schema if not exists bench; create table bench.orders(id bigint primary key, customer_id int not null, status text not null,
amount numeric(12,2) not null, currency char(3) not null, created_at timestamptz not null, updated_at timestamp not null, note varchar(200),
active boolean not null, payload jsonb)`

// insertBatch inserts a thousand rows, those of batch $1.
const insertBatch = `insert into bench.orders select $1::bigint*1000+g, g%5000, 'NEW', (g*1.25)::numeric(12,2), 'EUR',
timestamptz '2026-01-01'+ g*interval '1 s', timestamp '2026-01-01'+g*interval '1 s', 'note for row number '||g||' with some padding text', g%2=0,
jsonb_build_object('sku','A-'||g,'qty',g%7,'tags',array['x','y']) from generate_series(1,1000) g`

// database creates a database and connects to it.
func (b *bench) database(ctx context.Context, name string) (*pgx.Conn, error) {
	c, err := pgx.Connect(ctx, b.dsn("postgres"))
	if err != nil {
		return nil, err
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, "create database "+pgx.Identifier{name}.Sanitize()); err != nil {
		return nil, err
	}
	return pgx.Connect(ctx, b.dsn(name))
}

// settle writes to disk what the workloads before have left, so that this one does not wait for it.
func (b *bench) settle(ctx context.Context) error {
	c, err := pgx.Connect(ctx, b.dsn("postgres"))
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, "checkpoint")
	syscall.Sync()
	return err
}

func (b *bench) dsn(database string) string { return b.pg.DSN(database) }

// fill inserts the rows, a thousand a transaction, from batch first on.
func (b *bench) fill(ctx context.Context, c *pgx.Conn, first int) error {
	for i := range b.rows / 1000 {
		if _, err := c.Exec(ctx, insertBatch, first+i); err != nil {
			return err
		}
	}
	return nil
}

// run runs a client program of PostgreSQL on a database and throws its output away. in may be nil.
func (b *bench) client(ctx context.Context, in io.Reader, program, database string, args ...string) error {
	var stderr strings.Builder
	cmd := exec.CommandContext(ctx, program, append([]string{"-d", b.dsn(database)}, args...)...)
	cmd.Stdin, cmd.Stderr = in, &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, stderr.String())
	}
	return nil
}

// receive reads everything up to now from a slot with pg_recvlogical, and returns changes a second.
func (b *bench) receive(ctx context.Context, c *pgx.Conn, database, slot, publication string) (float64, error) {
	var end string
	if err := c.QueryRow(ctx, "select pg_current_wal_lsn()::text").Scan(&end); err != nil {
		return 0, err
	}
	start := time.Now()
	err := b.client(ctx, nil, "pg_recvlogical", database, "-S", slot, "--start", "-f", "/dev/null", "--no-loop", "-E", end,
		"-o", "proto_version=1", "-o", "publication_names="+publication)
	return rate(b.rows, start), err
}

// source is the configuration of a PostgreSQL source connector. more overrides.
func (b *bench) source(database, slot string, more map[string]string) map[string]string {
	cfg := map[string]string{
		"connector.class": "io.debezium.connector.postgresql.PostgresConnector", "database.hostname": "127.0.0.1",
		"database.port": strconv.Itoa(b.pg.Port()), "database.user": pgserver.User, "database.password": password, "database.dbname": database,
		"plugin.name": "pgoutput", "slot.name": slot, "publication.name": slot, "topic.prefix": slot, "table.include.list": "bench\\..*",
		"publication.autocreate.mode": "filtered", "slot.drop.on.stop": "false",
	}
	maps.Copy(cfg, more)
	return cfg
}

// target is the configuration of a JDBC sink connector.
func (b *bench) target(database, topic string) map[string]string {
	return map[string]string{
		"connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector", "connection.url": fmt.Sprintf("jdbc:postgresql://127.0.0.1:%d/%s", b.pg.Port(), database),
		"connection.username": pgserver.User, "connection.password": password, "topics": topic, "insert.mode": "upsert",
		"primary.key.mode": "record_key", "delete.enabled": "true", "schema.evolution": "basic", "collection.name.format": "orders",
	}
}
