// SPDX-License-Identifier: Apache-2.0

package backing

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/connect"
)

// script applies lines of "key value"; a value "-" is a tombstone. It returns what was told of and how many were ignored.
func script(t testing.TB, s *state, lines string) (told []Event, ignored int) {
	t.Helper()
	for line := range strings.Lines(strings.TrimSpace(lines)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), " ")
		require.True(t, ok, line)
		var bytes []byte
		if value != "-" {
			bytes = []byte(value)
		}
		e, ok, err := s.apply(key, bytes, s.Offset)
		if ok {
			told = append(told, e)
		}
		if err != nil {
			ignored++
		}
	}
	return told, ignored
}

const properties = `{"properties":{"a":"1"}}`

func TestCommits(t *testing.T) {
	id := func(n int) connect.TaskID { return connect.TaskID{Connector: "c", Task: n} }
	for _, c := range []struct {
		name, lines  string
		tasks        []connect.TaskID
		inconsistent bool
		generation   int // -1 for none
	}{
		{"none yet", "connector-c " + properties + "\ntask-c-0 " + properties, []connect.TaskID{}, false, -1},
		{"one", "connector-c " + properties + "\ntask-c-0 " + properties + "\ncommit-c {\"tasks\":1}", []connect.TaskID{id(0)}, false, 0},
		{"none wanted", "connector-c " + properties + "\ncommit-c {\"tasks\":0}", []connect.TaskID{}, false, -1},
		{"compaction took one", "connector-c " + properties + "\ntask-c-1 " + properties + "\ncommit-c {\"tasks\":2}", nil, true, -1},
		{"and the next is whole", "connector-c " + properties + "\ntask-c-1 " + properties + "\ncommit-c {\"tasks\":2}\ntask-c-0 " + properties + "\ntask-c-1 " + properties + "\ncommit-c {\"tasks\":2}", []connect.TaskID{id(0), id(1)}, false, 0},
		{"half of a broken one does not help the next", "connector-c " + properties + "\ntask-c-1 " + properties + "\ncommit-c {\"tasks\":2}\ntask-c-0 " + properties + "\ncommit-c {\"tasks\":2}", nil, true, -1},
		{"fewer", "connector-c " + properties + "\ntask-c-1 " + properties + "\ntask-c-0 " + properties + "\ncommit-c {\"tasks\":2}\ntask-c-0 " + properties + "\ncommit-c {\"tasks\":1}", []connect.TaskID{id(0)}, false, 1},
		{"more than committed, as compaction leaves them", "connector-c " + properties + "\ntask-c-1 " + properties + "\ntask-c-0 " + properties + "\ncommit-c {\"tasks\":1}", []connect.TaskID{id(0)}, false, 0},
		{"of a connector that is gone", "task-c-0 " + properties + "\ncommit-c {\"tasks\":1}", []connect.TaskID{}, false, -1},
		{"after it came again", "connector-c " + properties + "\ntask-c-0 " + properties + "\ncommit-c {\"tasks\":1}\nconnector-c -\nconnector-c " + properties, []connect.TaskID{}, false, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newState()
			_, ignored := script(t, s, c.lines)
			require.Zero(t, ignored)
			got := s.snapshot()
			require.Equal(t, c.tasks, got.Tasks("c"))
			require.Equal(t, c.inconsistent, got.Inconsistent["c"])
			generation, ok := got.TaskGenerations["c"]
			if !ok {
				generation = -1
			}
			require.Equal(t, c.generation, generation)
			require.Equal(t, int64(strings.Count(c.lines, "\n")), got.Offset)
		})
	}
}

// The configuration that tasks were made of is remembered while a newer one waits for its tasks.
func TestAppliedConfiguration(t *testing.T) {
	s := newState()
	script(t, s, "connector-c "+properties+"\ntask-c-0 "+properties+"\ncommit-c {\"tasks\":1}\nconnector-c {\"properties\":{\"a\":\"2\",\"b\":null}}")
	before := s.snapshot()
	require.Equal(t, map[string]string{"a": "1"}, before.Applied["c"])
	require.Equal(t, map[string]string{"a": "2", "b": connect.NullValue}, before.Connectors["c"])
	script(t, s, "task-c-0 "+properties+"\ncommit-c {\"tasks\":1}")
	require.Equal(t, map[string]string{"a": "1"}, before.Applied["c"], "a snapshot stays as it is")
	require.Equal(t, "2", s.snapshot().Applied["c"]["a"])
}

