// SPDX-License-Identifier: Apache-2.0

// Package worker puts a worker of one process together: data folder, log, herder and REST API. `freshet standalone` is
// this package with flags around it.
//
// Run owns everything it opens and closes it in the order drain, close log, close folder, whatever ended it.
package worker

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"freshet/capture"
	"freshet/config"
	"freshet/connect"
	"freshet/connect/rest"
	"freshet/connect/standalone"
	"freshet/emitter/topic"
	"freshet/emitter/topic/local"
	"freshet/internal/loglevel"
	"freshet/internal/store"
)

// Options is what Run needs.
type Options struct {
	// Properties are those of worker.properties.
	Properties map[string]string
	// Environ is the environment that config providers may read, in the form of os.Environ.
	Environ []string
	// Connectors are the contents of the connector files, in order.
	Connectors []config.File
	Plugins    *connect.Plugins
	// Insecure allows listeners that other machines can reach.
	Insecure bool
	Commit   string // of the source, as GET / tells it
	Log      *slog.Logger
	// Levels are those of Log, which GET and PUT /admin/loggers show and change; nil serves neither.
	Levels *loglevel.Levels
	// Ready, if not nil, is called once everything runs. It must not block.
	Ready func(Running)
	// Progress, if not nil, is told how snapshots go on. It must not block.
	Progress func(connector string, p capture.Progress)
}

// Running is a worker that runs. It is valid until Run returns.
type Running struct {
	URLs   []string // of the REST API, those of /admin alone last
	Herder connect.Herder
	Topics topic.Log
}

// StartError is why a worker did not start: its configuration, or what it found on the machine. Nothing has run.
type StartError struct{ Err error }

// Error is the cause.
func (e *StartError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *StartError) Unwrap() error { return e.Err }

// Run runs a worker until ctx ends, and drains it then. A *StartError says that it did not come so far.
func Run(ctx context.Context, o Options) (err error) {
	s, err := parse(o.Properties, o.Environ)
	if err != nil {
		return &StartError{err}
	}
	o.Log = s.hider.Log(o.Log)
	defer func() { err = s.hide(err) }()
	for _, p := range s.warnings {
		o.Log.Warn("property of the worker", "property", p.Property, "problem", p.Message)
	}
	in, err := s.open(ctx, o.Insecure, o.Log)
	if err != nil {
		return &StartError{err}
	}
	defer in.close()
	db, err := store.Open(s.dataDir, store.Options{Log: o.Log})
	if err != nil {
		return &StartError{err}
	}
	s.log.Log = o.Log
	log, err := local.Open(db, s.log)
	if err != nil {
		return &StartError{errors.Join(err, db.Close())}
	}
	if err := importOffsets(ctx, s.offsetsFile, db, log, o.Log); err != nil {
		return &StartError{errors.Join(err, log.Close(ctx), db.Close())}
	}
	w := &whole{Options: o, settings: s, doors: in, db: db, local: log, topics: log}
	if s.clients != nil {
		if w.kafka, err = openKafka(s.clients, marks{log}, o.Log); err != nil {
			return &StartError{errors.Join(err, log.Close(ctx), db.Close())}
		}
		w.topics = w.kafka
	}
	err = w.run(ctx)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.connect.DrainTimeout)
	defer cancel()
	if w.kafka != nil {
		err = errors.Join(err, w.kafka.Close(closing))
	}
	return errors.Join(err, log.Close(closing), db.Close())
}

// hide takes out of an error what references of the worker's properties stand for.
func (s *settings) hide(err error) error {
	var start *StartError
	if errors.As(err, &start) {
		return &StartError{s.hider.Error(err)}
	}
	return s.hider.Error(err)
}

// whole is everything that Run has opened.
type whole struct {
	Options
	settings
	doors  *doors
	db     *store.DB
	local  *local.Log
	kafka  *kafkaTopics // nil where topics are local
	topics topics
}

