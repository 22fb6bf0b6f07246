// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"freshet/connect/rest"
)

func (a *app) health() *cobra.Command {
	var f workerFlags
	var patience time.Duration
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask a running worker whether it answers, for container health checks",
		Args:  arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.client(a)
			if err != nil {
				return err
			}
			version, err := c.Ping(cmd.Context(), patience)
			if err != nil {
				return fmt.Errorf("worker at %s does not answer: %w", f.url, err)
			}
			_, err = fmt.Fprintf(a.Out, "healthy: %s answers as Kafka Connect %s\n", f.url, version)
			return err
		},
	}
	f.bind(a, cmd, false, rest.DefaultListener, "URL of the worker")
	cmd.Flags().DurationVar(&patience, "timeout", 3*time.Second, "how long to wait for the answer")
	return cmd
}
