// SPDX-License-Identifier: Apache-2.0

// Package standalone is the herder of one process: it keeps connectors in the local store and runs all of their tasks.
//
// Its main type is Herder. Changes (create, delete, pause, ...) come one at a time and are done when the call returns;
// reads never wait for them. A Herder owns the goroutines of its tasks: each is waited for by the change that ends it, or
// by Close. Connectors given by files are not stored: as in Kafka Connect the files are read again at every start.
package standalone

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"

	"freshet/config"
	"freshet/connect"
	"freshet/internal/store"
)

// Store keeps connectors over restarts; *store.DB is one. Its calls return when the change is durable. The Herder calls
// it from one goroutine at a time.
type Store interface {
	Connectors() ([]store.Connector, error)
	PutConnector(name string, config []byte) error
	// DeleteConnector forgets configuration and target state. Positions stay.
	DeleteConnector(name string) error
	PutTargetState(name, state string) error
	TargetState(name string) (string, error)
}

var _ Store = (*store.DB)(nil)

// Options is what a Herder needs.
type Options struct {
	Worker *connect.Worker
	Store  Store
	// WorkerID is the address of the REST server, host:port, as statuses show it.
	WorkerID string
	Log      *slog.Logger
}

// Herder keeps connectors and runs their tasks.
type Herder struct {
	o    Options
	turn chan struct{} // held by the one change that is going on

	mu         sync.Mutex           // guards connectors, closed, and the fields of instances that say so
	connectors map[string]*instance // by name
	order      []string             // names in the order of creation
	closed     bool
	warned     map[string]bool // what was warned of once
}

var _ connect.Herder = (*Herder)(nil)

// New makes a Herder without connectors. Start brings back the stored ones.
func New(o Options) *Herder {
	return &Herder{o: o, turn: make(chan struct{}, 1), connectors: map[string]*instance{}, warned: map[string]bool{}}
}

// Start starts the stored connectors, but not those named in except, which files give anew. One that is no longer valid
// is FAILED and spares the others.
func (h *Herder) Start(ctx context.Context, except map[string]bool) error {
	return h.change(ctx, func() error {
		stored, err := h.o.Store.Connectors()
		if err != nil {
			return fmt.Errorf("read the stored connectors: %w", err)
		}
		for _, s := range stored {
			if except[s.Name] {
				continue
			}
			i, err := h.load(s)
			if err != nil {
				return err
			}
			h.add(i)
			h.start(i)
		}
		return nil
	})
}

// load makes an instance of a stored connector.
func (h *Herder) load(s store.Connector) (*instance, error) {
	i := &instance{name: s.Name, stored: true}
	if err := json.Unmarshal(s.Config, &i.given); err != nil {
		return nil, fmt.Errorf("read the stored connector %q: %w", s.Name, err)
	}
	state, err := h.o.Store.TargetState(s.Name)
	if err != nil {
		return nil, fmt.Errorf("read the state of connector %q: %w", s.Name, err)
	}
	if i.target, err = connect.ParseInitialState(state); err != nil {
		return nil, fmt.Errorf("read the state of connector %q: %w", s.Name, err)
	}
	if i.made, err = h.o.Worker.NewConnector(s.Name, i.given); err != nil {
		i.err = err
		h.o.Log.Error("stored connector is not valid", "connector", s.Name, "error", err.Error())
	}
	return i, nil
}

// keep stores an instance. The state goes first: without a configuration it means nothing.
func (h *Herder) keep(i *instance) error {
	config, err := json.Marshal(i.given)
	if err == nil {
		err = h.o.Store.PutTargetState(i.name, string(i.target))
	}
	if err == nil {
		err = h.o.Store.PutConnector(i.name, config)
	}
	if err != nil {
		return fmt.Errorf("store connector %q: %w", i.name, err)
	}
	return nil
}

// AddFile creates a connector that a file gives. It is not stored.
func (h *Herder) AddFile(ctx context.Context, f config.File) error {
	state, err := connect.ParseInitialState(f.InitialState)
	if err != nil {
		return err
	}
	_, _, err = h.put(ctx, f.Name, f.Config, putOptions{create: true, initial: state})
	return err
}

// Close stops all tasks: each drains, within the worker's DrainTimeout. It is idempotent.
func (h *Herder) Close(ctx context.Context) error {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	return h.alone(ctx, func() error {
		h.mu.Lock()
		all := slices.Collect(maps.Values(h.connectors))
		h.mu.Unlock()
		for _, i := range all {
			i.cancel()
		}
		var errs []error
		for _, i := range all {
			errs = append(errs, i.wait(ctx))
		}
		return errors.Join(errs...)
	})
}

var errClosed = &connect.Error{Code: 503, Message: "The worker is shutting down"}

// change runs a change alone, unless the herder is closed.
func (h *Herder) change(ctx context.Context, f func() error) error {
	return h.alone(ctx, func() error {
		h.mu.Lock()
		closed := h.closed
		h.mu.Unlock()
		if closed {
			return errClosed
		}
		return f()
	})
}

