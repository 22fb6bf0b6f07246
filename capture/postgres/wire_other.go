// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package postgres

import "net"

// lowWater is for speed on Linux.
func lowWater(net.Conn, int) {}
