// SPDX-License-Identifier: Apache-2.0

// Package file is Kafka Connect's FileStreamSink: the value of each record as a line at the end of a file, or on standard
// output.
//
// A line is what Java says of the value: a text as it is, Struct{id=1,name=x}, null for a tombstone. Keys are not written.
// A file has no keys by which a record that comes again could be told: after a crash some lines may come twice. What is
// confirmed is on disk.
package file

import (
	"context"
	"fmt"
	"os"

	"freshet/change/java"
	"freshet/config"
	"freshet/sinks"
)

// Connector is the sink.
type Connector struct{}

var _ sinks.Connector = (*Connector)(nil)

// New returns the connector.
func New() *Connector { return &Connector{} }

// Describe declares the connector.
func (*Connector) Describe() config.Plugin {
	return config.Plugin{
		Name: "file-sink", Class: "org.apache.kafka.connect.file.FileStreamSinkConnector", Kind: "sink", Version: "4.1.1",
		Def: config.Def{Keys: []config.Key{{
			Name: "file", Type: config.String, Importance: config.High, Width: config.WidthNone,
			Doc: "The file to append to, which is made if it is not there; standard output where it is not given.",
		}}},
	}
}

// Check finds nothing: the file is opened by the task.
func (*Connector) Check(context.Context, config.Values) []config.Problem { return nil }

// openError is a file that cannot be opened.
type openError struct {
	path string
	err  error
}

func (e *openError) Error() string {
	return fmt.Sprintf("Couldn't find or create file '%s' for FileStreamSinkTask: %v", e.path, e.err)
}

func (e *openError) Unwrap() error { return e.err }

// Retriable is false, as in the original: somebody has to make the folder.
func (e *openError) Retriable() bool { return false }

// Open opens the file.
func (*Connector) Open(_ context.Context, _ sinks.Env, v config.Values) (sinks.Writer, error) {
	if !v.Has("file") {
		return &writer{file: os.Stdout}, nil
	}
	path := v.Get("file")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, &openError{path, err}
	}
	return &writer{file: file, own: true}, nil
}

// writer appends lines. All tasks of a connector append to one file, each batch by one write.
type writer struct {
	file *os.File
	own  bool // not standard output
	buf  []byte
}

// Write appends the lines of a batch.
func (w *writer) Write(_ context.Context, b *sinks.Batch) error {
	w.buf = w.buf[:0]
	for i := range b.Records {
		r := &b.Records[i]
		w.buf = append(java.AppendText(w.buf, r.ValueType, &b.Data, r.Value), '\n')
	}
	if _, err := w.file.Write(w.buf); err != nil {
		return fmt.Errorf("append to file %q: %w", w.file.Name(), err)
	}
	if !w.own {
		return nil
	}
	if err := w.file.Sync(); err != nil {
		return fmt.Errorf("write file %q to disk: %w", w.file.Name(), err)
	}
	return nil
}

// Close closes the file.
func (w *writer) Close(context.Context) error {
	if !w.own || w.file == nil {
		return nil
	}
	err := w.file.Close()
	w.file = nil
	if err != nil {
		return fmt.Errorf("close the file: %w", err)
	}
	return nil
}