// alone runs one f at a time.
func (h *Herder) alone(ctx context.Context, f func() error) error {
	select {
	case h.turn <- struct{}{}:
		defer func() { <-h.turn }()
	case <-ctx.Done():
		return &connect.Error{Code: 500, Message: "Request timed out"}
	}
	return f()
}

// find is the connector of a name, or the error that missing makes.
func (h *Herder) find(name string, missing func(name string) error) (*instance, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i, ok := h.connectors[name]
	if !ok {
		return nil, missing(name)
	}
	return i, nil
}

func (h *Herder) add(i *instance) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.connectors[i.name]; !ok {
		h.order = append(h.order, i.name)
	}
	h.connectors[i.name] = i
}

type putOptions struct {
	create  bool // refuse an existing one
	initial connect.State
	store   bool
}

// Put creates or changes a connector.
func (h *Herder) Put(ctx context.Context, name string, cfg map[string]string, create bool, initial connect.State) (connect.Info, bool, error) {
	return h.put(ctx, name, cfg, putOptions{create: create, initial: initial, store: true})
}

func (h *Herder) put(ctx context.Context, name string, cfg map[string]string, o putOptions) (info connect.Info, created bool, err error) {
	err = h.change(ctx, func() error {
		info, created, err = h.putNow(ctx, strings.TrimSpace(name), cfg, o)
		return err
	})
	return info, created, err
}

func (h *Herder) putNow(ctx context.Context, name string, cfg map[string]string, o putOptions) (connect.Info, bool, error) {
	var stored map[string]string
	old, _ := h.find(name, connect.NotFound)
	if old != nil {
		stored = old.given
	}
	cfg, err := h.o.Worker.Submitted(name, cfg, stored)
	if err != nil {
		return connect.Info{}, false, err
	}
	made, err := h.o.Worker.NewConnector(name, cfg)
	if err != nil {
		return connect.Info{}, false, err
	}
	if old != nil && o.create {
		return connect.Info{}, false, connect.Exists(name)
	}
	if o.store { // a person waits for the answer
		if err := made.Reach(ctx); err != nil {
			return connect.Info{}, false, err
		}
	}
	i := &instance{name: name, given: made.Config, made: made, target: o.initial, stored: o.store}
	if old != nil {
		i.target = old.target
	}
	if i.target == "" {
		i.target = connect.Running
	}
	if o.store {
		if err := h.keep(i); err != nil {
			return connect.Info{}, false, err
		}
	}
	if old != nil {
		old.cancel()
		if err := old.wait(ctx); err != nil {
			return connect.Info{}, false, err
		}
		if old.made != nil {
			made.Topics = old.made.Topics
		}
	}
	h.warn(made)
	h.add(i)
	h.start(i)
	h.o.Log.Info("connector is configured", "connector", name, "class", made.Plugin.Class, "tasks", made.Tasks(), "state", string(i.target))
	return h.info(i), old == nil, nil
}

// Patch changes some properties of an existing connector.
func (h *Herder) Patch(ctx context.Context, name string, changes map[string]string) (info connect.Info, err error) {
	err = h.change(ctx, func() error {
		i, err := h.find(name, connect.NotFound)
		if err != nil {
			return err
		}
		cfg, err := h.o.Worker.Patched(i.given, changes)
		if err != nil {
			return err
		}
		info, _, err = h.putNow(ctx, name, cfg, putOptions{store: true})
		return err
	})
	return info, err
}

// warn tells the problems that refuse nothing, each once in the life of the process.
func (h *Herder) warn(c *connect.Connector) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range c.Warnings {
		if id := c.Name + "\x00" + p.Property; !h.warned[id] {
			h.warned[id] = true
			h.o.Log.Warn("property of a connector", "connector", c.Name, "property", p.Property, "problem", connect.RedactText(p.Message))
		}
	}
}

// Delete stops and forgets a connector. Its positions and topics stay; what it had read and not emitted goes.
func (h *Herder) Delete(ctx context.Context, name string) error {
	return h.change(ctx, func() error {
		i, err := h.find(name, connect.NotFound)
		if err != nil {
			return err
		}
		if i.stored {
			if err := h.o.Store.DeleteConnector(name); err != nil {
				return fmt.Errorf("delete connector %q: %w", name, err)
			}
		}
		i.cancel()
		if err := i.wait(ctx); err != nil {
			return err
		}
		if err := h.o.Worker.ForgetSnapshots(name); err != nil {
			return fmt.Errorf("forget the snapshots of connector %q: %w", name, err)
		}
		if err := h.o.Worker.DeleteSpool(ctx, name); err != nil {
			return err
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.connectors, name)
		h.order = slices.DeleteFunc(h.order, func(n string) bool { return n == name })
		h.o.Log.Info("connector is deleted", "connector", name)
		return nil
	})
}

// retarget gives a connector another target state, durably.
func (h *Herder) retarget(i *instance, target connect.State) error {
	if i.stored {
		if err := h.o.Store.PutTargetState(i.name, string(target)); err != nil {
			return fmt.Errorf("store state of connector %q: %w", i.name, err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	i.target = target
	return nil
}
