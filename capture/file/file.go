// SPDX-License-Identifier: Apache-2.0

// Package file is Kafka Connect's FileStreamSource: the lines of a file, or of standard input, as records of one topic.
//
// The main type is Connector; its reader polls the file for more. The position is the number of bytes up to the end of
// the last line, as in the original for text of single-byte characters; for others the original counts characters and so
// reads some text again, which this one does not. A file that is not there is waited for. A file that is cut or replaced
// is not noticed, as in the original: this is a connector for tests and tutorials.
package file

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"

	"freshet/capture"
	"freshet/config"
)

// Connector is the source.
type Connector struct{}

var _ capture.Connector = (*Connector)(nil)

// New returns the connector.
func New() *Connector { return &Connector{} }

var definition = config.Def{Keys: []config.Key{
	{
		Name: "file", Type: config.String, Importance: config.High, Width: config.WidthNone,
		Doc: "The file to read; standard input where it is not given.",
	},
	{
		Name: "topic", Type: config.String, Required: true, Importance: config.High, Width: config.WidthNone,
		Doc: "The topic to write the lines to.", Check: notEmpty,
	},
	{
		Name: "batch.size", Type: config.Int, Default: "2000", HasDefault: true, Importance: config.Low, Width: config.WidthNone,
		Doc: "The most lines that are read at once.",
	},
}}

func notEmpty(s string, _ config.Values) string {
	if s == "" {
		return "String must be non-empty"
	}
	return ""
}

// Describe declares the connector.
func (*Connector) Describe() capture.Description {
	return capture.Description{
		Plugin: config.Plugin{
			Name: "file-source", Class: "org.apache.kafka.connect.file.FileStreamSourceConnector", Kind: "source", Version: "4.1.1",
			Def: definition,
		},
		Source: capture.SourceBlock{Connector: "file"},
	}
}

// Check finds nothing: a file may come later.
func (*Connector) Check(context.Context, config.Values) ([]capture.Finding, error) { return nil, nil }

// Partition names the file, null for standard input.
func (*Connector) Partition(v config.Values) string {
	if !v.Has("file") {
		return `{"filename":null}`
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v.Get("file")) // a string always encodes
	return `{"filename":` + string(bytes.TrimSpace(b.Bytes())) + `}`
}

// ExactlyOnce says whether what was read can be read again: standard input cannot.
func (*Connector) ExactlyOnce(v config.Values) bool { return v.Has("file") }

// Split makes one task, whatever the limit.
func (*Connector) Split(v config.Values, _ int) ([]config.Values, error) {
	return []config.Values{v}, nil
}

// Open opens a reader at the position.
func (*Connector) Open(_ context.Context, env capture.Env, v config.Values) (capture.Reader, error) {
	at, err := parsePosition(string(env.From))
	if err != nil {
		return nil, err
	}
	r := newReader(v.Get("topic"), max(1, int(v.Int("batch.size"))), at)
	if v.Has("file") {
		r.source = &onDisk{path: v.Get("file"), at: at, log: env.Log}
	} else {
		r.source = standardInput()
		r.position = ""
	}
	return r, nil
}

// positionError is a stored position that is none of this connector.
type positionError struct{ message string }

func (e *positionError) Error() string { return e.message }

// Retriable is false: it stays what it is.
func (e *positionError) Retriable() bool { return false }

// parsePosition reads {"position":N}; null is the beginning.
func parsePosition(from string) (int64, error) {
	if from == "" {
		return 0, nil
	}
	var p struct{ Position json.RawMessage }
	if err := json.Unmarshal([]byte(from), &p); err != nil || p.Position == nil {
		return 0, &positionError{"the stored offset has no position: " + from}
	}
	if string(p.Position) == "null" {
		return 0, nil
	}
	n, err := strconv.ParseInt(string(p.Position), 10, 64)
	if err != nil {
		return 0, &positionError{"Offset position is the incorrect type: " + from}
	}
	return n, nil
}

// CheckOffset says whether a position that is set by hand makes sense, in the original's words. "" is null.
func (*Connector) CheckOffset(partition, offset string) error {
	if partition == "" || partition == "null" {
		return errors.New("Partition objects cannot be null")
	}
	var p, o map[string]json.RawMessage
	if err := json.Unmarshal([]byte(partition), &p); err != nil || p["filename"] == nil {
		return errors.New("Partition objects should contain the key 'filename'")
	}
	if offset == "" || offset == "null" {
		return nil
	}
	if err := json.Unmarshal([]byte(offset), &o); err != nil || o["position"] == nil {
		return errors.New("Offset objects should either be null or contain the key 'position'") //nolint:staticcheck // the reference's words
	}
	n, err := strconv.ParseInt(string(o["position"]), 10, 64)
	switch {
	case err != nil:
		return errors.New("The value for the 'position' key in the offset is expected to be a Long value") //nolint:staticcheck // the reference's words
	case n < 0:
		return errors.New("The value for the 'position' key in the offset should be a non-negative value") //nolint:staticcheck // the reference's words
	}
	return nil
}
