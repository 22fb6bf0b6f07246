// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"cmp"
	"crypto"
	_ "crypto/md5"    //nolint:gosec // users name the digest: it masks, and protects nothing
	_ "crypto/sha1"   //nolint:gosec // the same
	_ "crypto/sha256" // digests register themselves
	_ "crypto/sha3"
	_ "crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"freshet/change"
	"freshet/config"
	"freshet/schema"
)

// columnRule is one property that changes columns as they are emitted. Of all rules the first that matches a column
// counts, in the order of the kinds. Keys are never changed.
type columnRule struct {
	kind    ruleKind
	columns []*regexp.Regexp // against schema.table.column, or with the database in front; of types against schema.table.type
	n       int              // characters
	digest  crypto.Hash
	java    bool // what is digested is the text as Java serializes it
	salt    string
}

type ruleKind uint8

// The kinds, in the order in which they are looked at.
const (
	ruleTruncate ruleKind = iota
	ruleMask
	rulePropagate
	rulePropagateType
	ruleHash
	ruleHashV2
)

var (
	truncateName = regexp.MustCompile(`^column\.truncate\.to\.(\d+)\.chars$`)
	maskName     = regexp.MustCompile(`^column\.mask\.with\.(\d+)\.chars$`)
	hashName     = regexp.MustCompile(`^column\.mask\.hash\.(v2\.)?([^.]+)\.with\.salt\.(.+)$`)
)

// digests are those of the Java platform, by its names without hyphens.
var digests = map[string]crypto.Hash{
	"MD5": crypto.MD5, "SHA": crypto.SHA1, "SHA1": crypto.SHA1, "SHA224": crypto.SHA224, "SHA256": crypto.SHA256, "SHA384": crypto.SHA384,
	"SHA512": crypto.SHA512, "SHA512/224": crypto.SHA512_224, "SHA512/256": crypto.SHA512_256,
	"SHA3224": crypto.SHA3_224, "SHA3256": crypto.SHA3_256, "SHA3384": crypto.SHA3_384, "SHA3512": crypto.SHA3_512,
}

func digestOf(name string) (crypto.Hash, bool) {
	h, ok := digests[strings.ReplaceAll(strings.ToUpper(name), "-", "")]
	return h, ok
}

// parseColumnRules reads the rules of a configuration.
func parseColumnRules(v config.Values) ([]columnRule, error) {
	var rules []columnRule
	raw := v.Raw()
	for _, name := range slices.Sorted(maps.Keys(raw)) { // by name where two of one kind match, the same at each start
		value, r := raw[name], columnRule{}
		switch name {
		case "column.propagate.source.type":
			r.kind = rulePropagate
		case "datatype.propagate.source.type":
			r.kind = rulePropagateType
		default:
			if reason := checkDigest(name) + checkLength(name); reason != "" {
				return nil, fmt.Errorf("property %q: %s", name, reason)
			}
			if !r.parseName(name) {
				continue
			}
		}
		for _, expr := range config.SplitList(value) {
			re, err := compileFilter(expr)
			if err != nil {
				return nil, fmt.Errorf("property %q: %w", name, err)
			}
			r.columns = append(r.columns, re)
		}
		rules = append(rules, r)
	}
	slices.SortStableFunc(rules, func(a, b columnRule) int { // shorter texts first, where two rules of one kind match
		if a.kind != b.kind {
			return int(a.kind) - int(b.kind)
		}
		return a.n - b.n
	})
	return rules, nil
}

// checkDigest refuses a digest in a property's name that there is not.
func checkDigest(name string) string {
	m := hashName.FindStringSubmatch(name)
	if m == nil {
		return ""
	}
	if _, ok := digestOf(m[2]); !ok {
		return fmt.Sprintf("the digest %q is not known; use one such as SHA-256", m[2])
	}
	return ""
}

// checkLength refuses a number of characters in a property's name that nobody means.
func checkLength(name string) string {
	const most = 1 << 20
	for _, family := range []*regexp.Regexp{truncateName, maskName} {
		if m := family.FindStringSubmatch(name); m != nil {
			if n, err := strconv.Atoi(m[1]); err != nil || n > most {
				return fmt.Sprintf("%s characters are too many; there may be %d", m[1], most)
			}
		}
	}
	return ""
}

