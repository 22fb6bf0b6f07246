// SPDX-License-Identifier: Apache-2.0

// Package plugins is the list of all connectors in the binary: explicit values, so that a reader sees it and a test can
// make its own. Formats and transforms are listed where they are made: in connect and emitter/transform.
package plugins

import (
	"freshet/capture"
	filesource "freshet/capture/file"
	"freshet/capture/postgres"
	"freshet/connect"
	"freshet/sinks"
	filesink "freshet/sinks/file"
	"freshet/sinks/jdbc"
)

// All is the list.
func All() *connect.Plugins {
	return connect.NewPlugins(
		[]capture.Connector{
			postgres.New(),
			filesource.New(),
		},
		[]sinks.Connector{
			jdbc.New(),
			filesink.New(),
		},
	)
}
