// SPDX-License-Identifier: Apache-2.0

package change

// Stage is where a record fails on its way between a database and a topic, as Kafka Connect names it.
type Stage string

// The stages.
const (
	StageKey       Stage = "KEY_CONVERTER"
	StageValue     Stage = "VALUE_CONVERTER"
	StageHeader    Stage = "HEADER_CONVERTER"
	StageTransform Stage = "TRANSFORMATION"
	StageWrite     Stage = "TASK_PUT" // the target refused it
)

// StageError is an error that tells where a record failed.
type StageError struct {
	Stage Stage
	Err   error
}

// Error is that of the cause.
func (e *StageError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *StageError) Unwrap() error { return e.Err }
