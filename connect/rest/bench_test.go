// SPDX-License-Identifier: Apache-2.0

package rest_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkListConnectors lists 1,000 running connectors with their states and configurations.
func BenchmarkListConnectors(b *testing.B) {
	s := newServer(b, nil)
	const n = 1000
	for i := range n {
		_, _, err := s.herder.Put(b.Context(), fmt.Sprintf("connector-%d", i), map[string]string{"connector.class": "FileStreamSource", "file": fmt.Sprintf("f%d", i), "topic": "t"}, true, "")
		require.NoError(b, err)
	}
	size := int64(0)
	b.ReportAllocs()
	for b.Loop() {
		resp, err := http.Get(s.url + "/connectors?expand=status&expand=info")
		require.NoError(b, err)
		size, err = io.Copy(io.Discard, resp.Body)
		require.NoError(b, err)
		require.NoError(b, resp.Body.Close())
	}
	require.Greater(b, size, int64(n*100))
	b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/list")
}
