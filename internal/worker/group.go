// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"golang.org/x/sync/errgroup"

	"freshet/connect"
	"freshet/connect/cluster"
	"freshet/connect/cluster/backing"
	"freshet/connect/cluster/group"
	"freshet/connect/rest"
)

// RunGroup runs a worker that shares its connectors with the others of its group, until ctx ends; it drains then, and
// leaves. A *StartError says that it did not come so far.
func RunGroup(ctx context.Context, o Options) (err error) {
	s, err := parseGroup(o.Properties, o.Environ)
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
	topics, err := openGroup(s.clients, groupOptions{Backing: s.stores, Plugins: o.Plugins, ExactlyOnce: s.exactlyOnce, FlushInterval: s.flush}, o.Log)
	if err != nil {
		return &StartError{err}
	}
	w := &sharing{Options: o, groupSettings: s, doors: in, topics: topics}
	err = w.run(ctx)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.connect.DrainTimeout)
	defer cancel()
	return errors.Join(err, topics.Close(closing))
}

// sharing is everything that RunGroup has opened.
type sharing struct {
	Options
	groupSettings
	doors  *doors
	topics *groupTopics
}

// run starts herder and REST API.
func (w *sharing) run(ctx context.Context) error {
	herder, leave, err := w.herder()
	if err != nil {
		return &StartError{err}
	}
	defer leave()
	forward, err := w.peers(w.doors.tokens)
	if err != nil {
		return &StartError{err}
	}
	defer forward.CloseIdleConnections()
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(connect.NewMetrics(herder.Reports, w.metrics), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	starting := func() string {
		if why := w.topics.starting(); why != "" {
			return why
		}
		return herder.Starting()
	}
	api, admin := w.handlers(rest.Options{
		Tokens: w.doors.tokens, Forward: forward, Reports: herder.Reports, Metrics: metrics, Herder: herder, Topics: w.topics, Commit: w.Commit,
		ClusterID: w.topics.Identity, Starting: starting, Hosts: w.hosts, Log: w.Log, Levels: w.Levels,
	})
	g, ctx := errgroup.WithContext(ctx)
	running := Running{Herder: herder, Topics: w.topics}
	for _, l := range w.doors.listeners {
		handler := api
		if l.admin {
			handler = admin
		}
		running.URLs = append(running.URLs, l.url())
		g.Go(func() error { return serve(ctx, l, handler, w.Log) })
	}
	g.Go(func() error { return w.share(ctx, herder) })
	g.Go(func() error {
		if w.ready(ctx, herder) {
			w.Log.Info("worker is ready", "url", running.URLs[0], "group", w.member.Group)
			if w.Ready != nil {
				w.Ready(running)
			}
		}
		return nil
	})
	g.Go(func() error { releasePages(ctx); return nil })
	err = g.Wait()
	w.Log.Info("worker has stopped")
	return err
}

// herder makes the herder. closed closes the client of its member.
func (w *sharing) herder() (h *cluster.Herder, closed func(), err error) {
	l := w.doors.listeners[slices.IndexFunc(w.doors.listeners, func(l *listener) bool { return !l.admin })]
	id := w.address(l)
	scheme, _, _ := strings.Cut(l.url(), ":")
	clients, err := w.clients.Internal()
	if err != nil {
		return nil, nil, err
	}
	client, err := group.NewClient(clients, id, w.member.HeartbeatInterval)
	if err != nil {
		return nil, nil, err
	}
	stores := w.topics.o.Backing // with its clients
	member := w.member
	member.Client, member.URL = client, scheme+"://"+id+"/"
	forward, err := w.peers(w.doors.tokens)
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	notes := &backing.Notes{Offsets: w.topics.offsets}
	o := cluster.Options{
		Worker: connect.NewWorker(connect.WorkerOptions{
			Plugins: w.Plugins, Topics: w.topics, Config: w.connect, Log: w.Log, Progress: w.Progress, OpenSignals: openSignals(w.Log), Keeper: notes,
		}),
		Configs: backing.NewConfigs(stores), Statuses: backing.NewStatuses(stores), Group: member, WorkerID: id, Peers: &rest.Peers{Client: forward},
		Session: w.session, SyncTimeout: w.syncTimeout, UnsyncBackoff: w.unsync, StopTimeout: w.connect.DrainTimeout + stopGrace, Log: w.Log,
	}
	if w.exactlyOnce {
		o.Fence = func(ctx context.Context, connector string, tasks int, cfg map[string]string) error {
			cfg, err := w.connect.Providers.Resolve(cfg) // the settings of its admin client may be secrets
			if err != nil {
				return err
			}
			return w.topics.fence(ctx, connector, tasks, cfg)
		}
	}
	if w.Levels != nil {
		o.SetLevel = func(logger, level string) {
			if _, err := w.Levels.Set(logger, level); err != nil {
				w.Log.Warn("the level of a logger that the group was told is not set", "logger", logger, "level", level, "error", err)
			}
		}
	}
	herder := cluster.New(o)
	notes.Alive = herder.Alive
	w.topics.o.Claim = herder.Guard
	return herder, client.Close, nil
}

// stopGrace is what tasks may take beyond their own time to drain.
const stopGrace = 10 * time.Second

// share is the worker's part in the group. It waits for the brokers first.
func (w *sharing) share(ctx context.Context, herder *cluster.Herder) error {
	if err := w.topics.start(ctx); err != nil {
		if ctx.Err() != nil {
			return nil //nolint:nilerr // asked to stop while it waited
		}
		return &StartError{err}
	}
	return herder.Run(ctx)
}

// ready waits until the worker is in its group; it is not where ctx ends before.
func (w *sharing) ready(ctx context.Context, herder *cluster.Herder) bool {
	select {
	case <-herder.Joined():
		return true
	case <-ctx.Done():
		return false
	}
}
