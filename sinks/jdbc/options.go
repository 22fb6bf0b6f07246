// SPDX-License-Identifier: Apache-2.0

package jdbc

import (
	"encoding/hex"
	"errors"
	"regexp"
	"slices"
	"strings"

	"freshet/config"
	"freshet/sinks/jdbc/dialect"
)

// growingBatch is the most records of a batch where batch.size is not given.
const growingBatch = 2_500

// mostGrowing is the same for several connections, which share a batch.
const mostGrowing = 10_000

// options are the properties of a task, decoded once.
type options struct {
	session dialect.Options
	dialect dialect.Dialect

	insertMode string
	keyMode    string
	keyFields  []string
	deletes    bool
	truncates  bool
	evolve     bool
	quote      bool

	nameFormat       string
	include, exclude []string
	batchSize        int
	connections      int // that a task writes through
	cloudEvents      *regexp.Regexp
	placeholder      []byte
	textHeaders      bool // header.converter is StringConverter: headers are not interpreted
	offsetsTable     string
}

func parseOptions(v config.Values) (*options, error) {
	db := databaseOf(v.Get("connection.url"))
	if db == nil {
		return nil, errors.New("no suitable driver: give " + urlForms())
	}
	o := &options{
		session: dialect.Options{
			URL: v.Get("connection.url"), User: v.Get("connection.username"), Password: v.Secret("connection.password"), TimeZone: timeZone(v),
		},
		dialect:      db.open(v),
		insertMode:   v.Get("insert.mode"),
		keyMode:      v.Get("primary.key.mode"),
		keyFields:    v.List("primary.key.fields"),
		deletes:      v.Bool("delete.enabled"),
		truncates:    v.Bool("truncate.enabled"),
		evolve:       v.Get("schema.evolution") == evolveBasic,
		quote:        v.Bool("quote.identifiers"),
		nameFormat:   v.Get("collection.name.format"),
		include:      v.List("field.include.list"),
		exclude:      v.List("field.exclude.list"),
		textHeaders:  strings.HasSuffix(v.Get("header.converter"), "StringConverter"),
		offsetsTable: strings.TrimSpace(v.Get("offsets.table.name")),
	}
	o.connections = int(v.Int("write.connections"))
	if v.Has("batch.size") {
		o.batchSize = int(v.Int("batch.size"))
	} else {
		o.batchSize = min(growingBatch*o.connections, mostGrowing)
	}
	var err error
	if o.cloudEvents, err = regexp.Compile(v.Get("cloud.events.schema.name.pattern")); err != nil {
		return nil, err
	}
	o.placeholder = []byte(v.Get("unavailable.value.placeholder"))
	if digits, ok := strings.CutPrefix(string(o.placeholder), "hex:"); ok {
		if o.placeholder, err = hex.DecodeString(digits); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// writes says whether a field that is no key is written.
func (o *options) writes(topic, field string) bool {
	named := func(list []string) bool {
		return slices.Contains(list, field) || slices.Contains(list, topic+":"+field)
	}
	if len(o.include) > 0 {
		return named(o.include)
	}
	return !named(o.exclude)
}
