// SPDX-License-Identifier: Apache-2.0

package history

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Row is a row: the JSON text of each column's value, with texts as JSON strings in one spelling.
type Row map[string]string

// event is a record as it was read.
type event struct {
	offset    int64
	op        string // "" for a tombstone
	key       Row    // nil for none
	keyText   string
	before    Row // nil for none
	after     Row
	source    source
	tx        *place // in its transaction; nil where that is not told
	body      string // all of the payload but the time of processing
	tombstone bool
}

// source is the source block.
type source struct {
	Name     string
	DB       string
	Schema   string
	Table    string
	TxID     int64
	LSN      int64
	Snapshot string
	Sequence string
}

// place is the transaction block: which change of the transaction it is, of all and of its table.
type place struct {
	ID    string `json:"id"`
	Total int64  `json:"total_order"`
	Table int64  `json:"data_collection_order"`
	xid   int64
}

// boundary is a record of the topic of transactions.
type boundary struct {
	Status string `json:"status"`
	ID     string `json:"id"`
	Events *int64 `json:"event_count"`
}

// id names the place of a change in the source's log and its part in it: the same change has the same one always.
func (e *event) id() string {
	return fmt.Sprintf("%d/%d/%s/%s", e.source.TxID, e.source.LSN, e.op, e.keyText)
}

// snapshot says whether it is a row of a snapshot.
func (e *event) snapshot() bool { return e.op == "r" }

// lastCommit is the first part of the sequence, 0 for none.
func (e *event) lastCommit() uint64 {
	var parts []*string
	if json.Unmarshal([]byte(e.source.Sequence), &parts) != nil || len(parts) != 2 || parts[0] == nil {
		return 0
	}
	n, _ := strconv.ParseUint(*parts[0], 10, 64)
	return n
}

// envelope is the payload of a value.
type envelope struct {
	Before      json.RawMessage `json:"before"`
	After       json.RawMessage `json:"after"`
	Source      json.RawMessage `json:"source"`
	Op          string          `json:"op"`
	Transaction json.RawMessage `json:"transaction"`
}

// wrapped is a key or value of the JSON converter with schemas.
type wrapped struct {
	Schema *struct {
		Name string `json:"name"`
	} `json:"schema"`
	Payload json.RawMessage `json:"payload"`
}

// unwrap returns the payload, and the name of its schema where there is one.
func unwrap(text []byte) (payload []byte, name string, err error) {
	if !bytes.HasPrefix(text, []byte(`{"schema":`)) {
		return text, "", nil
	}
	var w wrapped
	if err := json.Unmarshal(text, &w); err != nil {
		return nil, "", err
	}
	if w.Schema != nil {
		name = w.Schema.Name
	}
	return w.Payload, name, nil
}

// parse reads a record. names are those of the schemas of key and value, "" where none is told.
func parse(r *Record) (e *event, names [2]string, err error) {
	e = &event{offset: r.Offset}
	if r.Key != nil {
		payload, name, err := unwrap(r.Key)
		if err != nil {
			return nil, names, fmt.Errorf("key: %w", err)
		}
		names[0] = name
		if e.key, err = parseRow(payload); err != nil {
			return nil, names, fmt.Errorf("key: %w", err)
		}
		e.keyText = e.key.text()
	}
	if r.Value == nil || string(r.Value) == "null" {
		e.tombstone = true
		return e, names, nil
	}
	payload, name, err := unwrap(r.Value)
	if err != nil {
		return nil, names, fmt.Errorf("value: %w", err)
	}
	names[1] = name
	var v envelope
	if err := json.Unmarshal(payload, &v); err != nil {
		return nil, names, fmt.Errorf("value: %w", err)
	}
	e.op = v.Op
	e.body = strings.Join([]string{v.Op, string(v.Before), string(v.After), string(v.Source), string(v.Transaction)}, "\x00")
	if err := json.Unmarshal(v.Source, &e.source); err != nil {
		return nil, names, fmt.Errorf("source block: %w", err)
	}
	if len(v.Transaction) > 0 {
		if err := json.Unmarshal(v.Transaction, &e.tx); err != nil {
			return nil, names, fmt.Errorf("transaction block: %w", err)
		}
	}
	if e.before, err = parseRow(v.Before); err != nil {
		return nil, names, fmt.Errorf("before: %w", err)
	}
	if e.after, err = parseRow(v.After); err != nil {
		return nil, names, fmt.Errorf("after: %w", err)
	}
	return e, names, nil
}

// parseRow reads a JSON object; null and nothing are nil.
func parseRow(text []byte) (Row, error) {
	if len(text) == 0 || string(text) == "null" {
		return nil, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return nil, err
	}
	row := make(Row, len(members))
	for name, value := range members {
		row[name] = canonical(value)
	}
	return row, nil
}

// canonical is one spelling of a value: JSON has several for a text.
func canonical(value json.RawMessage) string {
	if len(value) > 0 && value[0] == '"' {
		var s string
		if json.Unmarshal(value, &s) == nil {
			return strconv.Quote(s)
		}
	}
	return string(value)
}

// text is the row in the order of its names.
func (r Row) text() string {
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(r)) {
		value := r[name]
		if len(value) > 60 {
			value = value[:50] + "…" + strconv.Itoa(len(value)) + "…" + fmt.Sprint(fingerprint(Row{name: value}))
		}
		out.WriteString(name + "=" + value + " ")
	}
	return strings.TrimSpace(out.String())
}

// only is the row with these columns; nil where one is missing.
func (r Row) only(columns []string) Row {
	out := make(Row, len(columns))
	for _, name := range columns {
		value, ok := r[name]
		if !ok {
			return nil
		}
		out[name] = value
	}
	return out
}

// differs names the first column in which got is not want; "" for none. Columns that only want has count.
func differs(got, want Row) string {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if value, ok := got[name]; !ok || value != want[name] {
			return name
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			return name
		}
	}
	return ""
}

// fingerprint of a row; a table's is the exclusive or of its rows'.
func fingerprint(r Row) uint64 {
	const offset, prime = 14695981039346656037, 1099511628211
	h := uint64(offset)
	for _, name := range slices.Sorted(maps.Keys(r)) {
		for _, s := range [...]string{name, "\x00", r[name], "\x01"} {
			for i := range len(s) {
				h = (h ^ uint64(s[i])) * prime
			}
		}
	}
	return h
}
