// SPDX-License-Identifier: Apache-2.0

// Package postgres captures the changes of a PostgreSQL database through a logical replication slot and pgoutput.
//
// Connector is what the engine registers. Its Open looks at the stored position, the slot and the publication, decides
// whether a snapshot comes first (plan), and returns a Reader: that of the stream, or that of package snapshot around it.
//
// The life of a change: the server decodes a committed transaction and sends its rows in text form; wire reads them in
// large pieces; decoder makes each row a change in the batch's arena, with the codecs of its relation; stream hands the
// batch to Next. Snapshot rows go through the same relations and codecs, with COPY instead of the stream.
//
// Two kinds of connections are used: a walsender, owned by the stream's goroutine alone, and ordinary ones for questions
// to the catalog. Nobody but the stream confirms positions to the server, and only those that Commit brought (I2). A
// position is exact (I4), see position. DESIGN.md tells what is not obvious.
package postgres

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"

	"freshet/capture"
	"freshet/config"
)

// Version is the version of the original that the connector imitates.
const Version = "3.6.1.Final"

// Connector captures one database.
type Connector struct{ def config.Def }

var _ capture.Connector = (*Connector)(nil)

// New makes the connector. It connects to nothing.
func New() *Connector { return &Connector{def: definition()} }

// Describe tells name, properties and source block.
func (c *Connector) Describe() capture.Description {
	return capture.Description{
		Plugin: config.Plugin{
			Name:    "postgres",
			Class:   "io.debezium.connector.postgresql.PostgresConnector",
			Aliases: []string{"postgresql"},
			Kind:    "source",
			Version: Version,
			Def:     c.def,
		},
		Source:   sourceBlock(),
		Messages: messageBlock(),
	}
}

// Partition is the key of the connector's position, as Debezium has it.
func (c *Connector) Partition(v config.Values) string {
	name, err := json.Marshal(v.Get("topic.prefix"))
	if err != nil {
		return "" // a string always has a form in JSON
	}
	return `{"server":` + string(name) + `}`
}

// Split makes one task: a slot has one reader.
func (c *Connector) Split(v config.Values, _ int) ([]config.Values, error) {
	return []config.Values{v}, nil
}

// Check asks the server what stands in the way, see doctor.go.
func (c *Connector) Check(ctx context.Context, v config.Values) ([]capture.Finding, error) {
	o, err := parseOptions(v)
	if err != nil {
		return nil, badOptions(v.Get("name"), err)
	}
	return check(ctx, &o, v.Get("name"))
}

// Open connects, prepares publication and slot, and returns the Reader that goes on at env.From. It fails before a row is
// read where the slot cannot be used or changes are gone.
func (c *Connector) Open(ctx context.Context, env capture.Env, v config.Values) (capture.Reader, error) {
	o, err := parseOptions(v)
	if err != nil {
		return nil, badOptions(env.Connector, err)
	}
	log := env.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	op := &opening{
		o: &o, log: log, env: env,
		conn: dialer{o: &o, name: env.Connector},
	}
	r, err := op.open(ctx)
	return r, o.pass(err)
}

// badOptions is the failure of a configuration that was not validated.
func badOptions(connector string, err error) error {
	return permanentf("configure", "connector "+strconv.Quote(connector), "correct the property", "%w", err)
}
