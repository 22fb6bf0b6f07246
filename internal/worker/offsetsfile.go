// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"freshet/connect/standalone"
	"freshet/emitter/topic/local"
	"freshet/internal/store"
)

// importOffsets takes over the positions of a worker of Kafka Connect, once: from then on those in the data folder count, and
// a connector that has one already keeps it. The file stays as it is. No file is fine.
func importOffsets(ctx context.Context, path string, db *store.DB, log *local.Log, logger *slog.Logger) error {
	if path == "" {
		return nil
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	sum := sha256.Sum256([]byte(path))
	done := "offsets file/" + hex.EncodeToString(sum[:8])
	taken, err := db.Status(done)
	if err != nil || len(taken) > 0 {
		return err
	}
	file, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read offset.storage.file.filename: %w", err)
	}
	found, err := standalone.ParseJavaOffsets(file)
	if err != nil {
		return fmt.Errorf("read offset.storage.file.filename %q: %w; name the offsets file of Kafka Connect's standalone worker, or leave the property out", path, err)
	}
	n := 0
	for _, m := range found {
		has, err := log.LoadMark(ctx, m.Key)
		if err != nil {
			return err
		}
		if has != "" {
			continue
		}
		if err := log.SetMark(ctx, m); err != nil {
			return fmt.Errorf("take over a position of Kafka Connect: %w", err)
		}
		n++
	}
	if len(file) > 0 {
		logger.Info("positions of Kafka Connect are taken over; from now on those in the data folder count", "file", path, "positions", n, "kept", len(found)-n)
	}
	return db.PutStatus(done, []byte(path))
}
