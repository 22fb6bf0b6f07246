// SPDX-License-Identifier: Apache-2.0

package local

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"freshet/internal/store"
)

// identityKey is the status under which the store keeps the identity.
const identityKey = "log identity"

// identityOf is the identity of the log in a store, made when the log is first opened.
func identityOf(db *store.DB) (string, error) {
	kept, err := db.Status(identityKey)
	if err != nil {
		return "", fmt.Errorf("read the identity of the log: %w", err)
	}
	if len(kept) > 0 {
		return string(kept), nil
	}
	var id [8]byte
	_, _ = rand.Read(id[:]) // never fails
	text := hex.EncodeToString(id[:])
	if err := db.PutStatus(identityKey, []byte(text)); err != nil {
		return "", fmt.Errorf("store the identity of the log: %w", err)
	}
	return text, nil
}

// Identity is the same as long as the data folder lives. Offsets that a target has stored count for this log only: in a
// new folder topics begin at 0 again.
func (l *Log) Identity() string { return l.identity }
