// SPDX-License-Identifier: Apache-2.0

//go:build race

package e2e

// largeMB is the size of a large value. The race detector makes it slow for all the other tests too; `make test-large` has the
// whole size.
const largeMB = 16
