// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"freshet/connect"
)

func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of this binary and of what it is compatible with",
		Args:  arguments(0, 0),
		RunE: func(*cobra.Command, []string) error {
			b := buildOf(a.Version)
			_, err := fmt.Fprintf(a.Out, "freshet %s\ncommit  %s\ngo      %s %s/%s\nas      Kafka Connect %s, Debezium 3.6.1.Final\n",
				b.version, b.commit, runtime.Version(), runtime.GOOS, runtime.GOARCH, connect.CompatibleVersion)
			return err
		},
	}
}

type build struct{ version, commit string }

// buildOf is the version given to the linker, else what the build information says.
func buildOf(version string) build {
	b := build{version, "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	modified := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.commit = s.Value
		case "vcs.modified":
			modified = s.Value == "true"
		}
	}
	if modified && b.commit != "unknown" {
		b.commit += "-modified"
	}
	if b.version == "" {
		b.version = info.Main.Version
	}
	if b.version == "" {
		b.version = "(devel)"
	}
	return b
}
