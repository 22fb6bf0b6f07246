// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"fmt"

	"freshet/change"
	"freshet/change/java"
	"freshet/schema"
)

// The exceptions of Kafka Connect that transforms refuse records with.
const (
	dataException    = "org.apache.kafka.connect.errors.DataException"
	connectException = "org.apache.kafka.connect.errors.ConnectException"
	builderException = "org.apache.kafka.connect.errors.SchemaBuilderException"
	illegalArgument  = "java.lang.IllegalArgumentException"
)

// Error is why a record cannot be transformed, in the words of Kafka Connect. The same record is refused again, so it is
// not retriable.
type Error struct {
	Thrown  string // the exception of Kafka Connect
	Message string
	class   string
}

// Exception is the class of Java that Kafka Connect shows in this place.
func (e *Error) Exception() string { return e.Thrown }

// Class is the class of the transform.
func (e *Error) Class() string { return e.class }

// Error is the message.
func (e *Error) Error() string { return e.Message }

// Retriable is false.
func (e *Error) Retriable() bool { return false }

// refuse is a DataException.
func refuse(format string, args ...any) error {
	return &Error{Thrown: dataException, Message: fmt.Sprintf(format, args...)}
}

// step is a transform of a chain: its errors tell its class.
type step struct {
	Transform
	class string
}

// Apply calls the transform.
func (s *step) Apply(r *Record) (bool, error) {
	keep, err := s.Transform.Apply(r)
	if e, ok := err.(*Error); ok { //nolint:errorlint // transforms do not wrap them
		e.class = s.class
	} else if err != nil {
		err = &stepError{s.class, err}
	}
	return keep, err
}

// stepError is another error of a transform.
type stepError struct {
	class string
	error
}

// Class is the transform's.
func (e *stepError) Class() string { return e.class }

// Unwrap is the error.
func (e *stepError) Unwrap() error { return e.error }

// found is the class of a value as messages have it.
func found(t *schema.Type, v change.Value) string {
	if v.IsNull() {
		return "null"
	}
	return java.Class(t, v)
}

// requireStruct refuses a value with a schema that is no struct. purpose is what for.
func requireStruct(t *schema.Type, v change.Value, purpose string) error {
	if v.Kind() == change.Struct {
		return nil
	}
	return refuse("Only Struct objects supported for [%s], found: %s", purpose, found(t, v))
}

// requireMap refuses a value without a schema that is no map.
func requireMap(v change.Value, purpose string) error {
	if v.Kind() == change.Map {
		return nil
	}
	return refuse("Only Map objects supported in absence of schema for [%s], found: %s", purpose, found(nil, v))
}
