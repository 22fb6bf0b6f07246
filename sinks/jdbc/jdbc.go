// SPDX-License-Identifier: Apache-2.0

// Package jdbc is the sink into SQL databases, compatible with Debezium's JDBC sink: rows of change events and of
// flattened records become rows of tables, by key.
//
// The main type is Connector, which opens writers. A writer finds for each record a plan (its table, the columns it
// writes and where their values stand, made once per schema and table), reduces a batch to the last change of each key,
// and hands it in groups of equal form to a dialect.Session, which applies them in one transaction. Applying a batch
// twice leaves what applying it once leaves (I8) in upsert and update mode; with offsets.table.name, in which the
// consumed offsets share the rows' transaction, nothing is applied twice at all.
//
// Everything a database is asked for beyond SQL's common part is in package dialect and its implementations. No
// statement that updates or deletes can be built without key columns.
package jdbc

import (
	"context"
	"errors"
	"fmt"

	"freshet/config"
	"freshet/sinks"
	"freshet/sinks/jdbc/dialect"
)

// version is the release of the original whose behaviour this is.
const version = "3.6.0.Final"

// Connector is the JDBC sink.
type Connector struct{}

var _ sinks.Connector = (*Connector)(nil)

// New returns the connector. Its dialects are chosen by connection.url.
func New() *Connector { return &Connector{} }

// Describe declares the connector and its properties.
func (*Connector) Describe() config.Plugin {
	return config.Plugin{
		Name: "jdbc", Class: "io.debezium.connector.jdbc.JdbcSinkConnector", Aliases: []string{"jdbc-sink"},
		Kind: "sink", Version: version, Def: define(), OffsetsElsewhere: true,
	}
}

// Check connects, and tells why it cannot. The order and meaning of the properties were checked before.
func (c *Connector) Check(ctx context.Context, v config.Values) []config.Problem {
	opt, err := parseOptions(v)
	if err != nil {
		return []config.Problem{{Property: "connection.url", Message: err.Error()}}
	}
	if err := tryToOpen(ctx, opt); err != nil {
		return []config.Problem{{Property: "connection.url", Message: "Unable to connect: " + err.Error()}}
	}
	return nil
}

func tryToOpen(ctx context.Context, opt *options) error {
	if c, ok := opt.dialect.(dialect.Checker); ok {
		return c.Check(ctx, opt.session)
	}
	session, err := opt.dialect.Open(ctx, opt.session)
	if err != nil {
		return err
	}
	return session.Close(ctx)
}

// Open connects a writer. An error that a new attempt may mend is retriable.
func (c *Connector) Open(ctx context.Context, env sinks.Env, v config.Values) (sinks.Writer, error) {
	opt, err := parseOptions(v)
	if err != nil {
		return nil, &targetError{err: err}
	}
	opt.session.Log = env.Log
	session, err := opt.dialect.Open(ctx, opt.session)
	if err != nil {
		class, _ := opt.dialect.Classify(err)
		return nil, &targetError{err: err, retriable: class == dialect.Retry}
	}
	w := newWriter(opt, env, session)
	if err := w.openLanes(ctx); err != nil {
		return nil, errors.Join(err, w.Close(ctx))
	}
	if opt.offsetsTable == "" {
		return w, nil
	}
	if err := w.openOffsets(ctx); err != nil {
		var r *refusal
		if errors.As(err, &r) {
			err = &targetError{err: fmt.Errorf("offsets table: %w", r.err), hint: r.hint}
		}
		return nil, errors.Join(err, w.Close(ctx))
	}
	return w, nil
}