// run starts herder and REST API on an open log.
func (w *whole) run(ctx context.Context) error {
	o, s, listeners, db := w.Options, w.settings, w.doors.listeners, w.db
	address := s.address(listeners[0])
	runtime := connect.NewWorker(connect.WorkerOptions{Plugins: o.Plugins, Topics: w.topics, Spools: w.local, Config: s.connect, Log: o.Log, Progress: o.Progress, Keeper: db, OpenSignals: openSignals(o.Log)})
	herder := standalone.New(standalone.Options{Worker: runtime, Store: db, WorkerID: address, Log: o.Log})
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(connect.NewMetrics(herder.Reports, s.metrics), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	api, admin := s.handlers(rest.Options{
		Tokens:  w.doors.tokens,
		Reports: herder.Reports, Metrics: metrics,
		Herder: herder, Topics: w.topics, Commit: o.Commit, ClusterID: w.clusterID, Starting: w.starting, Hosts: s.hosts, Log: o.Log, Levels: o.Levels,
	})
	g, ctx := errgroup.WithContext(ctx)
	running := Running{Herder: herder, Topics: w.topics}
	for _, l := range listeners {
		handler := api
		if l.admin {
			handler = admin
		}
		running.URLs = append(running.URLs, l.url())
		g.Go(func() error { return serve(ctx, l, handler, o.Log) })
	}
	g.Go(func() error {
		if w.kafka != nil {
			if err := w.kafka.connect(ctx); err != nil {
				if ctx.Err() != nil {
					return nil //nolint:nilerr // asked to stop while it waited
				}
				return &StartError{err}
			}
		}
		if err := start(ctx, herder, o.Connectors); err != nil {
			return &StartError{err}
		}
		o.Log.Info("worker is ready", "url", running.URLs[0], "data_dir", db.Dir())
		if o.Ready != nil {
			o.Ready(running)
		}
		<-ctx.Done()
		return nil
	})
	g.Go(func() error { releasePages(ctx); return nil })
	err := g.Wait()
	// Stop reading and drain. The deadline is generous beside the tasks' own: they end by themselves.
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.connect.DrainTimeout+30*time.Second)
	defer cancel()
	if cerr := herder.Close(closing); cerr != nil {
		err = errors.Join(err, fmt.Errorf("stop the tasks: %w", cerr))
	}
	o.Log.Info("worker has stopped")
	return err
}

// address is host:port as statuses show it, and as others reach the listener.
func (s *settings) address(l *listener) string {
	host, port, _ := net.SplitHostPort(l.Addr().String()) // an address that was listened on has a port
	switch {
	case strings.Contains(s.advertise, ":"):
		return s.advertise
	case s.advertise != "":
		return net.JoinHostPort(s.advertise, port)
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		if name, err := os.Hostname(); err == nil {
			return net.JoinHostPort(name, port)
		}
	}
	return l.Addr().String()
}

// clusterID is what GET / tells.
func (w *whole) clusterID() string {
	if w.kafka != nil {
		return w.kafka.Identity()
	}
	return clusterID(w.db.Dir())
}

// starting is what the worker waits for.
func (w *whole) starting() string {
	if w.kafka == nil {
		return ""
	}
	return w.kafka.starting()
}

func serve(ctx context.Context, l net.Listener, h http.Handler, log *slog.Logger) error {
	return rest.Serve(ctx, l, h, log)
}

// start starts the stored connectors, then those of the files, which go before stored ones of the same name.
func start(ctx context.Context, h *standalone.Herder, files []config.File) error {
	names := map[string]bool{}
	for _, f := range files {
		names[strings.TrimSpace(f.Name)] = true
	}
	if err := h.Start(ctx, names); err != nil {
		return err
	}
	for _, f := range files {
		if err := h.AddFile(ctx, f); err != nil {
			return fmt.Errorf("connector %q: %w", f.Name, err)
		}
	}
	return nil
}

// clusterID is the same for one data folder at all times, in the form of Kafka's.
func clusterID(dir string) string {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	sum := sha256.Sum256([]byte(dir))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
