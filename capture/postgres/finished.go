// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"freshet/schema"
)

// finishedLimit is how many tables behind the frontier a position tells of. What it does not tell is read again.
const finishedLimit = 64

// finished says what of a snapshot has been handed out: the first tables as a whole, and of some others a part. It is the
// member freshet_blocks of positions inside of a snapshot, and stays small however many tables there are.
type finished struct {
	Version int `json:"v"` // 1
	// State is the pg_current_snapshot() that was read.
	State string `json:"state"`
	// Tables is how many tables are finished from the first on. Hash is of their identities: where it is another one
	// later, tables have come, gone or been renamed among them, and nothing of all this is true any more.
	Tables int    `json:"tables"`
	Hash   string `json:"hash,omitempty"`
	// Parts are tables behind those.
	Parts []finishedPart `json:"parts,omitempty"`
}

// finishedPart is a table of which some blocks are finished.
type finishedPart struct {
	OID  uint32 `json:"oid"`
	File string `json:"file,omitempty"` // of the table: in another one, rows are in other places
	All  bool   `json:"all,omitempty"`
	// Pages are ranges [from, to), in order.
	Pages []pageSpan `json:"pages,omitempty"`
}

// pageSpan is a range of pages, from before to; to is -1 for without end.
type pageSpan [2]int64

// parseFinished reads the member. One that is not as this version writes it is nil: the snapshot is repeated.
func parseFinished(member string) *finished {
	var f finished
	if len(member) == 0 || json.Unmarshal([]byte(member), &f) != nil || f.Version != 1 || f.State == "" {
		return nil
	}
	return &f
}

// identity is the hash of tables, one after the other.
type identity struct{ sum uint64 }

func (i *identity) add(oid uint32, id schema.ID) {
	h := fnv.New64a()
	_, _ = h.Write(strconv.AppendUint(nil, i.sum, 16)) // never fails
	_, _ = h.Write([]byte("/" + strconv.FormatUint(uint64(oid), 10) + "/" + id.String()))
	i.sum = h.Sum64()
}

func (i *identity) String() string {
	if i.sum == 0 {
		return ""
	}
	return strconv.FormatUint(i.sum, 16)
}

// tally keeps what is finished of a snapshot. It belongs to the goroutine that hands batches out.
type tally struct {
	order []*copyTable // of the snapshot
	next  int          // the first table that is not finished
	hash  identity     // of those before
	begun []*copyTable // tables from next on with a finished block
}

// add notes that a block of a table was handed out.
func (f *tally) add(t *copyTable, part string) {
	if t.blocks == nil || part == "" {
		t.done, t.left = nil, 0
	} else {
		t.done, t.left = addSpan(t.done, t.blocks[part]), t.left-1
	}
	if !slices.Contains(f.begun, t) {
		f.begun = append(f.begun, t)
	}
	for f.next < len(f.order) && f.order[f.next].left == 0 {
		t := f.order[f.next]
		f.hash.add(t.OID, t.ID)
		f.next++
		f.begun = slices.DeleteFunc(f.begun, func(b *copyTable) bool { return b == t })
	}
}

// member is the member of the position, "" where it is not known which state is read.
func (f *tally) member(state string) string {
	if state == "" {
		return ""
	}
	m := finished{Version: 1, State: state, Tables: f.next, Hash: f.hash.String()}
	for _, t := range f.begun[:min(len(f.begun), finishedLimit)] {
		part := finishedPart{OID: t.OID, File: t.file, All: t.left == 0}
		if !part.All {
			part.Pages = t.done[:min(len(t.done), finishedLimit)]
		}
		m.Parts = append(m.Parts, part)
	}
	text, err := json.Marshal(m)
	if err != nil {
		return "" // numbers and texts always have a form
	}
	return string(text)
}

// addSpan adds a range to ordered ones, and joins those that touch.
func addSpan(spans []pageSpan, s pageSpan) []pageSpan {
	i, _ := slices.BinarySearchFunc(spans, s, func(x, y pageSpan) int { return int(x[0] - y[0]) })
	spans = slices.Insert(spans, i, s)
	if i+1 < len(spans) && spans[i][1] == spans[i+1][0] {
		spans[i][1] = spans[i+1][1]
		spans = slices.Delete(spans, i+1, i+2)
	}
	if i > 0 && spans[i-1][1] == spans[i][0] {
		spans[i-1][1] = spans[i][1]
		spans = slices.Delete(spans, i, i+1)
	}
	return spans
}

// owed is a table of which rows are still to be read: those of a condition, or all where it is "". Without a key they are
// read at once.
type owed struct {
	*copyTable
	condition string
	keyless   bool
}

// wholeLimit is the size up to which a table without a key, which is read at once, is read again by a window.
const wholeLimit = blockBytes

// remaining makes the parts that a snapshot still owes, of its tables as they are now. ok is false where that cannot be
// said, and the snapshot has to be repeated.
func (f *finished) remaining(tables []*copyTable, o *options) (parts []owed, ok bool) {
	if f.Tables > len(tables) {
		return nil, false
	}
	var hash identity
	for _, t := range tables[:f.Tables] {
		hash.add(t.OID, t.ID)
	}
	if hash.String() != f.Hash {
		return nil, false
	}
	for _, t := range tables[f.Tables:] {
		condition, all := f.condition(t)
		if all {
			continue
		}
		keyless := len(o.keyNames(t.ID, t.Columns, t.Key)) == 0
		if t.override != "" || keyless && t.bytes > wholeLimit {
			return nil, false
		}
		parts = append(parts, owed{t, condition, keyless})
	}
	return parts, true
}

// condition says which rows of a table are still owed: those of pages that were not read, and those that were written
// since the snapshot's state wherever they are now. A row may have moved from a page that was not read into one that was,
// and what the stream says of it may leave values out that only the snapshot would have had. Once the table gets another
// file, all of its rows are.
func (f *finished) condition(t *copyTable) (condition string, all bool) {
	i := slices.IndexFunc(f.Parts, func(p finishedPart) bool { return p.OID == t.OID })
	if i < 0 {
		return "", false
	}
	p := f.Parts[i]
	if p.All {
		return "", true
	}
	xmin, _, _ := strings.Cut(f.State, ":")
	if _, err := strconv.ParseUint(xmin, 10, 64); err != nil || t.file == "" || p.File != t.file {
		return "", false
	}
	where := []string{fmt.Sprintf("(SELECT pg_relation_filenode(%d::oid)) IS DISTINCT FROM %s::oid", t.OID, quoteLiteral(t.file))}
	from := int64(0)
	for _, s := range p.Pages {
		if s[0] > from {
			where = append(where, "("+pageRange(from, s[0])+")")
		}
		from = s[1]
		if from < 0 {
			break
		}
	}
	if from >= 0 {
		where = append(where, "("+pageRange(from, -1)+")")
	}
	where = append(where, "((xmin::text::bigint - "+xmin+") & 4294967295) < 2147483648")
	return strings.Join(where, " OR "), false
}
