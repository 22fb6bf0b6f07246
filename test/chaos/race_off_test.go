// SPDX-License-Identifier: Apache-2.0

//go:build !race

package chaos

const (
	defaultSeeds  = 50
	defaultTxRows = 1_000_000
	defaultTables = 1000
	memoryFactor  = 1
)
