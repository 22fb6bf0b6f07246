// SPDX-License-Identifier: Apache-2.0

package transform_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/config"
	"freshet/emitter/transform"
)

// testdata/keys.tsv is what ConnectorConfig.enrich of Kafka Connect 4.1.1 declares for this configuration, by group and order.
func TestKeysAreThoseOfConnect(t *testing.T) {
	keys := transform.Keys(map[string]string{
		"transforms": "a,b,a", "predicates": "p,q",
		"transforms.a.type": "org.apache.kafka.connect.transforms.TimestampConverter$Value", "transforms.a.target.type": "unix",
		"transforms.b.type": "org.apache.kafka.connect.transforms.ReplaceField$Value",
		"predicates.p.type": "org.apache.kafka.connect.transforms.predicates.TopicNameMatches",
		"predicates.q.type": "org.apache.kafka.connect.transforms.predicates.RecordIsTombstone",
	})
	var got []string
	order := map[string]int{}
	for _, k := range keys {
		def := "null"
		switch {
		case k.Required:
			def = ""
		case k.HasDefault && k.Type == config.List:
			def = "[" + k.Default + "]"
		case k.HasDefault:
			def = k.Default
		}
		got = append(got, fmt.Sprintf("%s\t%s\treq=%v\tdef=%s\t%s\t%s\t%d\t%s\t%s", k.Name, k.Type, k.Required, def, k.Importance, k.Group, order[k.Group], k.Width, k.Display))
		require.Equal(t, order[k.Group] == 0, k.Order == config.FirstInGroup)
		require.NotEmpty(t, k.Doc)
		order[k.Group]++
	}
	text, err := os.ReadFile("testdata/keys.tsv")
	require.NoError(t, err)
	require.ElementsMatch(t, strings.Split(strings.TrimSpace(string(text)), "\n"), got)
	require.Equal(t, "transforms.a.type", keys[0].Name)
	require.Contains(t, keys[0].Recommended, "org.apache.kafka.connect.transforms.Cast$Key")
}

func TestKeysOfUnknownClasses(t *testing.T) {
	keys := transform.Keys(map[string]string{"transforms": "a,b", "transforms.a.type": "x.Y"})
	require.Len(t, keys, 2)
	require.Equal(t, "transforms.a.type", keys[0].Name)
	require.Equal(t, "transforms.b.type", keys[1].Name)
}
