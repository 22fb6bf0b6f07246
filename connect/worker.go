// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"freshet/capture"
	"freshet/config"
	"freshet/config/provider"
	"freshet/emitter/topic"
	"freshet/emitter/transform"
)

// CompatibleVersion is the version of Kafka Connect whose behaviour this runtime has. Clients read it.
const CompatibleVersion = "4.1.1"

// WorkerConfig is what connectors inherit from their worker.
type WorkerConfig struct {
	// Properties are the worker's own, such as value.converter.
	Properties map[string]string
	// DrainTimeout is how long a stopped task may take to make durable what it has read.
	DrainTimeout time.Duration
	// Backoff of the retry loop; the zero value is DefaultBackoff.
	Backoff Backoff
	// Providers resolve references in configurations of connectors; nil is none.
	Providers *provider.Set
	// ExactlyOnce says that sources are exactly-once: exactly.once.source.support=enabled.
	ExactlyOnce bool
	// Group is the group.id of a worker that shares its connectors with others, "" of one that does not.
	Group string
	// StallTimeout is how long nothing may move while there is something to read; 0 is 30 s.
	StallTimeout time.Duration
}

// Worker makes tasks of configurations. It holds no connectors: that is a herder's business. It is safe for concurrent
// use.
type Worker struct {
	plugins  *Plugins
	topics   topic.Log
	spools   topic.Log
	config   WorkerConfig
	log      *slog.Logger
	runID    string
	progress func(connector string, p capture.Progress)
	keeper   Keeper

	openSignals OpenSignals
	transforms  []transform.Own
	letters     sync.Mutex // held while dead letters are settled

	mu        sync.Mutex // guards snapshots
	snapshots map[string]*Snapshots
}

// WorkerOptions is what a Worker needs.
type WorkerOptions struct {
	Plugins *Plugins
	// Topics is the log that all tasks share, unless it is Clients. It outlives the Worker.
	Topics topic.Log
	// Spools is the log that takes what sources cannot emit yet; nil is Topics.
	Spools topic.Log
	Config WorkerConfig
	Log    *slog.Logger
	// Progress, if not nil, is told how snapshots go on; it must not block.
	Progress func(connector string, p capture.Progress)
	// Keeper keeps what operators asked for over restarts; nil keeps nothing.
	Keeper Keeper
	// OpenSignals opens signal topics that are not in Topics; nil refuses them.
	OpenSignals OpenSignals
	// Transforms are those beside the list of package transform.
	Transforms []transform.Own
}

// NewWorker makes a Worker.
func NewWorker(o WorkerOptions) *Worker {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	if o.Config.DrainTimeout == 0 {
		o.Config.DrainTimeout = 5 * time.Second // Connect's task.shutdown.graceful.timeout.ms
	}
	if o.Spools == nil {
		o.Spools = o.Topics
	}
	return &Worker{
		plugins: o.Plugins, topics: o.Topics, spools: o.Spools, config: o.Config, log: o.Log, runID: uuid(id), progress: o.Progress,
		keeper: o.Keeper, openSignals: o.OpenSignals, transforms: o.Transforms, snapshots: map[string]*Snapshots{},
	}
}

// newID is a random UUID.
func newID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	return uuid(id)
}

// Snapshots are the snapshots on demand of a connector, whether it runs or not.
func (w *Worker) Snapshots(connector string) *Snapshots {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.snapshots[connector]
	if s == nil {
		s = newSnapshots(connector, w.keeper, w.log)
		w.snapshots[connector] = s
	}
	return s
}

// SnapshotsOfNobody are those of a connector whose task is with no worker. They are good for one use; what they are asked for is
// there for the task, wherever it begins.
func (w *Worker) SnapshotsOfNobody(connector string) *Snapshots {
	return newSnapshots(connector, w.keeper, w.log)
}

// ReleaseSnapshots lets go of those of a connector whose task has ended here and may begin elsewhere: whoever comes next reads
// what was kept. Nothing that this worker's are asked or told from now on counts.
func (w *Worker) ReleaseSnapshots(connector string) {
	w.mu.Lock()
	s := w.snapshots[connector]
	delete(w.snapshots, connector)
	w.mu.Unlock()
	if s != nil {
		s.release()
	}
}

// ForgetSnapshots forgets those of a connector that was deleted.
func (w *Worker) ForgetSnapshots(connector string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.snapshots, connector)
	if w.keeper == nil {
		return nil
	}
	return w.keeper.DeleteStatus("snapshots/" + connector)
}

