// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package worker

import "context"

// releasePages does nothing here.
func releasePages(context.Context) {}
