// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"github.com/spf13/cobra"

	"freshet/internal/plugins"
	"freshet/internal/worker"
)

func (a *app) distributed() *cobra.Command {
	var insecure bool
	cmd := &cobra.Command{
		Use:   "distributed [worker.properties]",
		Short: "Run a worker of a group that shares its connectors, as connect-distributed does",
		Long: `Runs a worker that shares connectors with all workers of the same group.id: when
one ends, the others take over its tasks. worker.properties are those of Kafka
Connect. Workers of Kafka Connect may be in the same group.

Configurations, states and positions are in Kafka, in the topics that
config.storage.topic, status.storage.topic and offset.storage.topic name;
connectors are made by REST, at any of the workers. SIGINT and SIGTERM drain the
tasks, leave the group and end with exit code 0.

` + fromEnvironment,
		Args: arguments(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			properties, err := a.workerProperties(cmd, args, true)
			if err != nil {
				return err
			}
			return asUsage(worker.RunGroup(cmd.Context(), worker.Options{
				Properties: properties, Environ: a.Environ, Plugins: plugins.All(), Insecure: insecure,
				Commit: buildOf(a.Version).commit, Log: a.log, Levels: a.levels,
			}))
		},
	}
	a.insecureFlag(cmd, &insecure)
	return cmd
}
