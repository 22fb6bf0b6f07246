// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"github.com/spf13/cobra"

	"freshet/config"
	"freshet/internal/worker"
)

// fromEnvironment is what a worker's help says of the environment.
const fromEnvironment = `Without arguments the properties are those of the environment, by the variables of
the image debezium/connect: BOOTSTRAP_SERVERS, GROUP_ID, CONFIG_STORAGE_TOPIC, ...,
and CONNECT_KEY_CONVERTER_SCHEMAS_ENABLE and so on for any property.`

// workerProperties are those of the file that args begin with, or without arguments those of the environment. A worker that
// shares its connectors has defaults of its own there.
func (a *app) workerProperties(cmd *cobra.Command, args []string, shared bool) (map[string]string, error) {
	if len(args) > 0 {
		properties, err := config.ReadProperties(args[0])
		if err != nil {
			return nil, usage(err)
		}
		return properties, nil
	}
	e, err := worker.ReadEnvironment(a.Environ)
	if err != nil {
		return nil, usage(err)
	}
	if e.Properties == nil {
		return nil, usagef("name the file of the worker's properties, or set variables such as BOOTSTRAP_SERVERS; usage: %s", cmd.UseLine())
	}
	for name, level := range e.Levels {
		if name == "root" && cmd.Flags().Changed("log-level") {
			continue
		}
		if _, err := a.levels.Set(name, level); err != nil {
			return nil, usagef("level of logger %s in the environment: %v", name, err)
		}
	}
	for _, name := range e.Idle {
		a.log.Warn("variable of the environment has no effect here: it is about a JVM or its plug-ins", "variable", name)
	}
	if shared {
		return e.Grouped(), nil
	}
	return e.Properties, nil
}
