// SPDX-License-Identifier: Apache-2.0

// Package archtest holds tests of the source code itself: which package may import which, that packages have comments,
// that files and functions stay small, and what tests must not do. It has no code of its own.
package archtest
