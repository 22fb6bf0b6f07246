// SPDX-License-Identifier: Apache-2.0

package connect_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/config"
	"freshet/config/provider"
	"freshet/connect"
	"freshet/connect/connecttest"
)

// secrets is a worker with a file provider, and what writes the file.
func secrets(t *testing.T, source *connecttest.Source) (w *connect.Worker, path string, write func(text string)) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "secrets.properties")
	write = func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	set, problems := provider.New(map[string]string{
		"config.providers": "file", "config.providers.file.class": "org.apache.kafka.common.config.provider.FileConfigProvider",
		"config.providers.file.param.allowed.paths": filepath.Dir(path),
	}, nil)
	require.Empty(t, problems)
	_, log := connecttest.NewLog(t)
	return connecttest.NewWorker(t, log, source, nil, nil, connect.WorkerConfig{Providers: set, Backoff: connect.Backoff{Min: time.Millisecond, Max: time.Millisecond}}), path, write
}

// References are resolved for the tasks alone: what is stored and shown has them as they are.
func TestReferences(t *testing.T) {
	source := &connecttest.Source{}
	w, path, write := secrets(t, source)
	write("file=in.txt\npassword=canary-4711\nmany=2\ntopic=resolved-topic\n")
	ref := func(key string) string { return "${file:" + path + ":" + key + "}" }
	cfg := with(sourceConfig, "file", ref("file"), "topic", "x-"+ref("topic"), "database.password", ref("password"), "batch.size", ref("many"))
	c, err := w.NewConnector("c", cfg)
	require.NoError(t, err)
	require.Equal(t, cfg["topic"], c.Config["topic"])
	require.Equal(t, cfg, c.Shown())
	shown := c.TaskConfigs()[0]
	require.Equal(t, cfg["topic"], shown["topic"])
	require.Equal(t, ref("password"), shown["database.password"])
	require.Equal(t, "in.txt", openedWith(t, source, c).Get("file"))

	v, err := w.Validate(t.Context(), "FileStreamSource", with(cfg, "batch.size", ref("password"), "tasks.max", ref("topic")))
	require.NoError(t, err)
	require.Equal(t, ref("password"), v.Values["batch.size"])
	text := messages(v.Problems, false)
	require.Contains(t, text, "Invalid value "+ref("password")+" for configuration batch.size: Not a number of type INT")
	for _, m := range text {
		require.NotContains(t, m, "canary-4711")
		require.NotContains(t, m, "resolved-topic")
	}
	_, err = w.NewConnector("c", with(cfg, "batch.size", ref("password")))
	require.ErrorContains(t, err, "batch.size")
	require.NotContains(t, err.Error(), "canary-4711")

	_, err = w.NewConnector("c", with(cfg, "file", "${file:"+path+".not:file}"))
	var refused *connect.Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, 500, refused.Code)
	require.Contains(t, refused.Message, "Could not read properties from file "+path+".not")
}

// openedWith runs the first task until its reader is opened, and returns what it was opened with.
func openedWith(t *testing.T, source *connecttest.Source, c *connect.Connector) config.Values {
	t.Helper()
	opened := make(chan config.Values, 1)
	source.OnOpen = func(_ int, env capture.Env, v config.Values) (capture.Reader, error) {
		select {
		case opened <- v:
		default:
		}
		return &connecttest.Reader{From: env.From}, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.NewTask(0).Run(ctx)
	}()
	defer func() {
		cancel()
		<-done
	}()
	select {
	case v := <-opened:
		return v
	case <-time.After(10 * time.Second):
		require.Fail(t, "the reader is not opened")
		return config.Values{}
	}
}

// Each attempt of a task resolves them anew: a password that was changed is used without another configuration, and a file
// that is away for a while is waited for.
func TestReferencesAreResolvedAtEachStart(t *testing.T) {
	source := &connecttest.Source{}
	w, path, write := secrets(t, source)
	write("password=old")
	c, err := w.NewConnector("c", with(sourceConfig, "database.password", "${file:"+path+":password}"))
	require.NoError(t, err)
	require.Equal(t, "old", openedWith(t, source, c).Get("database.password"))
	write("password=new")
	require.Equal(t, "new", openedWith(t, source, c).Get("database.password"))

	require.NoError(t, os.Remove(path))
	task := c.NewTask(0)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		task.Run(ctx)
	}()
	waitFor(t, "the trace of the missing file", func() bool {
		_, trace := task.State()
		return trace != ""
	})
	_, trace := task.State()
	require.Contains(t, trace, "Could not read properties from file "+path)
	write("password=back")
	waitFor(t, "the task", func() bool {
		state, _ := task.State()
		return state == connect.Running
	})
	cancel()
	<-done
}
