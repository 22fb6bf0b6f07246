// SPDX-License-Identifier: Apache-2.0

package dialect

import (
	"errors"
	"net"
)

// AwayError is why a server takes no connections now. Whoever tries again soon burdens nobody: see connect.
type AwayError struct{ Err error }

// Error is the cause.
func (e *AwayError) Error() string { return e.Err.Error() }

// Unwrap is the cause.
func (e *AwayError) Unwrap() error { return e.Err }

// Away is true.
func (*AwayError) Away() bool { return true }

// Unreachable says whether err is the network's: no server has answered.
func Unreachable(err error) bool {
	var op *net.OpError
	var dns *net.DNSError
	return errors.As(err, &op) || errors.As(err, &dns)
}
