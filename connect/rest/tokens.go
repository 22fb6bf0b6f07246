// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// leastToken is the shortest token that is taken, in characters.
const leastToken = 16

// Tokens are what requests must show to be answered: the lines of a file, each a token, or a name and a token, separated by
// blanks. Behind the two may stand a role (viewer, operator or admin, which it is where none is given), and behind that the word
// contents, for who may see values of records, and connectors=PATTERN,... for who has to do with some connectors only. Empty
// lines and those that begin with # are of no meaning. The file is read again when it has changed, so that tokens are exchanged
// without a restart. It is safe for concurrent use.
//
// A request shows a token as `Authorization: Bearer TOKEN`, or as the password of `Authorization: Basic`, whoever the user
// is, for clients that know nothing else.
type Tokens struct {
	path string
	log  *slog.Logger

	mu       sync.Mutex // guards what follows
	stamp    fileStamp
	entries  []tokenEntry
	own      string               // the first token that may do everything: this worker shows it to others of its group
	failures map[string]*failures // by address
	now      func() time.Time
}

type tokenEntry struct {
	grant
	hash [sha256.Size]byte
}

// fileStamp tells one state of a file from another.
type fileStamp struct {
	modified time.Time
	size     int64
}

// failures counts wrong tokens of one address since a time.
type failures struct {
	since time.Time
	n     int
}

// An address with failureLimit wrong tokens within failureWindow is not listened to until it is over.
const (
	failureLimit  = 10
	failureWindow = 10 * time.Second
	failureMemory = 1024 // addresses
)

// OpenTokens reads the file of tokens. One that is not there is made, with a random token that only its owner can read;
// made says so.
func OpenTokens(path string, log *slog.Logger) (t *Tokens, made bool, err error) {
	t = &Tokens{path: path, log: log, failures: map[string]*failures{}, now: time.Now}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		made = true
		err = makeTokens(path)
	} else if err == nil && info.Mode().Perm()&0o077 != 0 {
		log.Warn("others can read the file of tokens: chmod 600 it", "file", path, "mode", info.Mode().Perm().String())
	}
	if err == nil {
		err = t.load()
	}
	if err != nil {
		return nil, false, fmt.Errorf("rest.auth.token.file %q: %w", path, err)
	}
	return t, made, nil
}

func makeTokens(path string) error {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString("admin " + base64.RawURLEncoding.EncodeToString(secret[:]) + "\n")
	return errors.Join(err, f.Close())
}

// load reads the file if it is another than the one that was read. mu is held, or t is new.
func (t *Tokens) load() error {
	info, err := os.Stat(t.path)
	if err != nil {
		return err
	}
	stamp := fileStamp{info.ModTime(), info.Size()}
	if stamp == t.stamp {
		return nil
	}
	text, err := os.ReadFile(t.path)
	if err != nil {
		return err
	}
	entries, own, err := parseTokens(text)
	if err != nil {
		return err
	}
	t.entries, t.own, t.stamp = entries, own, stamp
	return nil
}

func parseTokens(text []byte) (out []tokenEntry, own string, err error) {
	for n, line := range bytes.Split(text, []byte("\n")) {
		fields := strings.Fields(string(line))
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		name, token, rest := "", fields[0], fields[1:]
		if len(fields) > 1 {
			name, token, rest = fields[0], fields[1], fields[2:]
		}
		if len(token) < leastToken {
			return nil, "", fmt.Errorf("line %d is neither TOKEN nor NAME TOKEN [ROLE] with a token of at least %d characters", n+1, leastToken)
		}
		g, err := parseGrant(name, rest)
		if err != nil {
			return nil, "", fmt.Errorf("line %d: %w", n+1, err)
		}
		if own == "" && g.whole() {
			own = token
		}
		out = append(out, tokenEntry{g, sha256.Sum256([]byte(token))})
	}
	if len(out) == 0 {
		return nil, "", errors.New("it holds no token, so that nobody would be let in: write one into it, or delete it to have one made")
	}
	if own == "" {
		return nil, "", errors.New("none of its tokens has the role admin for all connectors, so that nobody could change the others")
	}
	return out, own, nil
}

// Transport shows the first token of that role with requests that show nothing, for those from worker to worker: the workers of a group
// have the same tokens.
func (t *Tokens) Transport(next http.RoundTripper) http.RoundTripper { return &showing{t, next} }

type showing struct {
	tokens *Tokens
	next   http.RoundTripper
}

// RoundTrip sends a request with the token.
func (s *showing) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("Authorization") != "" {
		return s.next.RoundTrip(r)
	}
	s.tokens.mu.Lock()
	_ = s.tokens.load() // the one of before does it
	own := s.tokens.own
	s.tokens.mu.Unlock()
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+own)
	return s.next.RoundTrip(r)
}

// verdict is what a request's credentials are worth.
type verdict uint8

const (
	refused verdict = iota
	allowed
	tooMany // wrong ones of this address of late
)

// judge looks at the credentials of a request. The grant is that of an allowed one.
func (t *Tokens) judge(r *http.Request) (*grant, verdict) {
	token := shownToken(r)
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.blocked(address) {
		return nil, tooMany
	}
	if token == "" {
		return nil, refused // nobody guesses that way
	}
	if err := t.load(); err != nil {
		t.log.Error("the file of tokens cannot be read: those of before count", "file", t.path, "error", err.Error())
		t.stamp = fileStamp{} // the next request tries again
	}
	given, found, g := sha256.Sum256([]byte(token)), 0, grant{}
	for _, e := range t.entries { // all of them, so that time tells nothing
		if same := subtle.ConstantTimeCompare(given[:], e.hash[:]); same == 1 {
			found, g = 1, e.grant
		}
	}
	if found == 1 {
		delete(t.failures, address)
		return &g, allowed
	}
	t.failed(address)
	return nil, refused
}

func (t *Tokens) blocked(address string) bool {
	f := t.failures[address]
	if f != nil && t.now().Sub(f.since) >= failureWindow {
		delete(t.failures, address)
		return false
	}
	return f != nil && f.n >= failureLimit
}

func (t *Tokens) failed(address string) {
	f := t.failures[address]
	if f == nil {
		if len(t.failures) >= failureMemory {
			clear(t.failures)
		}
		f = &failures{since: t.now()}
		t.failures[address] = f
	}
	if f.n++; f.n == failureLimit {
		t.log.Warn("many wrong tokens: the address is not listened to for a while", "address", address, "for", failureWindow)
	}
}

// shownToken is the token of a request, "" for none.
func shownToken(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
