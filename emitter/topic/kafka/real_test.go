// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"freshet/emitter/topic/topictest"
	"freshet/internal/testdb"
)

// wipe deletes all topics and groups of a broker.
func wipe(t testing.TB, brokers ...string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(brokers...))
	require.NoError(t, err)
	defer client.Close()
	admin := kadm.NewClient(client)
	groups, err := admin.ListGroups(t.Context())
	require.NoError(t, err)
	deleted, err := admin.DeleteGroups(t.Context(), groups.Groups()...)
	require.NoError(t, err)
	if err := deleted.Error(); !errors.Is(err, kerr.GroupIDNotFound) {
		require.NoError(t, err)
	}
	topics, err := admin.ListTopics(t.Context())
	require.NoError(t, err)
	if len(topics) > 0 {
		_, err = admin.DeleteTopics(t.Context(), topics.Names()...)
		require.NoError(t, err)
	}
	waitFor(t, "the topics are gone", func() bool {
		req := kmsg.NewPtrMetadataRequest()
		left, err := req.RequestWith(t.Context(), client)
		return err == nil && !slices.ContainsFunc(left.Topics, func(t kmsg.MetadataResponseTopic) bool { return !t.IsInternal })
	})
}

// waitFor waits until cond is true.
func waitFor(t testing.TB, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, 20*time.Second, 5*time.Millisecond, what)
}

func TestConformanceOnKafka(t *testing.T) {
	broker := testdb.Kafka(t).Address()
	topictest.Run(t, func(t testing.TB) topictest.Store {
		wipe(t, broker)
		return &cluster{[]string{broker}, newMemory()}
	})
}
