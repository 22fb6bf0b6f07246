// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"freshet/internal/loglevel"
	"freshet/internal/worker"
)

// table is a page that lists something other than properties.
type table struct {
	file, title, about string
	head               []string
	rows               [][]string
}

func (t *table) page() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\n%s\n%s.\n\n", capital(t.title), generated, capital(t.about))
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(t.head, " | "), strings.Repeat("---|", len(t.head)))
	for _, row := range t.rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row, " | "))
	}
	return b.Bytes()
}

// tables are the pages.
func tables() []*table {
	return []*table{loggers(), environment()}
}

func environment() *table {
	t := &table{
		file: "environment.md", title: "environment",
		about: "the variables of the images debezium/connect and Strimzi that `freshet standalone` and `freshet distributed` without a file take. " +
			"A variable that is set and empty is not given",
		head: []string{"variable", "property", "what"},
	}
	for _, v := range worker.Variables {
		property := ""
		if v.Property != "" {
			property = "`" + v.Property + "`"
		}
		t.rows = append(t.rows, []string{"`" + v.Name + "`", property, v.Doc})
	}
	return t
}

func loggers() *table {
	t := &table{
		file: "loggers.md", title: "loggers",
		about: "the names that `PUT /admin/loggers/NAME` takes, and the parts of freshet behind them. A name that stands here for nothing, such as " +
			"`io.debezium`, changes every one that begins with it; `root` changes all; other parts go by `freshet.` and their package",
		head: []string{"logger", "packages"},
	}
	parts := loglevel.Parts()
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		t.rows = append(t.rows, []string{"`" + name + "`", strings.Join(parts[name], ", ")})
	}
	return t
}