// parseName reads what the name of a property says.
func (r *columnRule) parseName(name string) bool {
	if m := truncateName.FindStringSubmatch(name); m != nil {
		r.kind = ruleTruncate
		r.n, _ = strconv.Atoi(m[1])
		return true
	}
	if m := maskName.FindStringSubmatch(name); m != nil {
		r.kind = ruleMask
		r.n, _ = strconv.Atoi(m[1])
		return true
	}
	m := hashName.FindStringSubmatch(name)
	if m == nil {
		return false
	}
	r.kind, r.java, r.salt = ruleHash, true, m[3]
	if m[1] != "" {
		r.kind, r.java = ruleHashV2, false
	}
	var known bool
	r.digest, known = digestOf(m[2])
	return known
}

// ruleFor is the rule of a column, nil for none.
func (o *options) ruleFor(id schema.ID, column, typ string) *columnRule {
	name := id.Schema + "." + id.Name + "."
	for i := range o.ColumnRules {
		r := &o.ColumnRules[i]
		what := name + column
		if r.kind == rulePropagateType {
			what = name + typ
		}
		if matchIndex(r.columns, what) >= 0 || matchIndex(r.columns, o.Database+"."+what) >= 0 {
			return r
		}
	}
	return nil
}

// columnUse is a column as rules see it.
type columnUse struct {
	info       ColumnInfo
	t          resolved
	elemName   string // of an array's elements
	domainName string // of the column's domain, "" for none
}

// useOf looks a column's type up.
func useOf(types *Registry, info ColumnInfo) *columnUse {
	u := &columnUse{info: info, t: types.resolve(info.TypeOID, info.Typmod)}
	if t := types.lookup(u.t.elem); u.t.elem != 0 && t != nil {
		u.elemName = t.name
	}
	if t := types.lookup(info.TypeOID); u.t.domain && t != nil {
		u.domainName = t.name
	}
	return u
}

// isText says whether masks change the values of a type: those that Java calls character types.
func (u *columnUse) isText() bool {
	if u.t.elem != 0 {
		return false
	}
	switch u.t.name {
	case "bpchar", "varchar", "text", "citext", "char", "name":
		return true
	}
	return u.t.kind == enumType
}

// ruled is what a rule makes of a column's values. apply replaces the value that stands in the arena from mark on; null,
// if not nil, stands for null, and for what the server did not send of a key's tuple.
type ruled struct {
	secret bool // the value must not be told, in errors neither
	apply  func(b *change.Batch, v change.Value) change.Value
	null   []byte
}

// ruleColumn changes a column as it is emitted, and returns what happens to its values; nil where they stay as they are.
func (o *options) ruleColumn(id schema.ID, c *schema.Column, u *columnUse) *ruled {
	r := o.ruleFor(id, u.info.Name, cmp.Or(u.domainName, u.t.name))
	if r == nil {
		return nil
	}
	switch r.kind {
	case ruleTruncate:
		if n, _, _ := u.size(); n <= r.n {
			return nil
		}
		addParam(c, "truncateLength", strconv.Itoa(r.n))
		if c.Type.Kind != schema.String && (c.Type.Kind != schema.Bytes || c.Type.Name != "") {
			return nil
		}
		c.Fallback, c.Unavailable = cutLiteral(c.Fallback, r.n), cutLiteral(c.Unavailable, r.n)
		return &ruled{apply: func(b *change.Batch, v change.Value) change.Value { return cut(b, v, r.n) }}
	case ruleMask:
		addParam(c, "masked", "true")
		if !u.isText() {
			return nil
		}
		stars := strings.Repeat("*", r.n)
		c.Fallback, c.Unavailable = stars, stars
		return &ruled{secret: true, null: []byte(stars), apply: func(b *change.Batch, _ change.Value) change.Value { return b.Text(stars) }}
	case rulePropagate, rulePropagateType:
		u.propagate(c)
		return nil
	}
	addParam(c, "masked", "true")
	if !u.isText() {
		return nil
	}
	length, _, _ := u.size()
	h := newHasher(r, length)
	for _, lit := range []*any{&c.Fallback, &c.Unavailable} {
		if s, ok := (*lit).(string); ok {
			*lit = string(h.append(nil, []byte(s)))
		}
	}
	return &ruled{secret: true, apply: h.apply}
}

