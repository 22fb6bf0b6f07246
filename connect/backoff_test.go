// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// awayError is that of a server that takes no connections.
type awayError struct{ error }

func (awayError) Away() bool { return true }

func TestWaitsGrowUnlessTheServerIsAway(t *testing.T) {
	refused := fmt.Errorf("open: %w", awayError{errors.New("connection refused")})
	other := errors.New("no space left")
	for _, c := range []struct {
		name        string
		waits       Backoff
		err         error
		least, most time.Duration // of the eighth wait
	}{
		{"away", DefaultBackoff, refused, awayWait, awayWait},
		{"another error", DefaultBackoff, other, 48 * time.Second, 72 * time.Second},
		{"away, with a wait of the configuration", Backoff{Min: 10 * time.Second, Max: 10 * time.Second}, refused, 8 * time.Second, 12 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := delays{Backoff: c.waits}
			var wait time.Duration
			for range 8 {
				wait = d.nextAfter(c.err)
			}
			require.GreaterOrEqual(t, wait, c.least)
			require.LessOrEqual(t, wait, c.most)
		})
	}
}
