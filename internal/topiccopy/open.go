// SPDX-License-Identifier: Apache-2.0

package topiccopy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"freshet/config"
	"freshet/emitter/topic"
	"freshet/emitter/topic/kafka"
	"freshet/emitter/topic/local"
	"freshet/internal/kafkaclient"
	"freshet/internal/store"
)

// Settings say what Copy copies from where to where.
type Settings struct {
	DataDir string
	// Properties are those of a worker whose topics are in Kafka.
	Properties map[string]string
	// Creation is how topics are created; Partitions are those of the local topic.
	Creation kafka.Creation
	Topics   []string
	DryRun   bool
	Progress func(done, total int64)
	Log      *slog.Logger
}

// Copy runs a copy between a data folder and the brokers of a worker. It waits for brokers until ctx ends. A *RefusedError says
// what is wrong with the settings, or with what is there.
func Copy(ctx context.Context, s Settings) (out Result, err error) {
	if strings.TrimSpace(s.Properties["bootstrap.servers"]) == "" {
		return out, refusef("the worker's properties have no bootstrap.servers: write host:port of a broker there")
	}
	if _, err := os.Stat(s.DataDir); err != nil {
		return out, refusef("open the data folder: %v", err)
	}
	clients, problems := kafkaclient.NewWorker(s.Properties)
	var errs []error
	for _, p := range config.Errors(problems) {
		errs = append(errs, p)
	}
	o, err := clients.Options(nil, "freshet-copy-{kind}")
	if err = errors.Join(append(errs, err)...); err != nil {
		return out, refusef("%v", err)
	}
	db, err := store.Open(s.DataDir, store.Options{Log: s.Log})
	if err != nil {
		return out, refusef("%v", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	from, err := local.Open(db, local.Options{Log: s.Log, RetentionInterval: -1})
	if err != nil {
		return out, err
	}
	closing := func(c interface{ Close(context.Context) error }) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		err = errors.Join(err, c.Close(ctx))
	}
	defer func() { closing(from) }()
	o.Log, o.Marks = s.Log, nothing{}
	o.Creation = func(string) (kafka.Creation, bool) { return s.Creation, true }
	to, err := kafka.Open(o)
	if err != nil {
		return out, err
	}
	defer func() { closing(to) }()
	if err := to.Connect(ctx, nil); err != nil {
		return out, fmt.Errorf("copy topics: %w", err)
	}
	return Run(ctx, Options{From: from, Notes: db, To: to, Topics: s.Topics, DryRun: s.DryRun, Progress: s.Progress})
}

// nothing is a store of positions for a log that brings none.
type nothing struct{}

var _ kafka.MarkStore = nothing{}

// PutMarks keeps nothing.
func (nothing) PutMarks(context.Context, []topic.Mark) error { return nil }

// LoadMark finds nothing.
func (nothing) LoadMark(context.Context, string) (string, error) { return "", nil }

// Marks finds nothing.
func (nothing) Marks(context.Context, string) ([]topic.Mark, error) { return nil, nil }

// DeleteMark has nothing to forget.
func (nothing) DeleteMark(context.Context, string) error { return nil }
