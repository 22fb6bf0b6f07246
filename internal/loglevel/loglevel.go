// SPDX-License-Identifier: Apache-2.0

// Package loglevel gives the parts of the program log levels of their own, which can be changed while it runs.
//
// Its main type is Levels. A part is found by the package that logs: nothing has to be passed to it. Parts go by the names
// of the Java loggers that do the same in Kafka Connect and Debezium, so that what their users are used to sets what they
// expect: io.debezium.connector.postgresql, org.apache.kafka.connect.runtime. A part without a counterpart goes by its
// package: freshet.internal.store. As in log4j a name inherits from the names above it, up to root.
package loglevel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Root is the name of what all others inherit from.
const Root = "root"

// java are the Java loggers of our packages; the longest package counts.
var java = map[string]string{
	"capture/file":        "org.apache.kafka.connect.file",
	"capture/mongodb":     "io.debezium.connector.mongodb",
	"capture/mysql":       "io.debezium.connector.mysql",
	"capture/postgres":    "io.debezium.connector.postgresql",
	"connect":             "org.apache.kafka.connect.runtime",
	"connect/cluster":     "org.apache.kafka.connect.runtime.distributed",
	"connect/rest":        "org.apache.kafka.connect.runtime.rest",
	"connect/standalone":  "org.apache.kafka.connect.runtime.standalone",
	"emitter":             "io.debezium.pipeline",
	"emitter/topic/kafka": "org.apache.kafka.clients",
	"emitter/topic/local": "freshet.emitter.topic.local",
	"internal/cli":        "freshet.internal.cli",
	"internal/store":      "freshet.internal.store",
	"internal/worker":     "freshet.internal.worker",
	"schema/history":      "io.debezium.relational.history",
	"schema/registry":     "io.confluent.kafka.schemaregistry.client",
	"sinks":               "org.apache.kafka.connect.runtime.WorkerSinkTask",
	"sinks/file":          "org.apache.kafka.connect.file",
	"sinks/jdbc":          "io.debezium.connector.jdbc",
	"snapshot":            "io.debezium.pipeline.source.snapshot",
}

// Parts are the parts' names and the packages behind them, for the documentation.
func Parts() map[string][]string {
	out := map[string][]string{}
	for _, pkg := range slices.Sorted(maps.Keys(java)) {
		out[java[pkg]] = append(out[java[pkg]], pkg)
	}
	return out
}

// severities are the levels of log4j. slog has no level above error: what is logged there is no worse than ERROR.
var severities = []struct {
	name  string
	least slog.Level
}{
	{"ALL", math.MinInt},
	{"TRACE", slog.LevelDebug - 4},
	{"DEBUG", slog.LevelDebug},
	{"INFO", slog.LevelInfo},
	{"WARN", slog.LevelWarn},
	{"ERROR", slog.LevelError},
	{"FATAL", slog.LevelError + 4},
	{"OFF", math.MaxInt},
}

// ErrEmpty and ErrUnknown say why a level is none.
var (
	ErrEmpty   = errors.New("the level is empty")
	ErrUnknown = errors.New("no such level: use OFF, FATAL, ERROR, WARN, INFO, DEBUG, TRACE or ALL")
)

// Level is the level of a name, as GET /admin/loggers shows it.
type Level struct {
	Level string `json:"level"`
	// Modified is when it was changed, in milliseconds of the epoch; nil is since the start.
	Modified *int64 `json:"last_modified"`
}

// setting is an explicit level.
type setting struct {
	severity int // index of severities
	modified *int64
}

// Levels are the levels of all parts. It is safe for concurrent use.
type Levels struct {
	least atomic.Int64 // the smallest level of any part
	names sync.Map     // names of parts by program counter (uintptr → string)

	mu  sync.RWMutex       // guards set
	set map[string]setting // by name, Root among them; other parts inherit
	now func() time.Time
}

// New makes levels of which root has the given one, such as INFO.
func New(root string) (*Levels, error) {
	n, err := parse(root)
	if err != nil {
		return nil, err
	}
	l := &Levels{set: map[string]setting{Root: {severity: n}}, now: time.Now}
	l.least.Store(int64(severities[n].least))
	return l, nil
}

// Check says whether a text is a level, in any case of letters.
func Check(level string) error {
	_, err := parse(level)
	return err
}

func parse(level string) (int, error) {
	if level == "" {
		return 0, ErrEmpty
	}
	for i, s := range severities {
		if strings.EqualFold(s.name, level) {
			return i, nil
		}
	}
	return 0, fmt.Errorf("log level %q: %w", level, ErrUnknown)
}

