// SPDX-License-Identifier: Apache-2.0

package testdb

import (
	"context"
	"os"
	"sync"
	"testing"

	"freshet/internal/registryserver"
)

// registry is the schema registry of this test binary, started by the first test that asks.
var registry = sync.OnceValues(func() (*registryserver.Server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), findTimeout)
	defer cancel()
	p, err := registryserver.Find(ctx, nil)
	if err != nil {
		return nil, err
	}
	return registryserver.New(ctx, p)
})

// envRegistry names a registry of the user's own.
const envRegistry = "FRESHET_REGISTRY_URL"

// Registry is the address of a real schema registry: the one that FRESHET_REGISTRY_URL names, else one that the test binary
// shares. Subjects of other tests are in it too. It ends with the process.
func Registry(t testing.TB) string {
	t.Helper()
	if url := os.Getenv(envRegistry); url != "" {
		return url
	}
	s, err := registry()
	if err != nil {
		missing(t, "registry", err)
	}
	return s.URL()
}
