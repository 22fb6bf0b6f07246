// SPDX-License-Identifier: Apache-2.0

// Command composecheck checks a compose file as `docker compose config` does, without docker: the file against the
// Compose specification, references between its parts, and variables, which come from the environment.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	if err := check(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "composecheck:", err)
		os.Exit(1)
	}
}

func check(ctx context.Context, files []string) error {
	options, err := cli.NewProjectOptions(files, cli.WithOsEnv, cli.WithResolvedPaths(false))
	if err != nil {
		return err
	}
	project, err := options.LoadProject(ctx)
	if err != nil {
		return err
	}
	if len(project.Services) == 0 {
		return fmt.Errorf("%v has no services", files)
	}
	if os.Getenv("COMPOSECHECK_PRINT") != "" {
		text, err := project.MarshalYAML()
		if err != nil {
			return err
		}
		_, err = os.Stdout.Write(text)
		return err
	}
	return nil
}