// All are the levels of all parts, and of other names that were set.
func (l *Levels) All() map[string]Level {
	l.mu.RLock()
	defer l.mu.RUnlock()
	out := map[string]Level{}
	for _, name := range l.known() {
		out[name] = l.of(name)
	}
	return out
}

// Get is the level of a name that is known.
func (l *Levels) Get(name string) (Level, bool) {
	if strings.EqualFold(name, Root) {
		name = Root
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	if !slices.Contains(l.known(), name) {
		return Level{}, false
	}
	return l.of(name), true
}

// Set gives a name, and every known one that begins with it, a level: as in Kafka Connect whole words or not. Root
// changes all. It returns the names. One that has the level already keeps its time of modification.
func (l *Levels) Set(name, level string) ([]string, error) {
	n, err := parse(level)
	if err != nil {
		return nil, err
	}
	if strings.EqualFold(name, Root) {
		name = Root
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	changed := []string{name}
	for _, known := range l.known() {
		if known != name && (name == Root || known != Root && strings.HasPrefix(known, name)) {
			changed = append(changed, known)
		}
	}
	now := l.now().UnixMilli()
	for _, c := range changed {
		if had, ok := l.set[c]; !ok || had.severity != n {
			l.set[c] = setting{n, &now}
		}
	}
	least := severities[n].least
	for _, s := range l.set {
		least = min(least, severities[s.severity].least)
	}
	l.least.Store(int64(least))
	slices.Sort(changed)
	return changed, nil
}

// known are all names, root included.
func (l *Levels) known() []string {
	out := slices.Collect(maps.Keys(l.set))
	for _, name := range java {
		if _, ok := l.set[name]; !ok && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// of is the level of a name, its own or that of the nearest name above it. mu is held.
func (l *Levels) of(name string) Level {
	s := l.effective(name)
	return Level{severities[s.severity].name, s.modified}
}

func (l *Levels) effective(name string) setting {
	for {
		if s, ok := l.set[name]; ok {
			return s
		}
		dot := strings.LastIndexByte(name, '.')
		if dot < 0 {
			root := l.set[Root]
			root.modified = nil // the inheriting name was not changed
			return root
		}
		name = name[:dot]
	}
}

// wanted says whether a line of the part that stands at a program counter is to be written.
func (l *Levels) wanted(pc uintptr, level slog.Level) bool {
	name, ok := l.names.Load(pc)
	if !ok {
		name = nameOf(pc)
		l.names.Store(pc, name)
	}
	l.mu.RLock()
	defer l.mu.RUnlock()
	return level >= severities[l.effective(name.(string)).severity].least
}

// nameOf is the name of the part that logs at a program counter.
func nameOf(pc uintptr) string {
	frame, _ := runtime.CallersFrames([]uintptr{pc}).Next()
	pkg := frame.Function // freshet/connect/rest.(*api).failed
	slash := strings.LastIndexByte(pkg, '/') + 1
	if dot := strings.IndexByte(pkg[slash:], '.'); dot >= 0 {
		pkg = pkg[:slash+dot]
	}
	pkg = strings.TrimSuffix(strings.TrimPrefix(pkg, "freshet/"), "_test")
	for p := pkg; p != ""; {
		if name, ok := java[p]; ok {
			return name
		}
		slash := max(strings.LastIndexByte(p, '/'), 0)
		p = p[:slash]
	}
	return strings.TrimSuffix("freshet."+strings.ReplaceAll(pkg, "/", "."), ".")
}

// Handler lets the lines through that their parts' levels want. next must take all levels.
func (l *Levels) Handler(next slog.Handler) slog.Handler { return &handler{l, next} }

type handler struct {
	levels *Levels
	next   slog.Handler
}

var _ slog.Handler = (*handler)(nil)

// Enabled says whether any part wants lines of a level.
func (h *handler) Enabled(_ context.Context, level slog.Level) bool {
	return int64(level) >= h.levels.least.Load()
}

// Handle writes a line if its part wants it.
func (h *handler) Handle(ctx context.Context, r slog.Record) error {
	if !h.levels.wanted(r.PC, r.Level) {
		return nil
	}
	return h.next.Handle(ctx, r)
}

// WithAttrs adds attributes.
func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &handler{h.levels, h.next.WithAttrs(attrs)}
}

// WithGroup opens a group.
func (h *handler) WithGroup(name string) slog.Handler {
	return &handler{h.levels, h.next.WithGroup(name)}
}
