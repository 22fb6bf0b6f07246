// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"fmt"
	"os"

	"freshet/internal/store"
)

// A connector's configuration is durable when PutConnector returns.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := store.Open(dir, store.Options{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = db.Close() }()
	if err := db.PutConnector("persons", []byte(`{"connector.class":"postgres"}`)); err != nil {
		panic(err)
	}
	connectors, err := db.Connectors()
	if err != nil {
		panic(err)
	}
	for _, c := range connectors {
		fmt.Printf("%s %s\n", c.Name, c.Config)
	}
	// Output: persons {"connector.class":"postgres"}
}
