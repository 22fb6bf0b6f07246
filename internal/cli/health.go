// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"freshet/connect/rest"
)

func (a *app) health() *cobra.Command {
	var url string
	var patience time.Duration
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Ask a running worker whether it answers, for container health checks",
		Args:  arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := rest.NewClient(url)
			if err != nil {
				return usage(err)
			}
			version, err := c.Ping(cmd.Context(), patience)
			if err != nil {
				return fmt.Errorf("worker at %s does not answer: %w", url, err)
			}
			_, err = fmt.Fprintf(a.Out, "healthy: %s answers as Kafka Connect %s\n", url, version)
			return err
		},
	}
	cmd.Flags().StringVar(&url, "worker", rest.DefaultListener, "URL of the worker")
	cmd.Flags().DurationVar(&patience, "timeout", 3*time.Second, "how long to wait for the answer")
	return cmd
}
