// SPDX-License-Identifier: Apache-2.0

//go:build race

package chaos

// defaultSeeds is small: the race detector makes every worker slow.
const defaultSeeds = 6
