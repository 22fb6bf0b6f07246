// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every metric that the alerts and the dashboard ask for is one that /metrics prints, and is described; every alert has its
// section.
func TestDeployedMetricsExist(t *testing.T) {
	read := func(path string) string {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		return string(text)
	}
	names := strings.Fields(read("testdata/metrics.txt"))
	page := read("../docs/operations/monitoring.md")
	metric := regexp.MustCompile(`\b(?:freshet|cdc)_[a-z0-9_]+|\binvariant_[a-z_]+`)
	for _, path := range []string{"../deploy/alerts.yaml", "../deploy/grafana-dashboard.json"} {
		found := metric.FindAllString(read(path), -1)
		require.NotEmpty(t, found)
		for _, name := range found {
			require.Contains(t, names, strings.TrimSuffix(name, "_bucket"), path)
		}
	}
	for _, name := range names {
		if metric.MatchString(name) {
			require.Contains(t, page, "`"+name+"`", "docs/operations/monitoring.md describes every metric")
		}
	}
	server := read("../docs/operations/postgresql.md")
	alerts := regexp.MustCompile(`alert: (\S+)`).FindAllStringSubmatch(read("../deploy/alerts.yaml"), -1)
	require.NotEmpty(t, alerts)
	for _, a := range alerts {
		require.Contains(t, page, "### "+a[1]+"\n")
		require.Contains(t, read("../deploy/alerts.yaml"), "monitoring.md#"+strings.ToLower(a[1])+"\n")
		require.Contains(t, server, "["+a[1]+"](monitoring.md#"+strings.ToLower(a[1])+")", "and what to look at on the server")
	}
	require.False(t, slices.Contains(names, ""))
}
