// SPDX-License-Identifier: Apache-2.0

// Package offsetio carries positions of source connectors from one place to another: between the offsets topics of clusters,
// offsets files of Kafka Connect's standalone worker, and data folders.
//
// Its main type is Place. Export writes what a place has as one JSON document, Import puts such a document into a place. The
// document has for each connector what GET /connectors/{name}/offsets answers.
package offsetio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"freshet/connect"
	"freshet/emitter/topic"
)

// Place is where positions are. Its owner closes it.
type Place interface {
	// Marks returns all positions, by key.
	Marks(ctx context.Context) ([]topic.Mark, error)
	// Put makes positions durable; one without a value is forgotten.
	Put(ctx context.Context, marks []topic.Mark) error
	Close(ctx context.Context) error
}

// document is positions by connector.
type document map[string]offsets

type offsets struct {
	Offsets []entry `json:"offsets"`
}

type entry struct {
	Partition json.RawMessage `json:"partition"`
	Offset    json.RawMessage `json:"offset"`
}

// DocumentError is a document that is none of positions. Nothing was imported.
type DocumentError struct{ Err error }

// Error is the cause.
func (e *DocumentError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *DocumentError) Unwrap() error { return e.Err }

// Export writes the positions of connectors, of all where none is named, and returns how many connectors that are. One that
// has no position is an error.
func Export(ctx context.Context, from Place, names []string, w io.Writer) (int, error) {
	marks, err := from.Marks(ctx)
	if err != nil {
		return 0, err
	}
	d := document{}
	for _, m := range marks {
		name, partition, ok := split(m.Key)
		if !ok || topic.Hidden(name) || len(names) > 0 && !slices.Contains(names, name) {
			continue // the engine's own, such as a spool
		}
		o := d[name]
		o.Offsets = append(o.Offsets, entry{partition, json.RawMessage(m.Value)})
		d[name] = o
	}
	if err := missing(names, d); err != nil {
		return 0, err
	}
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return len(d), e.Encode(d)
}

// missing names what was asked for and is not there.
func missing(names []string, d document) error {
	var none []string
	for _, name := range names {
		if _, ok := d[name]; !ok {
			none = append(none, fmt.Sprintf("%q", name))
		}
	}
	if len(none) == 0 {
		return nil
	}
	return &DocumentError{fmt.Errorf("there is no position of connector %s; without names all are taken", strings.Join(none, ", "))}
}

// split is connector and partition of a key.
func split(key string) (name string, partition json.RawMessage, ok bool) {
	var parts []json.RawMessage
	if json.Unmarshal([]byte(key), &parts) != nil || len(parts) != 2 || json.Unmarshal(parts[0], &name) != nil {
		return "", nil, false
	}
	return name, parts[1], true
}

// ImportOptions say what is imported, and how.
type ImportOptions struct {
	Names  []string // connectors; all where none is named
	Force  bool     // change positions that are there
	DryRun bool     // change nothing
}

// Result counts positions.
type Result struct {
	Written int // or to be written, in a dry run
	Same    int // were there already
}

// ConflictError are positions that differ from those that are there. Nothing was imported.
type ConflictError struct{ Connectors []string }

// Error names the connectors and the way out.
func (e *ConflictError) Error() string {
	return fmt.Sprintf("there are other positions of connector %s already; look at them with `freshet offsets export`, and give --force to replace them", strings.Join(e.Connectors, ", "))
}

// Import puts the positions of a document into a place. Those that are there already are left alone, so that it may be
// repeated; others of the same partitions are a *ConflictError, unless Force is set.
func Import(ctx context.Context, to Place, r io.Reader, o ImportOptions) (Result, error) {
	d, err := read(r)
	if err != nil {
		return Result{}, err
	}
	if err := missing(o.Names, d); err != nil {
		return Result{}, err
	}
	has, err := to.Marks(ctx)
	if err != nil {
		return Result{}, err
	}
	known := map[string]topic.Mark{}
	for _, m := range has {
		known[meaning(m.Key)] = m
	}
	var out Result
	var marks []topic.Mark
	var conflict ConflictError
	for name, list := range d {
		if len(o.Names) > 0 && !slices.Contains(o.Names, name) {
			continue
		}
		differs := false
		for _, e := range list.Offsets {
			m, err := mark(name, e)
			if err != nil {
				return Result{}, &DocumentError{err}
			}
			old, ok := known[meaning(m.Key)]
			switch {
			case !ok && m.Value == "", ok && meaning(old.Value) == meaning(m.Value):
				out.Same++
				continue
			case ok:
				differs = true
				m.Key = old.Key
			}
			marks = append(marks, m)
		}
		if differs {
			conflict.Connectors = append(conflict.Connectors, fmt.Sprintf("%q", name))
		}
	}
	if len(conflict.Connectors) > 0 && !o.Force {
		slices.Sort(conflict.Connectors)
		return Result{}, &conflict
	}
	out.Written = len(marks)
	if o.DryRun || len(marks) == 0 {
		return out, nil
	}
	slices.SortFunc(marks, func(a, b topic.Mark) int { return strings.Compare(a.Key, b.Key) })
	return out, to.Put(ctx, marks)
}

func read(r io.Reader) (document, error) {
	var d document
	decoder := json.NewDecoder(r)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return nil, &DocumentError{fmt.Errorf("read the positions: %w; the form is that of `freshet offsets export`", err)}
	}
	if decoder.More() {
		return nil, &DocumentError{errors.New("read the positions: there is more behind the document")}
	}
	return d, nil
}

// mark is the position of an entry.
func mark(connector string, e entry) (topic.Mark, error) {
	var partition map[string]json.RawMessage
	if err := json.Unmarshal(e.Partition, &partition); err != nil {
		return topic.Mark{}, fmt.Errorf("connector %q: the partition %s is no object", connector, e.Partition)
	}
	if partition["kafka_topic"] != nil && partition["kafka_partition"] != nil {
		return topic.Mark{}, fmt.Errorf("connector %q is a sink: its positions are offsets of topics, which `freshet topics copy` carries with the topics", connector)
	}
	var key, value bytes.Buffer
	if err := json.Compact(&key, e.Partition); err != nil {
		return topic.Mark{}, err
	}
	m := topic.Mark{Key: connect.MarkKey(connector, key.String())}
	if len(e.Offset) == 0 || string(e.Offset) == "null" {
		return m, nil
	}
	var offset map[string]json.RawMessage
	if err := json.Unmarshal(e.Offset, &offset); err != nil {
		return topic.Mark{}, fmt.Errorf("connector %q: the offset %s is no object", connector, e.Offset)
	}
	if err := json.Compact(&value, e.Offset); err != nil {
		return topic.Mark{}, err
	}
	m.Value = value.String()
	return m, nil
}

// meaning is the same for JSON texts that differ in blanks and in the order of members only.
func meaning(text string) string {
	var v any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return text
	}
	out, err := json.Marshal(v)
	if err != nil {
		return text
	}
	return string(out)
}
