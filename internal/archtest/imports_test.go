// SPDX-License-Identifier: Apache-2.0

package archtest

import (
	"slices"
	"strings"
	"testing"
)

// levels is the order of the packages: one imports only what stands in a row above its own. A folder reads on its own,
// and there are no cycles. A new package needs a place here; the comment says what a row is about.
var levels = [][]string{
	// Words; nothing of ours.
	{"schema", "config", "emitter/topic", "emitter/transform/dateformat", "internal/failpoint", "internal/loglevel", "internal/javaserver", "internal/serverproc"},
	// What happened to rows; what is made of words alone.
	{"change", "internal/pgserver", "internal/kafkaserver", "internal/connectserver", "internal/registryserver", "internal/mysqlserver", "config/provider", "internal/topicio", "internal/verify", "internal/history"},
	// Contracts.
	{
		"capture", "sinks", "internal/store",
		"change/java", "schema/ddl", "schema/history", "schema/registry", "sinks/jdbc/dialect", "sinks/jdbc/render",
	},
	// What is one target's own; what is between sources, sinks and the log.
	{"sinks/jdbc/postgres", "sinks/jdbc/mysql", "sinks/jdbc/sqlite", "emitter/transform"},
	// Generic engines, and targets.
	{"snapshot", "emitter", "sinks/jdbc", "sinks/file", "emitter/topic/local", "emitter/topic/kafka"},
	// What formats share.
	{"emitter/confluent"},
	// Databases and formats.
	{"capture/postgres", "capture/file", "emitter/json", "emitter/plain", "emitter/avro", "emitter/protobuf", "internal/kafkaclient"},
	// Formats made of another.
	{"emitter/cloudevents", "emitter/jsonschema"},
	// The worker.
	{"connect"},
	// What a group of workers shares: who gets which tasks, and topics.
	{"connect/cluster/assign", "connect/cluster/backing"},
	// Who decides what runs, and the list of all plug-ins.
	{"connect/rest", "connect/standalone", "connect/cluster/group", "internal/plugins", "internal/doctor"},
	// The herder of a group of workers.
	{"connect/cluster"},
	// A whole process.
	{"internal/worker", "internal/topicsource", "internal/offsetio", "internal/topiccopy"},
	// What a process does with a worker in it.
	{"internal/replicate", "internal/demo"},
	// Flags.
	{"internal/cli"},
	// Programs.
	{"cmd/freshet", "internal/docgen", "internal/pgserver/install", "internal/kafkaserver/install", "internal/connectserver/install", "internal/registryserver/install", "internal/mysqlserver/install"},
}

// testOnly are packages for tests: they may import anything, and only tests and each other import them.
var testOnly = []string{
	"internal/archtest", "internal/testdb", "internal/store/storetest", "capture/capturetest", "capture/postgres/walsendertest", "connect/connecttest",
	"emitter/emittertest", "emitter/topic/topictest", "sinks/sinktest", "schema/registry/registrytest",
}

// drivers says who may import the modules that talk to the outside. A module that is not listed may be imported by any
// package from level 1 on; a test may import all of them.
var drivers = map[string][]string{
	"github.com/jackc/pgx/v5":                    {"capture/postgres", "sinks/jdbc/postgres", "internal/verify", "internal/replicate", "internal/demo"},
	"github.com/go-sql-driver/mysql":             {"sinks/jdbc/mysql"},
	"modernc.org/sqlite":                         {"sinks/jdbc/sqlite"},
	"github.com/jackc/pglogrepl":                 {"capture/postgres", "internal/replicate"},
	"github.com/cockroachdb/pebble/v2":           {"internal/store"},
	"github.com/fergusstrange/embedded-postgres": {"internal/pgserver"},
	"github.com/twmb/franz-go":                   {"emitter/topic/kafka", "internal/kafkaclient", "connect/cluster/backing", "connect/cluster/group", "schema/registry", "test/peer"},
	"github.com/twmb/franz-go/pkg/kfake":         testOnly,
	"github.com/bufbuild/protocompile":           {"emitter/protobuf"},
	"github.com/google/cel-go":                   {"emitter/transform"},
	"github.com/spf13/cobra":                     {"internal/cli"},
	"github.com/prometheus/client_golang":        {"connect", "connect/rest", "internal/worker"},
	"github.com/vbauerster/mpb/v8":               {"internal/replicate"},
	"github.com/stretchr/testify":                testOnly,
	"go.uber.org/goleak":                         testOnly,
	"github.com/Shopify/toxiproxy/v2":            testOnly,
	"github.com/rs/zerolog":                      testOnly,
	"github.com/twmb/franz-go/pkg/sr":            {"schema/registry"},
	"net/http":                                   {"schema/registry", "connect/rest", "internal/worker", "internal/topicsource", "internal/demo", "internal/cli", "internal/pgserver", "internal/kafkaclient", "internal/registryserver"},
}

func levelOf(pkg string) (int, bool) {
	for n, row := range levels {
		if slices.Contains(row, pkg) {
			return n, true
		}
	}
	return 0, false
}

func TestEveryPackageHasALevel(t *testing.T) {
	for _, pkg := range packages(t) {
		if _, ok := levelOf(pkg); !ok && !isTestOnly(pkg) {
			t.Errorf("package %s has no place in the table of levels: give it one", pkg)
		}
	}
}

func TestImportsGoToLowerLevelsOnly(t *testing.T) {
	eachFile(t, func(f *file) {
		if f.test() || isTestOnly(f.pkg) {
			return
		}
		from, _ := levelOf(f.pkg)
		for _, imported := range f.imports {
			pkg, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				continue
			}
			to, known := levelOf(pkg)
			switch {
			case isTestOnly(pkg):
				t.Errorf("%s imports %s, which is for tests only", f.name, pkg)
			case known && to >= from:
				t.Errorf("%s: %s (level %d) imports %s (level %d); imports go from a higher level to a lower one, never sideways",
					f.name, f.pkg, from, pkg, to)
			}
		}
	})
}

func TestDriversStayWhereTheyAreUsed(t *testing.T) {
	eachFile(t, func(f *file) {
		if f.test() || isTestOnly(f.pkg) {
			return
		}
		level, _ := levelOf(f.pkg)
		for _, imported := range f.imports {
			for driver, allowed := range drivers {
				if within(imported, driver) && !slices.Contains(allowed, f.pkg) {
					t.Errorf("%s imports %s; only %s may", f.name, imported, strings.Join(allowed, ", "))
				}
			}
			if level == 0 && thirdParty(imported) {
				t.Errorf("%s imports %s; level 0 is the standard library only", f.name, imported)
			}
		}
	})
}

// The tables themselves must not go stale.
func TestTablesNameWhatExists(t *testing.T) {
	var imports []string
	eachFile(t, func(f *file) { imports = append(imports, f.imports...) })
	for driver := range drivers {
		if !slices.ContainsFunc(imports, func(i string) bool { return within(i, driver) }) {
			t.Errorf("nobody imports %s any more: take it from the table of drivers", driver)
		}
	}
	seen := map[string]bool{}
	for _, row := range levels {
		for _, pkg := range row {
			if seen[pkg] {
				t.Errorf("package %s stands in the table of levels twice", pkg)
			}
			seen[pkg] = true
		}
	}
}

func isTestOnly(pkg string) bool {
	return slices.Contains(testOnly, pkg) || strings.HasPrefix(pkg, "test/")
}

func within(imported, module string) bool {
	return imported == module || strings.HasPrefix(imported, module+"/")
}

func thirdParty(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	return strings.Contains(first, ".")
}