func uuid(id [16]byte) string {
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	h := hex.EncodeToString(id[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// Plugins are the plug-ins that configurations may name.
func (w *Worker) Plugins() *Plugins { return w.plugins }

// Validate checks a configuration without keeping it. class is what the request asks about: the end of the class that
// the configuration names.
func (w *Worker) Validate(ctx context.Context, class string, cfg map[string]string) (Validation, error) {
	if given, ok := cfg["connector.class"]; ok && given != NullValue && !strings.HasSuffix(pluginName(given), pluginName(class)) {
		return Validation{}, &Error{400, fmt.Sprintf("Included connector type %s does not match request type %s", given, class)}
	}
	c, err := w.check(cfg)
	if err != nil {
		return Validation{}, &Error{500, "org.apache.kafka.connect.runtime.rest.errors.BadRequestException: " + err.Error()}
	}
	problems := append(c.problems, c.unreachable(ctx, false)...)
	return Validation{Plugin: c.plugin.Plugin, Common: c.common, Values: c.given, Problems: problems}, nil
}

// pluginName is a class without the suffix that it may have.
func pluginName(class string) string {
	if short := strings.TrimSuffix(class, "Connector"); short != "" {
		return short
	}
	return class
}

// Unmask gives masked values of cfg their stored text back.
func (w *Worker) Unmask(cfg, stored map[string]string) map[string]string {
	plugin, err := w.plugins.Find(stored["connector.class"])
	if err != nil {
		return Unmask(nil, cfg, stored)
	}
	return Unmask(&plugin.Def, cfg, stored)
}

// Connector is a connector whose configuration is valid: its tasks can be started. It is immutable but for the set of
// topics.
type Connector struct {
	Name   string
	Plugin Plugin
	// Config is the configuration as given, references unresolved and other secrets in clear.
	Config map[string]string
	// Warnings are problems that refuse nothing.
	Warnings []config.Problem
	// Topics are those that the tasks have used.
	Topics *TopicSet

	worker *Worker
	set    *checked
	tasks  []config.Values
	stored []map[string]string // what the tasks are made of, where Split did not make them
}

// NewConnector makes a connector of a configuration, or returns an *Error that says what is wrong with it.
func (w *Worker) NewConnector(name string, cfg map[string]string) (*Connector, error) {
	set, err := w.check(cfg)
	if err != nil {
		return nil, err
	}
	if err := set.refuse(); err != nil {
		return nil, err
	}
	c := &Connector{Name: name, Plugin: set.plugin, Config: set.given, Topics: &TopicSet{}, worker: w, set: set}
	for _, p := range set.problems {
		if p.Warning {
			c.Warnings = append(c.Warnings, p)
		}
	}
	if err := c.split(); err != nil {
		return nil, err
	}
	return c, nil
}

// NewConnectorOf makes a connector whose tasks have been divided before: by StoredTaskConfigs, or by a worker of Kafka
// Connect. What a task's configuration does not say, that of the connector does.
func (w *Worker) NewConnectorOf(name string, cfg map[string]string, tasks []map[string]string) (*Connector, error) {
	set, err := w.check(cfg)
	if err != nil {
		return nil, err
	}
	if err := set.refuse(); err != nil {
		return nil, err
	}
	c := &Connector{Name: name, Plugin: set.plugin, Config: set.given, Topics: &TopicSet{}, worker: w, set: set, stored: tasks}
	return c, c.split()
}

// taskClass is the property that only configurations of tasks have.
const taskClass = "task.class"

// restore makes the tasks of their stored configurations.
func (c *Connector) restore() error {
	for _, cfg := range c.stored {
		whole := maps.Clone(c.Config)
		maps.Copy(whole, cfg)
		delete(whole, taskClass)
		whole, err := c.worker.config.Providers.Resolve(whole)
		if err != nil {
			return err
		}
		v, _ := c.Plugin.Def.Parse(whole) // the connector's configuration has been judged
		c.tasks = append(c.tasks, v)
	}
	return nil
}

// split divides the work into tasks. Sinks have tasks.max equal ones, members of one consumer group.
func (c *Connector) split() error {
	if c.stored != nil {
		return c.restore()
	}
	limit := 1
	if n, err := strconv.Atoi(strings.TrimSpace(c.set.raw["tasks.max"])); err == nil {
		limit = n
	}
	if c.Plugin.Sink != nil {
		for range limit {
			c.tasks = append(c.tasks, c.set.values)
		}
		return nil
	}
	tasks, err := c.Plugin.Source.Split(c.set.values, limit)
	if err != nil {
		return &Error{400, fmt.Sprintf("Connector %s cannot be divided into tasks: %v", c.Name, err)}
	}
	c.tasks = tasks
	return nil
}

// Tasks is the number of tasks.
func (c *Connector) Tasks() int { return len(c.tasks) }

// Shown is the configuration with its secrets masked.
func (c *Connector) Shown() map[string]string { return Redact(&c.Plugin.Def, c.Config) }

// TaskConfigs are the tasks' configurations with their secrets masked.
func (c *Connector) TaskConfigs() []map[string]string {
	out := c.StoredTaskConfigs()
	for i := range out {
		out[i] = Redact(&c.Plugin.Def, out[i])
	}
	return out
}

// StoredTaskConfigs are the tasks' configurations as other workers need them: references unresolved, other secrets in clear.
func (c *Connector) StoredTaskConfigs() []map[string]string {
	out := make([]map[string]string, len(c.tasks))
	for i, v := range c.tasks {
		out[i] = maps.Clone(v.Raw())
		for name := range out[i] {
			if c.set.referred(name) {
				out[i][name] = c.Config[name]
			}
		}
		out[i][taskClass] = c.Plugin.taskClass()
	}
	return out
}

// settings are what one attempt of a task is made of.
type settings struct {
	values config.Values
	raw    map[string]string // of the connector, references resolved
}

// current are the settings of a task now: references are resolved anew for each attempt, so that a password that was
// changed is the one that is used.
func (c *Connector) current(task int) (settings, error) {
	if maps.Equal(c.Config, c.set.raw) {
		return settings{c.tasks[task], c.set.raw}, nil
	}
	set, err := c.worker.check(c.Config)
	if err == nil {
		err = set.refuse()
	}
	if err != nil {
		return settings{}, fmt.Errorf("resolve the references in the configuration: %w", err)
	}
	again := &Connector{Name: c.Name, Plugin: c.Plugin, Config: c.Config, worker: c.worker, set: set, stored: c.stored}
	if err := again.split(); err != nil {
		return settings{}, err
	}
	if task >= len(again.tasks) {
		return settings{}, fmt.Errorf("the configuration now makes %d task(s): put it again", len(again.tasks))
	}
	return settings{again.tasks[task], set.raw}, nil
}

// NewTask makes the supervisor of a task. It starts nothing.
func (c *Connector) NewTask(task int) *Supervisor {
	v := c.tasks[task]
	log := c.worker.log.With("connector", c.Name, "task", task)
	o := SupervisorOptions{Kind: c.Plugin.Kind, Backoff: c.worker.config.Backoff, MaxRetries: -1, Log: log, errors: &errorCounts{}}
	if c.Plugin.Sink != nil {
		o.Open = c.sinkOpener(task, log, o.errors)
		return NewSupervisor(o)
	}
	if v.Has("errors.max.retries") {
		o.MaxRetries = int(v.Int("errors.max.retries"))
	}
	if wait := v.Millis("retriable.restart.connector.wait.ms"); v.Has("retriable.restart.connector.wait.ms") && wait > 0 {
		o.Backoff = Backoff{Min: wait, Max: wait}
	}
	o.watch = &watch{}
	o.meter = &meter{
		prefix: v.Get("topic.prefix"), database: v.Get("database.dbname"), tags: parseTags(v.List("custom.metric.tags")),
		skipsUnchanged: v.Bool("skip.messages.without.change"),
	}
	o.Open = c.sourceOpener(task, log, &o)
	return NewSupervisor(o)
}

// MarkKey is the key of a source position in the log: the key of Kafka Connect's offset topic.
func MarkKey(connector, partition string) string {
	return "[" + quoteJSON(connector) + "," + partition + "]"
}

// quoteJSON is the JSON text of a string, with every character that may stand for itself.
func quoteJSON(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}

// Admin is a Log whose positions can be looked at and changed from outside.
type Admin interface {
	// Marks returns the marks whose key begins with prefix, by key.
	Marks(ctx context.Context, prefix string) ([]topic.Mark, error)
	SetMark(ctx context.Context, m topic.Mark) error
	DeleteMark(ctx context.Context, key string) error
	// GroupOffsets returns the committed offsets of a consumer group.
	GroupOffsets(ctx context.Context, group string) (map[topic.Partition]int64, error)
	// SetGroupOffset sets where a group without members goes on; offset < 0 forgets it.
	SetGroupOffset(ctx context.Context, group string, p topic.Partition, offset int64) error
}

// Alterer is an Admin that changes several positions at once: all of them or, where it fails, none. A mark without a value is
// forgotten.
type Alterer interface {
	AlterMarks(ctx context.Context, marks []topic.Mark) error
}

// CheckSource runs a source connector's checks of its server, as the doctor does. The error is an *Error where the
// configuration is wrong.
func (w *Worker) CheckSource(ctx context.Context, cfg map[string]string) ([]capture.Finding, error) {
	set, err := w.check(cfg)
	if err != nil {
		return nil, err
	}
	if err := set.refuse(); err != nil {
		return nil, err
	}
	if set.plugin.Source == nil {
		return nil, &Error{400, fmt.Sprintf("connector class %s is a sink: there are checks for sources only", set.plugin.Class)}
	}
	return set.plugin.Source.Check(ctx, set.values)
}

// CheckWorker checks the properties that connectors inherit, in the words of Kafka Connect.
func (c WorkerConfig) CheckWorker() []config.Problem {
	_, problems := c.Converters(nil)
	errs := config.Errors(problems)
	for n := range errs {
		if p := &errs[n]; !strings.Contains(p.Message, p.Property) { // Connect's words for a setting of a converter leave the prefix out
			p.Message = p.Property + ": " + p.Message
		}
	}
	return errs
}
