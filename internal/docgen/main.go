// SPDX-License-Identifier: Apache-2.0

// Command docgen writes docs/reference from the declarations of the properties, so that the documentation says what the
// program does. With -check it writes nothing and fails where a file is not what it would write.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"freshet/config"
	"freshet/connect"
	"freshet/internal/kafkaclient"
	"freshet/internal/plugins"
	"freshet/internal/worker"
)

func main() {
	dir := flag.String("dir", filepath.Join("docs", "reference"), "folder to write")
	check := flag.Bool("check", false, "compare instead of writing")
	flag.Parse()
	if err := run(*dir, *check, pages(plugins.All())); err != nil {
		fmt.Fprintln(os.Stderr, "docgen:", err)
		os.Exit(1)
	}
}

// run makes the folder hold exactly the given pages, or says how it differs.
func run(dir string, check bool, pages map[string][]byte) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		path := filepath.Join(dir, name)
		have, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if bytes.Equal(have, pages[name]) && err == nil {
			continue
		}
		if check {
			errs = append(errs, fmt.Errorf("%s is not up to date: run make docs", path))
			continue
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, pages[name], 0o644); err != nil {
			return err
		}
	}
	return errors.Join(append(errs, stale(dir, check, pages)...)...)
}

// stale removes pages of components that are no more.
func stale(dir string, check bool, pages map[string][]byte) []error {
	var errs []error
	found, _ := filepath.Glob(filepath.Join(dir, "*.md")) // the only error is a bad pattern
	for _, path := range found {
		if _, ok := pages[filepath.Base(path)]; ok {
			continue
		}
		if check {
			errs = append(errs, fmt.Errorf("%s belongs to nothing: run make docs", path))
		} else if err := os.Remove(path); err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// pages renders a page for each connector, one for each other kind of plug-in, those of the properties that belong to no
// plug-in, and an index.
func pages(all *connect.Plugins) map[string][]byte {
	out := map[string][]byte{}
	var index bytes.Buffer
	index.WriteString("# Reference\n\n" + generated + "\n| page | what |\n|---|---|\n")
	for _, g := range append(groups(all.List()), shared()...) {
		out[g.file] = g.page()
		fmt.Fprintf(&index, "| [%s](%s) | %s |\n", g.title, g.file, g.what())
	}
	for _, t := range tables() {
		out[t.file] = t.page()
		fmt.Fprintf(&index, "| [%s](%s) | %s |\n", t.title, t.file, t.about)
	}
	out["openapi.yaml"] = openapi()
	index.WriteString("| [OpenAPI](openapi.yaml) | the REST API; a worker answers GET /openapi.json with its own |\n")
	out["README.md"] = index.Bytes()
	return out
}

// shared are the pages of properties that belong to no plug-in.
func shared() []*group {
	return []*group{
		{
			file: "connectors.md", title: "properties of every connector",
			about: "what Kafka Connect itself defines for connectors; a connector's own declaration of a name goes before",
			plugins: []config.Plugin{
				{Name: "sources", Def: connect.CommonDef("source", "")},
				{Name: "sinks", Def: connect.CommonDef("sink", "")},
			},
		},
		{
			file: "worker.md", title: "worker", about: "`worker.properties` of `freshet standalone`",
			plugins: []config.Plugin{{Def: worker.Definition()}},
		},
		{
			file: "worker-distributed.md", title: "worker of a group", about: "`worker.properties` of `freshet distributed`",
			plugins: []config.Plugin{{Def: worker.GroupDefinition()}},
		},
		{
			file: "kafka-clients.md", title: "Kafka clients",
			about: "where topics are in Kafka: `producer.*`, `consumer.*` and `admin.*` of the worker, `producer.override.*` and so on of a connector. " +
				"Security settings of the worker without a prefix reach admin clients only, as in Kafka Connect",
			plugins: []config.Plugin{
				{Name: "producer", Def: kafkaclient.Producer.Def()},
				{Name: "consumer", Def: kafkaclient.Consumer.Def()},
				{Name: "admin", Def: kafkaclient.Admin.Def()},
			},
		},
	}
}
