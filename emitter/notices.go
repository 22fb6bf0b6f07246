// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"crypto/rand"
	"encoding/hex"
	"strings"

	"freshet/change"
	"freshet/config"
)

// Notices says where notifications go.
type Notices struct {
	Topic string // "" for none
	Log   bool   // the log of the connector
}

// Wanted says whether they go anywhere.
func (n Notices) Wanted() bool { return n.Topic != "" || n.Log }

// parseNotices reads notification.enabled.channels and what belongs to them.
func parseNotices(v config.Values) (n Notices) {
	for _, channel := range v.List("notification.enabled.channels") {
		switch strings.ToLower(channel) {
		case "sink":
			n.Topic = v.Get("notification.sink.topic.name")
		case "log":
			n.Log = true
		}
	}
	return n
}

// notify publishes a notification.
func (r *recorder) notify(n *change.Notice) error {
	if r.o.Notices.Log {
		args := []any{"aggregate", n.Aggregate, "type", n.Type}
		for _, p := range n.Data {
			args = append(args, p.Name, p.Value)
		}
		r.o.Log.Info("notification", args...)
	}
	if r.o.Notices.Topic == "" {
		return nil
	}
	return r.addNotice(n)
}

// newUUID is a random UUID, version 4.
func newUUID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	h := hex.EncodeToString(id[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
