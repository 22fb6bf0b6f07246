// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"errors"
	"fmt"
	"strings"

	"freshet/capture"
	"freshet/sinks"
)

// Retriable says whether trying again can mend err: true unless an error in its tree says that it cannot.
func Retriable(err error) bool {
	if err == nil {
		return true
	}
	if r, ok := err.(interface{ Retriable() bool }); ok && !r.Retriable() {
		return false
	}
	switch u := err.(type) { //nolint:errorlint // the tree is walked here
	case interface{ Unwrap() error }:
		return Retriable(u.Unwrap())
	case interface{ Unwrap() []error }:
		for _, e := range u.Unwrap() {
			if !Retriable(e) {
				return false
			}
		}
	}
	return true
}

// away says whether err is that a server takes no connections now.
func away(err error) bool {
	var a interface{ Away() bool }
	return errors.As(err, &a) && a.Away()
}

// finalError is an error of the runtime itself that retrying cannot mend.
type finalError struct{ error }

// Retriable is false.
func (finalError) Retriable() bool { return false }

// Unwrap is the cause.
func (f finalError) Unwrap() error { return f.error }

// settingError is a setting that the start of a task stumbles over, though validation takes it. Kafka Connect shows a
// ConfigException inside of two others.
type settingError struct{ error }

// Retriable is false.
func (settingError) Retriable() bool { return false }

// PreflightError is why a connector cannot work, with the faults that the checks before its start had found.
type PreflightError struct {
	Connector string
	Findings  []capture.Finding // those that failed
	Err       error
}

// Error is the cause, then the findings, each with what mends it.
func (e *PreflightError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v; the checks before the start of %q had found %d fault(s):", e.Err, e.Connector, len(e.Findings))
	for _, f := range e.Findings {
		fmt.Fprintf(&b, "\n\t%s", f.Subject)
		if f.Seen != "" {
			fmt.Fprintf(&b, " is %s", f.Seen)
		}
		if f.Detail != "" {
			b.WriteString(": " + f.Detail)
		}
		if f.Fix != "" {
			b.WriteString("; to mend it: " + f.Fix)
		}
	}
	return b.String()
}

// Unwrap is the cause.
func (e *PreflightError) Unwrap() error { return e.Err }

// Retriable is false: only an operator can mend it.
func (*PreflightError) Retriable() bool { return false }

// Kinds of plug-ins that run as tasks.
const (
	sourceKind = "source"
	sinkKind   = "sink"
)

// headline is the first line of a trace: the exception that Kafka Connect shows in this place. Monitoring matches it.
func headline(kind string) string {
	if kind == sinkKind {
		return "org.apache.kafka.connect.errors.ConnectException: Exiting WorkerSinkTask due to unrecoverable exception."
	}
	return "org.apache.kafka.connect.errors.ConnectException: An exception occurred in the change event producer. This connector will be stopped."
}

// traceOf is the trace of a failed task: Connect's exception, then the cause with its next step. A record that failed has the
// exception and the words that Connect has for it.
func traceOf(kind string, err error) string {
	var setting settingError
	if errors.As(err, &setting) {
		outer := connectException + ": "
		inner := "org.apache.kafka.common.config.ConfigException: " + RedactText(setting.Error())
		return outer + outer + inner + "\nCaused by: " + outer + inner + "\nCaused by: " + inner + "\n"
	}
	var failed *ToleranceError
	if errors.As(err, &failed) {
		var places []string
		_, message := exceptionOf(failed.Err)
		if context, ok := strings.CutSuffix(failed.Err.Error(), ": "+message); kind == sinkKind {
			places = append(places, place(err))
		} else if ok {
			places = append(places, context)
		}
		return connectException + ": Tolerance exceeded in error handler\nCaused by: " + RedactText(stackOf(failed.Err, places...))
	}
	return headline(kind) + "\nCaused by: " + RedactText(err.Error()) + "\n"
}

// place names the record that an error is about.
func place(err error) string {
	var row *sinks.RowError
	if !errors.As(err, &row) {
		return "an unknown record"
	}
	return fmt.Sprintf("record %s-%d@%d (key %s)", row.Topic, row.Partition, row.Offset, RedactText(row.Key))
}

// ConnectorTrace is the trace of a connector that FAILED by itself.
func ConnectorTrace(err error) string {
	return "org.apache.kafka.connect.errors.ConnectException: " + RedactText(err.Error()) + "\n"
}
