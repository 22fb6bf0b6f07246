// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
)

// profiles are the files of the profiles of a run, "" for none.
type profiles struct{ cpu, allocs, block string }

// blockRate is how long goroutines wait, in nanoseconds, for one sample of the block profile.
const blockRate = 10_000

// start begins the profiles; the returned function writes them and ends them.
func (p profiles) start() (stop func() error, err error) {
	var stops []func() error
	stop = func() error {
		var err error
		for _, s := range stops {
			err = errors.Join(err, s())
		}
		return err
	}
	if p.cpu != "" {
		f, err := os.Create(p.cpu)
		if err != nil {
			return nil, usagef("--cpu-profile: %v", err)
		}
		if err := pprof.StartCPUProfile(f); err != nil {
			return nil, errors.Join(fmt.Errorf("start the CPU profile: %w", err), f.Close())
		}
		stops = append(stops, func() error {
			pprof.StopCPUProfile()
			return f.Close()
		})
	}
	if p.block != "" {
		runtime.SetBlockProfileRate(blockRate)
	}
	for _, kept := range []struct{ flag, name, path string }{{"--alloc-profile", "allocs", p.allocs}, {"--block-profile", "block", p.block}} {
		if kept.path == "" {
			continue
		}
		f, err := os.Create(kept.path)
		if err != nil {
			return nil, errors.Join(usagef("%s: %v", kept.flag, err), stop())
		}
		stops = append(stops, func() error { return errors.Join(pprof.Lookup(kept.name).WriteTo(f, 0), f.Close()) })
	}
	return stop, nil
}
