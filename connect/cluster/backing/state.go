// SPDX-License-Identifier: Apache-2.0

package backing

import (
	"errors"
	"maps"
	"slices"
	"strings"

	"freshet/connect"
)

// state is what the config topic says, record by record. Its inner maps are never changed, so that snapshots may have them.
type state struct {
	Snapshot
	deferred map[string]map[int]map[string]string // configurations of tasks that wait for their commit
}

func newState() *state {
	return &state{
		Snapshot: Snapshot{
			Offset: -1, Connectors: map[string]map[string]string{}, Targets: map[string]TargetState{}, TaskCounts: map[string]int{},
			TaskConfigs: map[connect.TaskID]map[string]string{}, Applied: map[string]map[string]string{}, Inconsistent: map[string]bool{},
			TaskGenerations: map[string]int{}, Fenced: map[string]int{}, FencingDue: map[string]bool{},
		},
		deferred: map[string]map[int]map[string]string{},
	}
}

func (s *state) snapshot() *Snapshot {
	return &Snapshot{
		Offset: s.Offset, Connectors: maps.Clone(s.Connectors), Targets: maps.Clone(s.Targets), TaskCounts: maps.Clone(s.TaskCounts),
		TaskConfigs: maps.Clone(s.TaskConfigs), Applied: maps.Clone(s.Applied), Inconsistent: maps.Clone(s.Inconsistent),
		TaskGenerations: maps.Clone(s.TaskGenerations), Fenced: maps.Clone(s.Fenced), FencingDue: maps.Clone(s.FencingDue), SessionKey: s.SessionKey,
	}
}

var errKey = errors.New("its key is none that is known")

// apply takes a record. ok says that it is something to tell of; an error, that it was ignored.
func (s *state) apply(key string, value []byte, offset int64) (e Event, ok bool, err error) {
	s.Offset = offset + 1
	prefixed := func(prefix string) (name string, ok bool) { return strings.CutPrefix(key, prefix) }
	if name, ok := prefixed(targetPrefix); ok {
		return s.target(name, value)
	}
	if name, ok := prefixed(connectorPrefix); ok {
		return s.connector(name, value)
	}
	if name, ok := prefixed(taskPrefix); ok {
		return e, false, s.task(name, value)
	}
	if name, ok := prefixed(commitPrefix); ok {
		return s.commit(name, value)
	}
	if name, ok := prefixed(restartPrefix); ok {
		if isNull(value) {
			return e, false, nil
		}
		r, err := parseRestart(name, value)
		return Event{Kind: RestartRequested, Connector: name, Restart: r}, err == nil, err
	}
	if name, ok := prefixed(fencingPrefix); ok {
		n, err := parseCount(value, "task-count")
		if err == nil {
			s.Fenced[name] = n
			delete(s.FencingDue, name)
		}
		return e, false, err
	}
	if key == sessionKey {
		k, err := parseSession(value)
		if err == nil {
			s.SessionKey = k
		}
		return Event{Kind: SessionKeyPut}, err == nil, err
	}
	if name, ok := prefixed(loggerPrefix); ok {
		if isNull(value) {
			return e, false, nil
		}
		level, err := parseLogger(value)
		return Event{Kind: LoggerLevelPut, Logger: name, Level: level}, err == nil, err
	}
	return e, false, errKey
}

// target takes a target state. One that is removed becomes the default, and nobody is told: what matters is the
// configuration, which goes with it.
func (s *state) target(name string, value []byte) (Event, bool, error) {
	_, configured := s.Connectors[name]
	if isNull(value) {
		delete(s.Targets, name)
		if configured {
			s.Targets[name] = Started
		}
		return Event{}, false, nil
	}
	target, err := parseTarget(value)
	if err != nil {
		return Event{}, false, err
	}
	changed := s.Targets[name] != target
	s.Targets[name] = target
	return Event{Kind: TargetChanged, Connector: name}, changed && configured, nil
}

// connector takes a configuration. With the connector goes all that is known of its tasks but its target state.
func (s *state) connector(name string, value []byte) (Event, bool, error) {
	if isNull(value) {
		s.forget(name)
		return Event{Kind: ConnectorRemoved, Connector: name}, true, nil
	}
	config, err := parseProperties(value)
	if err != nil {
		return Event{}, false, err
	}
	s.Connectors[name] = config
	if _, ok := s.Targets[name]; !ok {
		s.Targets[name] = Started
	}
	return Event{Kind: ConnectorPut, Connector: name}, true, nil
}

func (s *state) forget(name string) {
	delete(s.Connectors, name)
	delete(s.TaskCounts, name)
	delete(s.Applied, name)
	delete(s.Inconsistent, name)
	delete(s.deferred, name)
	maps.DeleteFunc(s.TaskConfigs, func(id connect.TaskID, _ map[string]string) bool { return id.Connector == name })
}

// task keeps a task's configuration for the commit.
func (s *state) task(name string, value []byte) error {
	id, ok := parseTask(name)
	if !ok {
		return errKey
	}
	if isNull(value) {
		return errShape
	}
	config, err := parseProperties(value)
	if err != nil {
		return err
	}
	if s.deferred[id.Connector] == nil {
		s.deferred[id.Connector] = map[int]map[string]string{}
	}
	s.deferred[id.Connector][id.Task] = config
	return nil
}

// commit puts the tasks that waited for it in force, where all are there. Compaction may have taken some of those of an
// early commit; then a later one follows, or the connector must make its tasks again.
func (s *state) commit(name string, value []byte) (Event, bool, error) {
	n, err := parseCount(value, "tasks")
	if err != nil {
		return Event{}, false, err
	}
	if _, ok := s.Connectors[name]; !ok {
		s.forget(name) // a deleted connector's
		return Event{}, false, nil
	}
	waiting := s.deferred[name]
	delete(s.deferred, name)
	complete := true
	for task := range n {
		_, ok := waiting[task]
		complete = complete && ok
	}
	e := Event{Kind: TasksCommitted, Connector: name}
	if complete {
		s.Applied[name] = s.Connectors[name]
		for _, task := range slices.Sorted(maps.Keys(waiting)) {
			id := connect.TaskID{Connector: name, Task: task}
			s.TaskConfigs[id] = waiting[task]
			e.Tasks = append(e.Tasks, id)
		}
		if len(waiting) > 0 {
			generation, ok := s.TaskGenerations[name]
			if ok {
				generation++
			}
			s.TaskGenerations[name] = generation
		}
		delete(s.Inconsistent, name)
	} else {
		s.Inconsistent[name] = true
	}
	s.TaskCounts[name] = n
	s.FencingDue[name] = true
	return e, true, nil
}
