// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/binary"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/emitter/topic"
	"freshet/emitter/topic/local"
	"freshet/internal/store"
)

// The classic tutorial of a sink: texts with keys of DoubleSerializer in the topic connectlog, a worker whose converters are
// StringConverter, and a FileStreamSink.
func TestFileStreamSinkOfATutorial(t *testing.T) {
	s := newSetup(t)
	s.unjudged = true
	db, err := store.Open(s.data, store.Options{Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	log, err := local.Open(db, local.Options{})
	require.NoError(t, err)
	var u topic.Unit
	want := ""
	for i, line := range []string{"first", "second", "третья"} {
		u.Records = append(u.Records, topic.Record{
			Topic: "connectlog", Key: topic.Data{Body: binary.BigEndian.AppendUint64(nil, math.Float64bits(float64(i)+0.5))},
			Value: topic.Data{Body: []byte(line)},
		})
		want += line + "\n"
	}
	done := make(chan error, 1)
	require.NoError(t, log.Create(t.Context(), topic.Spec{Name: "connectlog", Partitions: 1}))
	log.Append(t.Context(), u, func(err error) { done <- err })
	require.NoError(t, <-done)
	require.NoError(t, log.Close(t.Context()))
	require.NoError(t, db.Close())

	const converter = "org.apache.kafka.connect.storage.StringConverter"
	out := filepath.Join(t.TempDir(), "connectlog.txt")
	s.worker = properties{
		"key.converter": converter, "value.converter": converter, "key.converter.schemas.enable": "false",
		"value.converter.schemas.enable": "false", "offset.storage.file.filename": filepath.Join(t.TempDir(), "connect.offsets"),
		"offset.flush.interval.ms": "10000",
	}
	s.connectors["local-file-sink"] = properties{"connector.class": "FileStreamSink", "tasks.max": "1", "file": out, "topics": "connectlog"}
	w := s.start(t)
	waitFor(t, "the lines", func() bool {
		got, err := os.ReadFile(out)
		return err == nil && string(got) == want
	})
	w.stop(t)

	// Nothing comes twice after an orderly stop.
	w = s.start(t)
	waitFor(t, "the connector to run", func() bool {
		_, answer := w.ask(t, "GET", "/connectors/local-file-sink/status", nil)
		return len(answer) > 0
	})
	w.stop(t)
	got, err := os.ReadFile(out)
	require.NoError(t, err)
	require.Equal(t, want, string(got))
}
