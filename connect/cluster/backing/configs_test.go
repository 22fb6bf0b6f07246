// SPDX-License-Identifier: Apache-2.0

package backing

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"freshet/connect"
	"freshet/internal/testdb"
)

var config = map[string]string{"connector.class": "X", "name": "c", "text": "\u2028\U0001F600\"\x01<é>"}

// Another worker that starts later, and one that runs, see the same.
func TestConfigsAreShared(t *testing.T) {
	o := optionsFor("shared", testdb.Kafka(t).Address())
	a, _ := startConfigs(t, o)
	b, seen := startConfigs(t, o)
	ctx := t.Context()
	require.Equal(t, int64(-1), a.Snapshot().Offset)
	require.NoError(t, a.PutConnector(ctx, "c", config, Paused))
	require.NoError(t, a.PutTasks(ctx, "c", []map[string]string{config, config}))
	require.NoError(t, a.PutRestart(ctx, RestartRequest{Connector: "c", OnlyFailed: true}))
	require.NoError(t, a.PutLoggerLevel(ctx, "x", "DEBUG"))
	require.NoError(t, b.Refresh(ctx))
	require.Equal(t, a.Snapshot(), b.Snapshot())
	require.Equal(t, config, b.Snapshot().Connectors["c"])
	require.Equal(t, Paused, b.Snapshot().Targets["c"])
	require.Len(t, b.Snapshot().Tasks("c"), 2)
	before := b.Snapshot()
	require.Same(t, before, b.Snapshot(), "nothing is copied while nothing changes")
	require.Equal(t, []Event{
		{Kind: ConnectorPut, Connector: "c"},
		{Kind: TasksCommitted, Connector: "c", Tasks: []connect.TaskID{{Connector: "c", Task: 0}, {Connector: "c", Task: 1}}},
		{Kind: RestartRequested, Connector: "c", Restart: RestartRequest{Connector: "c", OnlyFailed: true}},
		{Kind: LoggerLevelPut, Logger: "x", Level: "DEBUG"},
	}, seen.take())
	late, seen := startConfigs(t, o)
	require.Equal(t, a.Snapshot(), late.Snapshot())
	require.Empty(t, seen.take(), "what was there before the start is no event")
	require.NoError(t, a.DeleteConnector(ctx, "c"))
	require.NoError(t, late.Refresh(ctx))
	require.Empty(t, late.Snapshot().Connectors)
	require.Equal(t, []Event{{Kind: ConnectorRemoved, Connector: "c"}}, seen.take())
}

// A leader that was fenced writes nothing any more, and what it has under way is not read.
func TestFencedLeader(t *testing.T) {
	broker := testdb.Kafka(t).Address()
	o := optionsFor("fenced", broker)
	o.Transactional = true
	old, _ := startConfigs(t, o)
	next, _ := startConfigs(t, o)
	ctx := t.Context()
	require.ErrorIs(t, old.PutConnector(ctx, "c", config, ""), ErrFenced, "before the claim")
	require.NoError(t, old.Claim(ctx))
	require.NoError(t, old.PutConnector(ctx, "c", config, ""))

	// The old leader is in the middle of a transaction when the next one claims.
	require.NoError(t, old.leader.BeginTransaction())
	require.NoError(t, old.leader.ProduceSync(ctx, record("connector-lost", propertiesValue(config))).FirstErr())
	require.NoError(t, next.Claim(ctx))
	require.NoError(t, next.PutConnector(ctx, "d", config, ""))
	require.Error(t, old.leader.EndTransaction(ctx, true))
	require.ErrorIs(t, old.PutConnector(ctx, "e", config, ""), ErrFenced)
	require.ErrorIs(t, old.PutTasks(ctx, "c", nil), ErrFenced, "its right is gone")
	require.NoError(t, old.PutTarget(ctx, "c", Paused), "any worker may pause")

	require.NoError(t, next.Refresh(ctx))
	s := next.Snapshot()
	require.Contains(t, s.Connectors, "c")
	require.Contains(t, s.Connectors, "d")
	require.Len(t, s.Connectors, 2)
	require.Equal(t, Paused, s.Targets["c"])
	require.NoError(t, old.Refresh(ctx))
	require.Equal(t, s, old.Snapshot())

	require.NoError(t, old.Claim(ctx), "it may lead again")
	require.NoError(t, old.PutConnector(ctx, "e", config, ""))
	require.ErrorIs(t, next.PutSessionKey(ctx, SessionKey{Key: []byte{1}, Algorithm: "HmacSHA256", Created: time.Now()}), ErrFenced)
}

