// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// logger passes the client's warnings on. While a broker is away it says the same for each of its attempts: one message in
// a while is enough.
type logger struct {
	log *slog.Logger

	mu   sync.Mutex // guards told
	told map[string]time.Time
}

var _ kgo.Logger = (*logger)(nil)

// Logger passes the warnings of a client on to log, each once in a while.
func Logger(log *slog.Logger) kgo.Opt { return kgo.WithLogger(newLogger(log)) }

func newLogger(log *slog.Logger) *logger { return &logger{log: log, told: map[string]time.Time{}} }

// Level is what the client need not format.
func (l *logger) Level() kgo.LogLevel {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		return kgo.LogLevelInfo
	}
	return kgo.LogLevelWarn
}

// Log passes a message on.
func (l *logger) Log(level kgo.LogLevel, message string, values ...any) {
	if level > kgo.LogLevelWarn {
		l.log.Debug("Kafka client: "+message, values...) //nolint:sloglint // the client's own words
		return
	}
	l.mu.Lock()
	quiet := time.Since(l.told[message]) < repeatEvery
	if !quiet {
		l.told[message] = time.Now()
	}
	l.mu.Unlock()
	if !quiet {
		l.log.Warn("Kafka client: "+message, values...) //nolint:sloglint // the client's own words
	}
}
