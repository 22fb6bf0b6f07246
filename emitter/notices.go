// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"crypto/rand"
	"encoding/hex"
	"sync"
	"time"

	"freshet/capture"
)

// Notices takes notifications from a source and keeps them until the pipeline writes them. It is safe for concurrent use.
type Notices struct {
	wake chan struct{} // holds one: there are some

	mu      sync.Mutex // guards waiting
	waiting []stampedNotice
}

// stampedNotice is a notification with its time, ms since the epoch.
type stampedNotice struct {
	capture.Notice
	millis int64
}

// NewNotices makes an empty queue.
func NewNotices() *Notices { return &Notices{wake: make(chan struct{}, 1)} }

// Notify queues a notification; see capture.Env.
func (n *Notices) Notify(notice capture.Notice) {
	if notice.ID == "" {
		notice.ID = newUUID()
	}
	n.mu.Lock()
	n.waiting = append(n.waiting, stampedNotice{notice, time.Now().UnixMilli()})
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// take returns all that wait. A nil queue has none.
func (n *Notices) take() []stampedNotice {
	if n == nil {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	out := n.waiting
	n.waiting = nil
	return out
}

// signal is ready when there are some; nil for a nil queue.
func (n *Notices) signal() <-chan struct{} {
	if n == nil {
		return nil
	}
	return n.wake
}

// newUUID is a random UUID, version 4.
func newUUID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	h := hex.EncodeToString(id[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