// A start waits for brokers, and ends with its context.
func TestStartWaitsForBrokers(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, NewConfigs(optionsFor("nobody", "127.0.0.1:1")).Start(ctx, nil), context.DeadlineExceeded)
}

// refuse makes a fake cluster answer requests of a kind with an error, as long as wanted.
func refuse(fake *kfake.Cluster, key kmsg.Key, answer func(kmsg.Request) kmsg.Response) {
	fake.ControlKey(key.Int16(), func(r kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		resp := answer(r)
		return resp, nil, resp != nil
	})
}

func TestTopicThatMayNotBeCreated(t *testing.T) {
	fake := newFake(t)
	o := optionsFor("strict", fake.ListenAddrs()...)
	refuse(fake, kmsg.CreateTopics, func(r kmsg.Request) kmsg.Response {
		resp := r.ResponseKind().(*kmsg.CreateTopicsResponse)
		topic := kmsg.NewCreateTopicsResponseTopic()
		topic.Topic, topic.ErrorCode = o.Config.Name, kerr.TopicAuthorizationFailed.Code
		resp.Topics = append(resp.Topics, topic)
		return resp
	})
	ctx, cancel := context.WithTimeout(t.Context(), 700*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, NewConfigs(o).Start(ctx, nil), "create it, with cleanup.policy=compact, or grant the worker's principal CREATE on it")
}

func TestReplicationThatIsTooHigh(t *testing.T) {
	fake := newFake(t)
	o := optionsFor("wide", fake.ListenAddrs()...)
	refuse(fake, kmsg.CreateTopics, func(r kmsg.Request) kmsg.Response {
		resp := r.ResponseKind().(*kmsg.CreateTopicsResponse)
		topic := kmsg.NewCreateTopicsResponseTopic()
		topic.Topic, topic.ErrorCode = o.Config.Name, kerr.InvalidConfig.Code
		resp.Topics = append(resp.Topics, topic)
		return resp
	})
	require.ErrorContains(t, NewConfigs(o).Start(t.Context(), nil), "look at the worker's config.storage.*, or create the topic beforehand")
}

// A write that is not allowed says so, and the store goes on.
func TestWriteThatIsNotAllowed(t *testing.T) {
	fake := newFake(t)
	o := optionsFor("denied", fake.ListenAddrs()...)
	c, _ := startConfigs(t, o)
	refuse(fake, kmsg.Produce, func(r kmsg.Request) kmsg.Response { return produceError(r, kerr.TopicAuthorizationFailed) })
	err := c.PutConnector(t.Context(), "c", config, "")
	require.ErrorContains(t, err, "Error writing connector configuration to Kafka: append to topic \"denied-configs\": TOPIC_AUTHORIZATION_FAILED")
	require.ErrorContains(t, err, "grant the worker's principal")
	require.NoError(t, c.Refresh(t.Context()))
}

// produceError answers a produce request with an error for each partition.
func produceError(r kmsg.Request, err *kerr.Error) kmsg.Response {
	resp := r.ResponseKind().(*kmsg.ProduceResponse)
	for _, in := range r.(*kmsg.ProduceRequest).Topics {
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic, topic.TopicID = in.Topic, in.TopicID
		for _, p := range in.Partitions {
			partition := kmsg.NewProduceResponseTopicPartition()
			partition.Partition, partition.ErrorCode = p.Partition, err.Code
			topic.Partitions = append(topic.Partitions, partition)
		}
		resp.Topics = append(resp.Topics, topic)
	}
	return resp
}
