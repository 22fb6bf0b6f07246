// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/internal/testdb"
	"freshet/sinks"
	"freshet/sinks/jdbc"
)

// breakWriters ends the sessions of writers, and waits until they are gone.
func breakWriters(s *testdb.Server) {
	var t quiet
	s.Rows(&t, "select pg_terminate_backend(pid, 10000) from pg_stat_activity where application_name = 'freshet' and datname = current_database()")
}

// quiet is a testing.TB for helpers that are called where no test is at hand.
type quiet struct{ testing.TB }

func (*quiet) Helper()                           {}
func (*quiet) Context() context.Context          { return context.Background() }
func (*quiet) Errorf(format string, args ...any) { panic(format) }
func (*quiet) FailNow()                          { panic("failed") }

// open opens a writer with properties, which must be free of problems. log may be nil.
func open(t testing.TB, properties map[string]string, log *slog.Logger) sinks.Writer {
	t.Helper()
	w, err := tryOpen(t, properties, log)
	require.NoError(t, err)
	return w
}

func tryOpen(t testing.TB, properties map[string]string, log *slog.Logger) (sinks.Writer, error) {
	t.Helper()
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	c := jdbc.New()
	def := c.Describe().Def
	v, problems := def.Parse(properties)
	for _, p := range problems {
		require.True(t, p.Warning, p.Message)
	}
	return c.Open(t.Context(), sinks.Env{Connector: "c", Group: "connect-c", Log: log}, v)
}