func TestTargets(t *testing.T) {
	for _, c := range []struct {
		name, lines string
		want        TargetState
		told        int // of target states
		ignored     int
	}{
		{"default", "connector-c " + properties, Started, 0, 0},
		{"given before the connector", "target-state-c {\"state\":\"PAUSED\",\"state.v2\":\"STOPPED\"}\nconnector-c " + properties, Stopped, 0, 0},
		{"of an old worker", "connector-c " + properties + "\ntarget-state-c {\"state\":\"PAUSED\"}", Paused, 1, 0},
		{"not changed", "connector-c " + properties + "\ntarget-state-c {\"state\":\"STARTED\"}", Started, 0, 0},
		{"removed", "connector-c " + properties + "\ntarget-state-c {\"state\":\"PAUSED\"}\ntarget-state-c -", Started, 1, 0},
		{"of a later version", "connector-c " + properties + "\ntarget-state-c {\"state\":\"PAUSED\",\"state.v2\":\"HIBERNATED\"}", Started, 0, 1},
		{"with a member more", "connector-c " + properties + "\ntarget-state-c {\"state\":\"PAUSED\",\"state.v3\":{\"x\":1}}", Paused, 1, 0},
		{"no state", "connector-c " + properties + "\ntarget-state-c {\"state\":7}", Started, 0, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newState()
			told, ignored := script(t, s, c.lines)
			n := 0
			for _, e := range told {
				if e.Kind == TargetChanged {
					n++
				}
			}
			require.Equal(t, c.want, s.Targets["c"])
			require.Equal(t, c.told, n)
			require.Equal(t, c.ignored, ignored)
		})
	}
}

func TestRecordsOfAllKinds(t *testing.T) {
	s := newState()
	told, ignored := script(t, s, `
connector-a-b-0 {"properties":{}}
task-a-b-0-0 {"properties":{}}
commit-a-b-0 {"tasks":1}
tasks-fencing-a-b-0 {"task-count":1}
restart-connector-a {"include-tasks":true}
restart-connector-a -
logger-cluster-org.x {"level":"DEBUG","by":"someone"}
logger-cluster-org.x -
session-key {"key":"AQI=","algorithm":"HmacSHA256","creation-timestamp":5}`)
	require.Zero(t, ignored)
	require.Equal(t, []Event{
		{Kind: ConnectorPut, Connector: "a-b-0"},
		{Kind: TasksCommitted, Connector: "a-b-0", Tasks: []connect.TaskID{{Connector: "a-b-0", Task: 0}}},
		{Kind: RestartRequested, Connector: "a", Restart: RestartRequest{Connector: "a", IncludeTasks: true}},
		{Kind: LoggerLevelPut, Logger: "org.x", Level: "DEBUG"},
		{Kind: SessionKeyPut},
	}, told)
	require.Equal(t, 1, s.Fenced["a-b-0"])
	require.Empty(t, s.FencingDue)
	require.Equal(t, []byte{1, 2}, s.SessionKey.Key)
	script(t, s, "task-a-b-0-0 "+properties+"\ncommit-a-b-0 {\"tasks\":1}")
	require.True(t, s.FencingDue["a-b-0"])
}

func TestRecordsThatAreIgnored(t *testing.T) {
	for _, line := range []string{
		"unknown-key-ext {}", "connector-c []", "connector-c {}", "connector-c 7", "connector-c {\"properties\":{\"a\":7}}", "task-x {\"properties\":{}}", "task-c-0 -", "task-c-x " + properties,
		"commit-c -", "commit-c {\"tasks\":\"1\"}", "commit-c {\"tasks\":-1}", "commit-c {", "tasks-fencing-c {}", "session-key {\"key\":\"%\"}", "session-key -", "logger-cluster-x {}", "restart-connector-c 5",
	} {
		t.Run(line, func(t *testing.T) {
			s := newState()
			script(t, s, "connector-k "+properties)
			before := s.snapshot()
			told, ignored := script(t, s, line)
			require.Equal(t, 1, ignored)
			require.Empty(t, told)
			before.Offset++
			require.Equal(t, before, s.snapshot(), "only the offset moves")
		})
	}
}

// An error about a session key must not show it.
func TestSessionKeyIsNotShown(t *testing.T) {
	s := newState()
	_, _, err := s.apply(sessionKey, []byte(`{"key":"Canary-4711`), 0)
	require.Error(t, err)
	require.NotContains(t, err.Error(), "Canary")
}
