// SPDX-License-Identifier: Apache-2.0

package replicate

import (
	"context"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/emitter/topic"
	"freshet/internal/testdb"
	"freshet/internal/worker"
)

// interrupted is a herder whose worker is told to stop while it is asked for the nth time.
type interrupted struct {
	connect.Herder
	left int
	stop context.CancelFunc
}

func (h *interrupted) asked(ctx context.Context) error {
	if h.left--; h.left == 0 {
		h.stop()
	}
	return ctx.Err()
}

func (h *interrupted) Status(ctx context.Context, _ string) (connect.Status, error) {
	return connect.Status{}, h.asked(ctx)
}

func (h *interrupted) Offsets(ctx context.Context, _ string) ([]connect.Offset, error) {
	return nil, h.asked(ctx)
}

type noTopics struct{ topic.Log }

func (noTopics) List(ctx context.Context) ([]topic.Info, error) { return nil, ctx.Err() }

// TestAStopIsNoFailure: whatever is being asked for when the run is told to stop.
func TestAStopIsNoFailure(t *testing.T) {
	s := testdb.Postgres(t)
	for n := 1; n <= 8; n++ {
		ctx, cancel := context.WithCancel(t.Context())
		m := &monitor{o: Options{Log: slog.New(slog.DiscardHandler)}, source: s.Connect(t), goal: "0/0", show: newLines(slog.New(slog.DiscardHandler))}
		require.NoError(t, m.watch(ctx, worker.Running{Herder: &interrupted{left: n, stop: cancel}, Topics: noTopics{}}), "stopped at question %d", n)
		cancel()
	}
}

// TestTheSlotIsDroppedOverANewConnection where the one at hand was closed by the end of the run.
func TestTheSlotIsDroppedOverANewConnection(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, "select pg_create_logical_replication_slot('gone_' || current_database(), 'pgoutput')")
	from, err := parseEndpoint("--from", s.DSN())
	require.NoError(t, err)
	source := s.Connect(t)
	require.NoError(t, source.Close(t.Context()))
	m := &monitor{o: Options{Clean: true, Data: t.TempDir(), Log: slog.New(slog.DiscardHandler)}, from: from, source: source}
	require.NoError(t, m.end(t.Context(), "gone_"+s.Database))
	require.Empty(t, s.Rows(t, "select slot_name from pg_replication_slots where slot_name = 'gone_' || current_database()"))
}
