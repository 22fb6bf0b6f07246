// SPDX-License-Identifier: Apache-2.0

package emitter

import "errors"

// DataError is a value or schema that the converter refuses, in the words of Kafka Connect's DataException. The same
// data is refused again, so it is not retriable.
type DataError struct {
	Message string
	Field   string // path of the member, such as after.id; "" for the whole
	Err     error  // the cause, where there is one
}

// Error is the message, the cause, and the place.
func (e *DataError) Error() string {
	s := e.Message
	if e.Err != nil {
		s += e.Err.Error()
	}
	if e.Field != "" {
		s += ` (field "` + e.Field + `")`
	}
	return s
}

// Unwrap is the cause.
func (e *DataError) Unwrap() error { return e.Err }

// Retriable is false.
func (e *DataError) Retriable() bool { return false }

// Refuse is a DataError of a message.
func Refuse(message string) error { return &DataError{Message: message} }

// InField adds the name of the member in which err came up.
func InField(name string, err error) error {
	var d *DataError
	if !errors.As(err, &d) {
		return err
	}
	c := *d
	if c.Field == "" {
		c.Field = name
	} else {
		c.Field = name + "." + c.Field
	}
	return &c
}
