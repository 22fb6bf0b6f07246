// SPDX-License-Identifier: Apache-2.0

// Package topicsource finds the topics for the command line: in a worker that runs, or in a data folder that no worker
// has open. Only one process can have the folder, so the worker goes first.
package topicsource

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"freshet/connect/rest"
	"freshet/emitter/topic"
	"freshet/emitter/topic/local"
	"freshet/internal/store"
	"freshet/internal/topicio"
)

// DefaultDataDir is opened where neither worker nor folder is named and no worker answers.
const DefaultDataDir = "./freshet-data"

// Source is where topics are. Close gives back what Open took.
type Source interface {
	Topics(ctx context.Context) ([]topicio.Topic, error)
	Tail(ctx context.Context, o topicio.TailOptions, w io.Writer) error
	Produce(ctx context.Context, name string, in io.Reader) (int, error)
	Close() error
}

// Options says where to look.
type Options struct {
	Worker  string // URL; "" is the default one if it answers
	Client  rest.ClientOptions
	DataDir string
	Log     *slog.Logger
}

// OptionError is an option that names no topics, such as a folder that is not there or that a worker has.
type OptionError struct{ Err error }

// Error is the cause.
func (e *OptionError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *OptionError) Unwrap() error { return e.Err }

// patience is how long the default worker may take to answer.
const patience = 2 * time.Second

// Open finds the topics. An *OptionError says that they were looked for in the wrong place; a worker that does not answer
// is none.
func Open(ctx context.Context, o Options) (Source, error) {
	switch {
	case o.Worker != "" && o.DataDir != "":
		return nil, &OptionError{errors.New("give --worker or --data, not both")}
	case o.Worker != "":
		c, err := rest.NewClient(o.Worker, o.Client)
		if err != nil {
			return nil, &OptionError{err}
		}
		if _, err := c.Ping(ctx, 10*time.Second); err != nil {
			return nil, fmt.Errorf("worker at %s does not answer: %w; start it, or open its folder with --data", o.Worker, err)
		}
		return remote{c}, nil
	case o.DataDir != "":
		return open(o.DataDir, o.Log)
	}
	c, err := rest.NewClient(rest.DefaultListener, o.Client)
	if err != nil {
		return nil, err
	}
	switch _, err := c.Ping(ctx, patience); {
	case err == nil:
		return remote{c}, nil
	case errors.Is(err, rest.ErrUnauthorized):
		return nil, &OptionError{fmt.Errorf("worker at %s: %w", rest.DefaultListener, err)}
	}
	return open(DefaultDataDir, o.Log)
}

// remote is a worker that runs.
type remote struct{ *rest.Client }

var _ Source = remote{}

// Close does nothing: there is nothing of ours.
func (remote) Close() error { return nil }

// folder is a data folder in this process.
type folder struct {
	db  *store.DB
	log *local.Log
}

var _ Source = (*folder)(nil)

func open(dir string, log *slog.Logger) (Source, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, &OptionError{fmt.Errorf("no worker answers at %s, and there is no data folder %q: start a worker, or name one with --worker or --data", rest.DefaultListener, dir)}
	}
	// A look at a folder is no event: only warnings are told.
	quiet := slog.New(leastWarn{log.Handler()})
	db, err := store.Open(dir, store.Options{Log: quiet})
	if errors.Is(err, store.ErrLocked) {
		err = fmt.Errorf("%w; if that is a worker, ask it with --worker URL", err)
	}
	if err != nil {
		return nil, &OptionError{err}
	}
	l, err := local.Open(db, local.Options{Log: quiet, RetentionInterval: -1})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &folder{db, l}, nil
}

// leastWarn passes on warnings and errors only.
type leastWarn struct{ slog.Handler }

// Enabled leaves out what is below a warning.
func (h leastWarn) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && h.Handler.Enabled(ctx, level)
}

// Topics lists the topics.
func (f *folder) Topics(ctx context.Context) ([]topicio.Topic, error) {
	return topicio.List(ctx, f.log)
}

// Tail writes the lines of a topic.
func (f *folder) Tail(ctx context.Context, o topicio.TailOptions, w io.Writer) error {
	return topicio.Tail(ctx, f.log, o, w, func() error { return nil })
}

// Produce appends lines to a topic.
func (f *folder) Produce(ctx context.Context, name string, in io.Reader) (int, error) {
	return topicio.Produce(ctx, f.log, name, in)
}

// Close closes log and folder.
func (f *folder) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(f.log.Close(ctx), f.db.Close())
}

var _ topic.Log = (*local.Log)(nil)
