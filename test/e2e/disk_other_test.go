// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package e2e

import "testing"

// disks are the ways to fill a disk that there are here: none. What the store does when a write fails is tested beside
// it, on every system.
func disks(*testing.T) []disk { return nil }
