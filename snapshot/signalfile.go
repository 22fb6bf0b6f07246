// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"freshet/capture"
)

// watchFile reads signals from a file until ctx ends: one JSON object a line. A file that was read is emptied, as Debezium
// does it, so that its signals are taken once.
func watchFile(ctx context.Context, path string, every time.Duration, log *slog.Logger, take func(capture.Signal)) {
	tick := time.NewTicker(max(every, 10*time.Millisecond))
	defer tick.Stop()
	failed := ""
	for {
		switch err := readFile(path, log, take); {
		case err == nil:
			failed = ""
		case errors.Is(err, fs.ErrNotExist):
		case err.Error() != failed: // said once
			failed = err.Error()
			log.Warn("signal file cannot be read", "path", path, "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func readFile(path string, log *slog.Logger, take func(capture.Signal)) error {
	text, err := os.ReadFile(path)
	if err != nil || len(bytes.TrimSpace(text)) == 0 {
		return err
	}
	if err := os.Truncate(path, 0); err != nil {
		return err
	}
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		s, err := parseSignal(line)
		if err != nil {
			log.Warn("line of the signal file is ignored", "path", path, "line", string(line), "error", err)
			continue
		}
		take(s)
	}
	return nil
}

// parseSignal reads {"id","type","data"}, where data is an object or the text of one.
func parseSignal(line []byte) (capture.Signal, error) {
	var m struct {
		ID   string          `json:"id"`
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(line, &m); err != nil {
		return capture.Signal{}, err
	}
	if m.Type == "" {
		return capture.Signal{}, errors.New("it has no type")
	}
	s := capture.Signal{ID: m.ID, Type: m.Type, Data: string(m.Data)}
	var text string
	if json.Unmarshal(m.Data, &text) == nil {
		s.Data = text
	}
	return s, nil
}
