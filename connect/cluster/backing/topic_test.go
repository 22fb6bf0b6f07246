// SPDX-License-Identifier: Apache-2.0

package backing

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"freshet/internal/testdb"
)

// requireTopic wants a topic with partitions and settings, all others as by default.
func requireTopic(t testing.TB, admin *kadm.Client, name string, partitions int, settings map[string]string) {
	t.Helper()
	topics, err := admin.ListTopics(t.Context(), name)
	require.NoError(t, err)
	require.NoError(t, topics.Error())
	require.Len(t, topics[name].Partitions, partitions, name)
	configs, err := admin.DescribeTopicConfigs(t.Context(), name)
	require.NoError(t, err)
	got := map[string]string{}
	for _, c := range configs[0].Configs {
		if c.Source == kmsg.ConfigSourceDynamicTopicConfig {
			got[c.Key] = *c.Value
		}
	}
	require.Equal(t, settings, got, name)
}

// recordedStart is a recorded start of a distributed worker.
func recordedStart(t testing.TB, name string) (properties map[string]string, errors string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(recordings, "standalone", name))
	require.NoError(t, err)
	var v struct {
		Properties string   `json:"worker_properties"`
		Errors     []string `json:"log_errors"`
	}
	require.NoError(t, json.Unmarshal(text, &v))
	properties = map[string]string{}
	for line := range strings.Lines(v.Properties) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		properties[key] = value
	}
	return properties, strings.Join(v.Errors, "\n")
}

func TestTopicsThatAreRefused(t *testing.T) {
	broker := testdb.Kafka(t).Address()
	admin := adminOf(t, broker)
	for _, c := range []struct {
		recording, policy string
		partitions        int32
	}{
		{"distributed-config-topic-delete.json", "delete", 1},
		{"distributed-config-topic-two-partitions.json", "compact", 2},
	} {
		t.Run(c.recording, func(t *testing.T) {
			properties, errors := recordedStart(t, c.recording)
			name := properties["config.storage.topic"]
			_, err := admin.CreateTopic(t.Context(), c.partitions, 1, map[string]*string{"cleanup.policy": &c.policy}, name)
			require.NoError(t, err)
			o := optionsFor(name, broker)
			o.Config.Name = name
			err = NewConfigs(o).Start(t.Context(), nil)
			var refused *TopicError
			require.ErrorAs(t, err, &refused)
			require.Contains(t, errors, "ConfigException: "+refused.Message)
		})
	}
	t.Run("offsets and statuses", func(t *testing.T) {
		policy := "compact,delete"
		_, err := admin.CreateTopics(t.Context(), 3, 1, map[string]*string{"cleanup.policy": &policy}, "refused-offsets", "refused-status")
		require.NoError(t, err)
		o := optionsFor("refused", broker)
		require.ErrorContains(t, NewOffsets(o).Start(t.Context()), "Topic 'refused-offsets' supplied via the 'offset.storage.topic' property is required to have 'cleanup.policy=compact' "+
			"to guarantee consistency and durability of source connector offsets, but found the topic currently has 'cleanup.policy=compact,delete'.")
		require.ErrorContains(t, NewStatuses(o).Start(t.Context()), "eventually losing connector and task statuses")
	})
}

func TestSettingsOfATopic(t *testing.T) {
	properties, _ := recordedStart(t, "distributed-config-partitions.json")
	settings, dropped := SettingsOf(properties, "config.storage.")
	require.True(t, dropped)
	broker := testdb.Kafka(t).Address()
	o := optionsFor("settings", broker)
	o.Config.Settings, o.Config.Partitions = settings, 3
	startConfigs(t, o)
	requireTopic(t, adminOf(t, broker), o.Config.Name, 1, map[string]string{"cleanup.policy": "compact", "segment.bytes": "1048576"})
}
