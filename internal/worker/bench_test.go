// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/connect"
	"freshet/connect/connecttest"
	"freshet/sinks"
)

// BenchmarkStart starts a worker whose folder has 100 connectors, until all are there.
func BenchmarkStart(b *testing.B) {
	o := Options{
		Properties: map[string]string{"data.dir": filepath.Join(b.TempDir(), "data"), "listeners": "http://127.0.0.1:0"},
		Plugins:    connect.NewPlugins([]capture.Connector{&connecttest.Source{}}, []sinks.Connector{&connecttest.Sink{}}),
		Log:        slog.New(slog.DiscardHandler),
	}
	const n = 100
	run := func(ready func(ctx context.Context, r Running)) {
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		running, ended := make(chan Running, 1), make(chan error, 1)
		o.Ready = func(r Running) { running <- r }
		go func() { ended <- Run(ctx, o) }()
		ready(ctx, <-running)
		b.StopTimer()
		cancel()
		require.NoError(b, <-ended)
	}
	run(func(ctx context.Context, r Running) {
		for i := range n {
			_, _, err := r.Herder.Put(ctx, fmt.Sprintf("c%d", i), map[string]string{"connector.class": "FileStreamSource", "file": "f", "topic": "t"}, true, "")
			require.NoError(b, err)
		}
	})
	b.ResetTimer()
	for range b.N {
		b.StartTimer()
		run(func(ctx context.Context, r Running) {
			names, err := r.Herder.Connectors(ctx)
			require.NoError(b, err)
			require.Len(b, names, n)
		})
	}
}
