// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/connect/connecttest"
)

// quickstartFile is the offsets file of a recorded worker of Kafka Connect.
func quickstartFile(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "testdata", "golden", "connect", "standalone", "quickstart.json"))
	require.NoError(t, err)
	var recording struct {
		Steps []map[string]any `json:"steps"`
	}
	require.NoError(t, json.Unmarshal(text, &recording))
	file, err := hex.DecodeString(recording.Steps[0]["standalone.offsets (hex)"].(string))
	require.NoError(t, err)
	return file
}

// Positions of Kafka Connect's file are taken over once, and never over one that is there.
func TestImportOffsets(t *testing.T) {
	db, log := connecttest.NewLog(t)
	path := filepath.Join(t.TempDir(), "standalone.offsets")
	logs := &bytes.Buffer{}
	run := func() error {
		return importOffsets(t.Context(), path, db, log, slog.New(slog.NewTextHandler(logs, nil)))
	}
	const key = `["local-file-source",{"filename":"test.txt"}]`
	load := func() string {
		value, err := log.LoadMark(context.Background(), key)
		require.NoError(t, err)
		return value
	}
	require.NoError(t, run(), "there is no file")
	require.NoError(t, os.WriteFile(path, []byte("not of Java"), 0o600))
	require.ErrorContains(t, run(), path)
	require.NoError(t, os.WriteFile(path, quickstartFile(t), 0o600))
	require.NoError(t, run())
	require.Equal(t, `{"position":8}`, load())
	require.Contains(t, logs.String(), "positions=1")

	require.NoError(t, log.DeleteMark(t.Context(), key))
	require.NoError(t, run())
	require.Empty(t, load(), "once is enough")
}
