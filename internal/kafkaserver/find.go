// SPDX-License-Identifier: Apache-2.0

package kafkaserver

import (
	"context"
	_ "embed"
	"log/slog"

	"freshet/internal/javaserver"
)

// Version is that of Apache Kafka.
const Version = "4.1.1"

// Programs are what a broker is started with.
type Programs = javaserver.Programs

// pom names the jars.
//
//go:embed pom.xml
var pom []byte

// Find makes sure that Java and the jars are there: found, or fetched.
func Find(ctx context.Context, log *slog.Logger) (Programs, error) {
	return javaserver.Jars{Name: "kafka-" + Version, Project: pom}.Find(ctx, log)
}
