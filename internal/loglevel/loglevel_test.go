// SPDX-License-Identifier: Apache-2.0

package loglevel

import (
	"bytes"
	"log/slog"
	"math"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const ours = "freshet.internal.loglevel" // the name of this package

func newLevels(t *testing.T) (*Levels, *slog.Logger, *bytes.Buffer) {
	t.Helper()
	l, err := New("info")
	require.NoError(t, err)
	var out bytes.Buffer
	return l, slog.New(l.Handler(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.Level(math.MinInt)}))), &out
}

// The level of the part that logs decides, wherever the logger came from.
func TestLevelsWork(t *testing.T) {
	for _, c := range []struct {
		set  [2]string
		want string // of debug, info, warn and error, which are written
	}{
		{[2]string{ours, "DEBUG"}, "dIWE"},
		{[2]string{ours, "trace"}, "dIWE"},
		{[2]string{ours, "all"}, "dIWE"},
		{[2]string{"freshet", "DEBUG"}, "dIWE"},
		{[2]string{"freshet.int", "DEBUG"}, "IWE"}, // no name above ours
		{[2]string{"root", "Debug"}, "dIWE"},
		{[2]string{"org.apache", "DEBUG"}, "IWE"},
		{[2]string{ours, "WARN"}, "WE"},
		{[2]string{ours, "ERROR"}, "E"},
		{[2]string{ours, "FATAL"}, ""},
		{[2]string{ours, "OFF"}, ""},
		{[2]string{"root", "OFF"}, ""},
	} {
		t.Run(strings.Join(c.set[:], "="), func(t *testing.T) {
			l, log, out := newLevels(t)
			_, err := l.Set(c.set[0], c.set[1])
			require.NoError(t, err)
			log = log.With("a", 1).WithGroup("g")
			log.Debug("d")
			log.Info("I")
			log.Warn("W")
			log.Error("E")
			var got strings.Builder
			for line := range strings.Lines(out.String()) {
				require.Contains(t, line, "a=1")
				_, rest, _ := strings.Cut(line, "msg=")
				got.WriteString(rest[:1])
			}
			require.Equal(t, c.want, got.String())
		})
	}
}

func TestNames(t *testing.T) {
	pc, _, _, _ := runtime.Caller(0)
	require.Equal(t, ours, nameOf(pc+1))
	require.Equal(t, "freshet", nameOf(0), "a line without a place")
	for name, packages := range Parts() {
		require.NotEmpty(t, name)
		require.NotEmpty(t, packages)
	}
}

func TestSet(t *testing.T) {
	l, _, _ := newLevels(t)
	clock := time.UnixMilli(1000)
	l.now = func() time.Time { return clock }
	modified := func(name string) int64 {
		level, ok := l.Get(name)
		require.True(t, ok, name)
		if level.Modified == nil {
			return 0
		}
		return *level.Modified
	}
	level, ok := l.Get("io.debezium.connector.postgresql")
	require.True(t, ok)
	require.Equal(t, Level{"INFO", nil}, level)
	_, ok = l.Get("io.debezium.connector")
	require.False(t, ok, "a name that nobody has")

	names, err := l.Set("io.debezium.connector", "debug")
	require.NoError(t, err)
	require.Equal(t, []string{
		"io.debezium.connector", "io.debezium.connector.jdbc", "io.debezium.connector.mongodb", "io.debezium.connector.mysql", "io.debezium.connector.postgresql",
	}, names)
	require.Equal(t, int64(1000), modified("io.debezium.connector.jdbc"))
	clock = time.UnixMilli(2000)
	_, err = l.Set("io.debezium.connector.jdbc", "DEBUG")
	require.NoError(t, err)
	require.Equal(t, int64(1000), modified("io.debezium.connector.jdbc"), "nothing changed")
	require.Zero(t, modified("io.debezium.pipeline"))

	names, err = l.Set("ROOT", "warn")
	require.NoError(t, err)
	require.Contains(t, names, "root")
	require.Contains(t, names, "io.debezium.pipeline")
	require.Len(t, names, len(l.All()))
	for name, level := range l.All() {
		require.Equal(t, "WARN", level.Level, name)
	}
	_, err = l.Set("x", "")
	require.ErrorIs(t, err, ErrEmpty)
	_, err = l.Set("x", "LOUD")
	require.ErrorIs(t, err, ErrUnknown)
	require.ErrorIs(t, Check("LOUD"), ErrUnknown)
	_, err = New("LOUD")
	require.ErrorContains(t, err, `log level "LOUD"`)
	_, ok = l.Get("x")
	require.False(t, ok, "a refused level leaves nothing")
}

func BenchmarkDebugThatNobodyWants(b *testing.B) {
	l, err := New("info")
	require.NoError(b, err)
	_, err = l.Set("io.debezium.connector.jdbc", "DEBUG")
	require.NoError(b, err)
	log := slog.New(l.Handler(slog.DiscardHandler))
	b.ReportAllocs()
	for b.Loop() {
		log.Debug("nothing", "n", 1)
	}
}
