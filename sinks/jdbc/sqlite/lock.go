// SPDX-License-Identifier: Apache-2.0

package sqlite

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"modernc.org/sqlite"
	codes "modernc.org/sqlite/lib"
)

// lockPause is between two attempts to get a lock: SQLite has no way to be told when it is free.
const lockPause = 50 * time.Millisecond

// Lock holds the write lock of a small file beside the database's, one for each name: the system gives it up with the
// process, and nobody else is kept from the database. A process that stands still keeps it.
func (s *Session) Lock(ctx context.Context, name string) error {
	h := fnv.New64a()
	h.Write([]byte(name))
	path := fmt.Sprintf("%s-freshet-%016x.lock", s.path, h.Sum64())
	conn, err := connect(ctx, dsn(path, nil))
	if err != nil {
		return fmt.Errorf("lock %q: %w", name, openError(path, err))
	}
	for {
		_, err = conn.ExecContext(ctx, "BEGIN EXCLUSIVE", nil)
		var e *sqlite.Error
		if err == nil || !errors.As(err, &e) || e.Code()&0xff != codes.SQLITE_BUSY {
			break
		}
		select {
		case <-ctx.Done():
			err = fmt.Errorf("another task still holds it: %w", ctx.Err())
		case <-time.After(lockPause):
			continue
		}
		break
	}
	if err != nil {
		return errors.Join(fmt.Errorf("lock %q in file %q: %w", name, path, err), conn.Close())
	}
	s.locks = append(s.locks, conn)
	return nil
}
