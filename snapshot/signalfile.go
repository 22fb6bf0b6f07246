// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"bytes"
	"context"
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
		s, err := capture.ParseSignal(line)
		if err != nil {
			log.Warn("line of the signal file is ignored", "path", path, "line", string(line), "error", err)
			continue
		}
		take(s)
	}
	return nil
}
