// SPDX-License-Identifier: Apache-2.0

package backing

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"freshet/connect"
)

func status(connector string, task int, state connect.State, worker string, generation int) Status {
	return Status{ID: connect.TaskID{Connector: connector, Task: task}, State: state, WorkerID: worker, Generation: generation, Version: "1"}
}

// settle waits until all that was written has been read back.
func settle(t testing.TB, stores ...*Statuses) {
	t.Helper()
	for _, s := range stores {
		require.NoError(t, s.Flush(t.Context()))
	}
	for _, s := range stores {
		require.NoError(t, s.Refresh(t.Context()))
	}
}

func TestStatusesOfTwoWorkers(t *testing.T) {
	fake := newFake(t)
	o := optionsFor("two", fake.ListenAddrs()...)
	a, b := startStatuses(t, o), startStatuses(t, o)
	mine := status("c", 0, connect.Running, "a:1", 5)
	a.Put(mine)
	a.Put(status("c", ConnectorInstance, connect.Running, "a:1", 5))
	a.Put(status("c", 10, connect.Running, "a:1", 5))
	a.PutTopic(TopicStatus{Topic: "t", Connector: "c", Task: 0, Discovered: time.UnixMilli(7)})
	settle(t, a, b)
	require.Equal(t, []Status{mine, status("c", 10, connect.Running, "a:1", 5)}, b.Tasks("c"))
	require.Equal(t, []string{"c"}, b.Connectors())
	require.Equal(t, []TopicStatus{{Topic: "t", Connector: "c", Task: 0, Discovered: time.UnixMilli(7)}}, b.Topics("c"))

	// The work moves to b. What a says of it late does not count.
	theirs := status("c", 0, connect.Running, "b:1", 6)
	b.Put(theirs)
	settle(t, a, b)
	a.PutSafe(status("c", 0, connect.Failed, "a:1", 5))
	a.Put(status("c", 0, connect.Unassigned, "a:1", 5))
	settle(t, a, b)
	got, ok := b.Status(theirs.ID)
	require.True(t, ok)
	require.Equal(t, theirs, got)
	late := startStatuses(t, o)
	got, _ = late.Status(theirs.ID)
	require.Equal(t, theirs, got, "the topic says it to everybody")

	b.PutSafe(status("c", 0, connect.Unassigned, "b:1", 6))
	settle(t, a, b)
	got, _ = a.Status(theirs.ID)
	require.Equal(t, connect.Unassigned, got.State, "a worker may let go of its own work")

	b.DeleteTopic("c", "t")
	b.Delete(theirs.ID)
	b.Delete(connect.TaskID{Connector: "c", Task: ConnectorInstance})
	settle(t, a, b)
	require.Empty(t, a.Topics("c"))
	require.Empty(t, a.Tasks("c"), "with a connector go the statuses of its tasks")
	require.Empty(t, a.Connectors())
}

// A write that fails is tried again until it is through, or until a later one has taken its place.
func TestStatusesAreTriedAgain(t *testing.T) {
	fake := newFake(t)
	s := startStatuses(t, optionsFor("again", fake.ListenAddrs()...))
	var failures, requests atomic.Int32
	failures.Store(2)
	refuse(fake, kmsg.Produce, func(r kmsg.Request) kmsg.Response {
		requests.Add(1)
		if failures.Add(-1) < 0 {
			return nil
		}
		return produceError(r, kerr.TopicAuthorizationFailed) // for good, as the client sees it
	})
	s.Put(status("c", 0, connect.Running, "a:1", 5))
	settle(t, s)
	require.Equal(t, int32(3), requests.Load())
	got, _ := s.Status(connect.TaskID{Connector: "c", Task: 0})
	require.Equal(t, connect.Running, got.State)

	failures.Store(1)
	s.Put(status("c", 0, connect.Paused, "a:1", 5))
	waitFor(t, "the first attempt", func() bool { return failures.Load() == 0 })
	s.Put(status("c", 0, connect.Failed, "a:1", 5))
	settle(t, s)
	got, _ = s.Status(connect.TaskID{Connector: "c", Task: 0})
	require.Equal(t, connect.Failed, got.State, "an older status does not come behind a newer one")
}

func TestStatusRecordsThatAreIgnored(t *testing.T) {
	fake := newFake(t)
	o := optionsFor("odd", fake.ListenAddrs()...)
	s := startStatuses(t, o)
	s.Put(status("c", 0, connect.Running, "a:1", 5))
	for _, r := range []struct{ key, value string }{
		{"status-task-c-0", "{"},
		{"status-task-c-0", `{"state":"HIBERNATED","worker_id":"x","generation":9}`},
		{"status-task-c-0", `{"state":"RUNNING","worker_id":"x"}`},
		{"status-task-c-x", `{"state":"RUNNING","worker_id":"x","generation":9}`},
		{"status-connector-", `{"state":"RUNNING","worker_id":"x","generation":9}`},
		{"status-topic-t", `{"topic":{}}`},
		{"status-topic-t:connector-c", `{}`},
		{"something", `{}`},
	} {
		require.NoError(t, s.journal.write(t.Context(), record(r.key, []byte(r.value))), r.key)
	}
	settle(t, s)
	require.Equal(t, []Status{status("c", 0, connect.Running, "a:1", 5)}, s.Tasks("c"))
	require.Equal(t, []string{"c"}, s.Connectors())
	require.Empty(t, s.Topics("c"))
}