// addParam adds a parameter to a column's schema.
func addParam(c *schema.Column, name, value string) {
	t := *c.Type
	t.Params = append(slices.Clone(t.Params), schema.Param{Name: name, Value: value})
	c.Type = &t
}

// cut shortens a text to n characters as Java counts them, or bytes to n.
func cut(b *change.Batch, v change.Value, n int) change.Value {
	p := b.Bytes(v)
	switch v.Kind() {
	case change.Text:
		if end := cutAt(p, n); end < len(p) {
			return b.TextOf(p[:end])
		}
	case change.Bytes:
		if len(p) > n {
			return b.BytesOf(p[:n])
		}
	}
	return v
}

// cutAt is the length of the first n UTF-16 units; a character of two is not split.
func cutAt(p []byte, n int) int {
	end := 0
	for end < len(p) && n > 0 {
		r, size := utf8.DecodeRune(p[end:])
		if n--; r > 0xffff {
			if n--; n < 0 {
				break
			}
		}
		end += size
	}
	return end
}

func cutLiteral(lit any, n int) any {
	switch x := lit.(type) {
	case string:
		return x[:cutAt([]byte(x), n)]
	case []byte:
		return x[:min(n, len(x))]
	}
	return lit
}

// hasher makes salted digests of texts. Connections of a snapshot share it, so each digest takes a room of its own.
type hasher struct {
	rule   *columnRule
	length int // declared, -1 for none

	mu   sync.Mutex
	free []*hashRoom // at most one for each connection
}

// hashRoom is what one digest is made in.
type hashRoom struct {
	digest hash.Hash
	sum    []byte
	text   []byte
}

func newHasher(r *columnRule, length int) *hasher {
	return &hasher{rule: r, length: length}
}

func (h *hasher) take() *hashRoom {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(h.free); n > 0 {
		room := h.free[n-1]
		h.free = h.free[:n-1]
		return room
	}
	return &hashRoom{digest: h.rule.digest.New()}
}

func (h *hasher) giveBack(room *hashRoom) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.free = append(h.free, room)
}

func (h *hasher) apply(b *change.Batch, v change.Value) change.Value {
	if v.Kind() != change.Text {
		return v
	}
	m := len(b.Arena)
	b.Arena = h.append(b.Arena, b.Bytes(v))
	return b.TextFrom(m)
}

// append appends the digest in hexadecimal digits, cut to the declared length.
func (h *hasher) append(dst, text []byte) []byte {
	room := h.take()
	defer h.giveBack(room)
	room.text = append(room.text[:0], h.rule.salt...)
	if h.rule.java {
		room.text = appendJavaString(room.text, text)
	} else {
		room.text = append(room.text, text...)
	}
	room.digest.Reset()
	_, _ = room.digest.Write(room.text) // never fails
	room.sum = room.digest.Sum(room.sum[:0])
	m := len(dst)
	dst = hex.AppendEncode(dst, room.sum)
	if h.length >= 0 && len(dst)-m > h.length {
		dst = dst[:m+h.length]
	}
	return dst
}

// appendJavaString appends a text as java.io.ObjectOutputStream writes a String: magic, version, TC_STRING with a length of
// two bytes or TC_LONGSTRING with one of eight, and modified UTF-8.
func appendJavaString(dst, text []byte) []byte {
	start := len(dst)
	dst = append(dst, 0xac, 0xed, 0, 5, 0x74, 0, 0)
	body := len(dst)
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		switch {
		case r == 0:
			dst = append(dst, 0xc0, 0x80)
		case r > 0xffff:
			for _, u := range [2]rune{0xd800 + (r-0x10000)>>10, 0xdc00 + (r-0x10000)&0x3ff} {
				dst = append(dst, 0xe0|byte(u>>12), 0x80|byte(u>>6)&0xbf, 0x80|byte(u)&0xbf)
			}
		default:
			dst = append(dst, text[i:i+size]...)
		}
		i += size
	}
	n := len(dst) - body
	if n <= 0xffff {
		binary.BigEndian.PutUint16(dst[body-2:], uint16(n))
		return dst
	}
	long := append([]byte(nil), dst[body:]...)
	dst = append(dst[:start], 0xac, 0xed, 0, 5, 0x7c)
	dst = binary.BigEndian.AppendUint64(dst, uint64(n))
	return append(dst, long...)
}
