// SPDX-License-Identifier: Apache-2.0

//go:build race

package chaos

// The race detector makes every worker slow and large.
const (
	defaultSeeds  = 6
	defaultTxRows = 100_000
	defaultTables = 200
	memoryFactor  = 4
)
