// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strings"
	"time"

	"freshet/connect"
	"freshet/connect/cluster/backing"
	"freshet/connect/cluster/group"
)

// Session says how workers sign what they ask of each other.
type Session struct {
	// KeyAlgorithm and KeyBits are those of keys that this worker makes as the leader; 0 bits are the algorithm's default.
	KeyAlgorithm string
	KeyBits      int
	KeyTTL       time.Duration
	// Algorithm signs, Verified are those that requests of others may be signed by.
	Algorithm string
	Verified  []string
}

// macs are the algorithms, by the names of Java.
var macs = map[string]struct {
	hash func() hash.Hash
	bits int // of a key, where nothing else is said, as Java's key generators have it
}{
	"HmacMD5":    {md5.New, 512},
	"HmacSHA1":   {sha1.New, 512},
	"HmacSHA224": {sha256.New224, 224},
	"HmacSHA256": {sha256.New, 256},
	"HmacSHA384": {sha512.New384, 384},
	"HmacSHA512": {sha512.New, 512},
}

// KnownAlgorithm says whether requests can be signed by an algorithm.
func KnownAlgorithm(name string) bool {
	_, ok := macs[name]
	return ok
}

// keepSessionKey makes a new key where there is none, or one that is too old or of another algorithm. For the leader.
func (h *Herder) keepSessionKey(ctx context.Context) {
	h.mu.Lock()
	leads := h.joined && h.round.Leader
	h.mu.Unlock()
	if !leads || h.member.Version() != group.Sessioned {
		return
	}
	k := h.o.Configs.Snapshot().SessionKey
	if k != nil && k.Algorithm == h.o.Session.KeyAlgorithm && time.Since(k.Created) < h.o.Session.KeyTTL {
		return
	}
	bits := h.o.Session.KeyBits
	if bits == 0 {
		bits = macs[h.o.Session.KeyAlgorithm].bits
	}
	key := make([]byte, bits/8)
	_, _ = rand.Read(key) // never fails
	err := h.lead(ctx)
	if err == nil {
		err = h.o.Configs.PutSessionKey(ctx, backing.SessionKey{Key: key, Algorithm: h.o.Session.KeyAlgorithm, Created: time.Now()})
	}
	if err != nil && ctx.Err() == nil {
		h.log.Warn("the session key of the group could not be stored; trying again", "error", err)
	}
}

// sign makes the signed body of a request to the leader.
func (h *Herder) sign(configs []map[string]string) (connect.Signature, error) {
	body, err := json.Marshal(plain(configs))
	if err != nil {
		return connect.Signature{}, err
	}
	return h.signed(body)
}

// signed is the signature of a request with a body, which may be none.
func (h *Herder) signed(body []byte) (connect.Signature, error) {
	s := connect.Signature{Body: body}
	if h.member.Version() != group.Sessioned {
		return s, nil
	}
	k := h.o.Configs.Snapshot().SessionKey
	if k == nil {
		return s, errors.New("the leader has not stored a session key yet")
	}
	s.Algorithm = h.o.Session.Algorithm
	s.MAC = base64.StdEncoding.EncodeToString(mac(s.Algorithm, k.Key, body))
	return s, nil
}

// plain are configurations with null in the place of what stands for it.
func plain(configs []map[string]string) []map[string]*string {
	out := make([]map[string]*string, len(configs))
	for n, cfg := range configs {
		out[n] = make(map[string]*string, len(cfg))
		for name, value := range cfg {
			if value == connect.NullValue {
				out[n][name] = nil
				continue
			}
			out[n][name] = &value
		}
	}
	return out
}

func mac(algorithm string, key, body []byte) []byte {
	m := hmac.New(macs[algorithm].hash, key)
	_, _ = m.Write(body) // never fails
	return m.Sum(nil)
}

// verify checks the signature of a request, in the order and the words of Kafka Connect. Groups of older protocols do not
// sign.
func (h *Herder) verify(s connect.Signature) error {
	if h.member.Version() != group.Sessioned {
		return nil
	}
	if s.MAC == "" || s.Algorithm == "" {
		return &connect.Error{Code: 400, Message: "Internal request missing required signature"}
	}
	if !slices.Contains(h.o.Session.Verified, s.Algorithm) || !KnownAlgorithm(s.Algorithm) {
		return &connect.Error{Code: 400, Message: fmt.Sprintf("This worker does not support the '%s' key signing algorithm used by other workers. "+
			"This worker is currently configured to use: [%s]. Check that all workers' configuration files permit the same set of signature algorithms, "+
			"and correct any misconfigured worker and restart it.", s.Algorithm, strings.Join(h.o.Session.Verified, ", "))}
	}
	sent, err := base64.StdEncoding.DecodeString(s.MAC)
	if err != nil {
		message := err.Error()
		var at base64.CorruptInputError
		if errors.As(err, &at) && int(at) < len(s.MAC) {
			message = fmt.Sprintf("Illegal base64 character %x", s.MAC[at])
		}
		return &connect.Error{Code: 400, Message: message}
	}
	k := h.o.Configs.Snapshot().SessionKey
	if k == nil {
		return &connect.Error{Code: 503, Message: "This worker is still starting up and has not been able to read a session key from the config topic yet"}
	}
	if !hmac.Equal(sent, mac(s.Algorithm, k.Key, s.Body)) {
		return &connect.Error{Code: 403, Message: "Internal request contained invalid signature."}
	}
	return nil
}
