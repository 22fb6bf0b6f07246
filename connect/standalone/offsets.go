// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"context"
	"fmt"

	"freshet/connect"
)

// Offsets are the durable positions of the connector.
func (h *Herder) Offsets(ctx context.Context, name string) ([]connect.Offset, error) {
	i, err := h.find(name, connect.NotFound)
	if err != nil {
		return nil, err
	}
	if i.made == nil {
		return nil, errInvalid(i)
	}
	return i.made.Offsets(ctx)
}

// errInvalid is the answer to questions that need a valid configuration.
func errInvalid(i *instance) error {
	return fmt.Errorf("the stored configuration of %q is not valid: GET /connectors/%s/status tells why", i.name, i.name)
}

// SetOffsets changes positions of a stopped connector.
func (h *Herder) SetOffsets(ctx context.Context, name string, offsets []connect.Offset) error {
	return h.stopped(ctx, name, func(c *connect.Connector) error { return c.SetOffsets(ctx, offsets) })
}

// ResetOffsets forgets all positions of a stopped connector.
func (h *Herder) ResetOffsets(ctx context.Context, name string) error {
	return h.stopped(ctx, name, func(c *connect.Connector) error { return c.ResetOffsets(ctx) })
}

// stopped runs f on a connector while nothing else changes; the connector must be STOPPED, so that no task overwrites
// what f does.
func (h *Herder) stopped(ctx context.Context, name string, f func(c *connect.Connector) error) error {
	return h.change(ctx, func() error {
		i, err := h.find(name, connect.NotFound)
		switch {
		case err != nil:
			return err
		case i.target != connect.Stopped:
			return connect.NotStopped(name)
		case i.made == nil:
			return errInvalid(i)
		}
		return f(i.made)
	})
}
