// SPDX-License-Identifier: Apache-2.0

package backing

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"freshet/connect"
	emitjson "freshet/emitter/json"
)

// Keys of the config topic. A key is looked up in this order: "task-x" of a connector is no "tasks-fencing-x".
const (
	targetPrefix    = "target-state-"
	connectorPrefix = "connector-"
	taskPrefix      = "task-"
	commitPrefix    = "commit-"
	restartPrefix   = "restart-connector-"
	fencingPrefix   = "tasks-fencing-"
	sessionKey      = "session-key"
	loggerPrefix    = "logger-cluster-"
)

// taskName is a task in keys.
func taskName(id connect.TaskID) string { return id.Connector + "-" + strconv.Itoa(id.Task) }

// parseTask reads what taskName made. Names of connectors may have hyphens.
func parseTask(s string) (connect.TaskID, bool) {
	i := strings.LastIndexByte(s, '-')
	if i <= 0 {
		return connect.TaskID{}, false
	}
	n, err := strconv.ParseInt(s[i+1:], 10, 32)
	return connect.TaskID{Connector: s[:i], Task: int(n)}, err == nil
}

// What follows writes values as Kafka Connect's JsonConverter does, whose texts are Jackson's.

func appendText(dst []byte, s string) []byte { return emitjson.AppendString(dst, []byte(s)) }

// appendOptional appends null for "".
func appendOptional(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, "null"...)
	}
	return appendText(dst, s)
}

// propertiesValue is a configuration, by name: Java's order of a map means nothing.
func propertiesValue(config map[string]string) []byte {
	out := []byte(`{"properties":{`)
	for i, name := range slices.Sorted(maps.Keys(config)) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendText(out, name), ':')
		if value := config[name]; value == connect.NullValue {
			out = append(out, "null"...)
		} else {
			out = appendText(out, value)
		}
	}
	return append(out, "}}"...)
}

// targetValue has a state that workers before 3.5 know, too.
func targetValue(s TargetState) []byte {
	old := s
	if s == Stopped {
		old = Paused
	}
	return []byte(`{"state":"` + string(old) + `","state.v2":"` + string(s) + `"}`)
}

func commitValue(tasks int) []byte { return []byte(`{"tasks":` + strconv.Itoa(tasks) + `}`) }

func countValue(tasks int) []byte { return []byte(`{"task-count":` + strconv.Itoa(tasks) + `}`) }

func sessionValue(k SessionKey) []byte {
	out := appendText([]byte(`{"key":`), base64.StdEncoding.EncodeToString(k.Key))
	out = appendText(append(out, `,"algorithm":`...), k.Algorithm)
	out = strconv.AppendInt(append(out, `,"creation-timestamp":`...), k.Created.UnixMilli(), 10)
	return append(out, '}')
}

func restartValue(r RestartRequest) []byte {
	return []byte(`{"include-tasks":` + strconv.FormatBool(r.IncludeTasks) + `,"only-failed":` + strconv.FormatBool(r.OnlyFailed) + `}`)
}

func loggerValue(level string) []byte { return append(appendText([]byte(`{"level":`), level), '}') }

func statusValue(s Status) []byte {
	out := appendText([]byte(`{"state":`), string(s.State))
	out = appendOptional(append(out, `,"trace":`...), s.Trace)
	out = appendText(append(out, `,"worker_id":`...), s.WorkerID)
	out = strconv.AppendInt(append(out, `,"generation":`...), int64(s.Generation), 10)
	out = appendOptional(append(out, `,"version":`...), s.Version)
	return append(out, '}')
}

func topicValue(t TopicStatus) []byte {
	out := appendText([]byte(`{"topic":{"name":`), t.Topic)
	out = appendText(append(out, `,"connector":`...), t.Connector)
	out = strconv.AppendInt(append(out, `,"task":`...), int64(t.Task), 10)
	out = strconv.AppendInt(append(out, `,"discoverTimestamp":`...), t.Discovered.UnixMilli(), 10)
	return append(out, "}}"...)
}

// What follows reads values. Members that are not known are passed over: a later version may have more.

// isNull says whether a value removes its key: no value, or the JSON null that converters make of it.
func isNull(value []byte) bool { return value == nil || string(value) == "null" }

var errShape = errors.New("it is no object with the members that such a record has")

func parseProperties(value []byte) (map[string]string, error) {
	var v struct{ Properties map[string]*string }
	if err := json.Unmarshal(value, &v); err != nil {
		return nil, err
	}
	if v.Properties == nil {
		return nil, errShape
	}
	out := make(map[string]string, len(v.Properties))
	for name, s := range v.Properties {
		out[name] = connect.NullValue
		if s != nil {
			out[name] = *s
		}
	}
	return out, nil
}

func parseTarget(value []byte) (TargetState, error) {
	var v struct {
		State any `json:"state"`
		V2    any `json:"state.v2"`
	}
	if err := json.Unmarshal(value, &v); err != nil {
		return "", err
	}
	text, ok := v.V2.(string)
	if !ok {
		text, _ = v.State.(string)
	}
	if s := TargetState(text); s.valid() {
		return s, nil
	}
	return "", errors.New("it names no target state that is known")
}

// parseCount reads an object with one number.
func parseCount(value []byte, member string) (int, error) {
	var v map[string]json.RawMessage
	if err := json.Unmarshal(value, &v); err != nil {
		return 0, err
	}
	n, err := strconv.ParseInt(string(v[member]), 10, 32)
	if err != nil || n < 0 {
		return 0, errShape
	}
	return int(n), nil
}

func parseSession(value []byte) (*SessionKey, error) {
	var v struct {
		Key       *string `json:"key"`
		Algorithm string  `json:"algorithm"`
		Created   *int64  `json:"creation-timestamp"`
	}
	if err := json.Unmarshal(value, &v); err != nil {
		return nil, errShape // the error may show the key
	}
	if v.Key == nil || v.Algorithm == "" || v.Created == nil {
		return nil, errShape
	}
	key, err := base64.StdEncoding.DecodeString(*v.Key)
	if err != nil {
		return nil, errShape
	}
	return &SessionKey{Key: key, Algorithm: v.Algorithm, Created: time.UnixMilli(*v.Created)}, nil
}

func parseRestart(connector string, value []byte) (RestartRequest, error) {
	var v struct {
		IncludeTasks bool `json:"include-tasks"`
		OnlyFailed   bool `json:"only-failed"`
	}
	err := json.Unmarshal(value, &v)
	return RestartRequest{Connector: connector, IncludeTasks: v.IncludeTasks, OnlyFailed: v.OnlyFailed}, err
}

func parseLogger(value []byte) (string, error) {
	var v struct {
		Level string `json:"level"`
	}
	if err := json.Unmarshal(value, &v); err != nil || v.Level == "" {
		return "", errShape
	}
	return v.Level, nil
}

func parseStatus(id connect.TaskID, value []byte) (Status, error) {
	var v struct {
		State      string  `json:"state"`
		Trace      *string `json:"trace"`
		WorkerID   string  `json:"worker_id"`
		Generation *int    `json:"generation"`
		Version    *string `json:"version"`
	}
	if err := json.Unmarshal(value, &v); err != nil {
		return Status{}, err
	}
	switch connect.State(v.State) {
	case connect.Unassigned, connect.Running, connect.Paused, connect.Stopped, connect.Failed, connect.Restarting:
	default:
		return Status{}, errors.New("it names no state that is known")
	}
	if v.Generation == nil {
		return Status{}, errShape
	}
	s := Status{ID: id, State: connect.State(v.State), WorkerID: v.WorkerID, Generation: *v.Generation}
	if v.Trace != nil {
		s.Trace = *v.Trace
	}
	if v.Version != nil {
		s.Version = *v.Version
	}
	return s, nil
}

func parseTopicStatus(value []byte) (TopicStatus, error) {
	var v struct {
		Topic *struct {
			Name       string `json:"name"`
			Connector  string `json:"connector"`
			Task       int    `json:"task"`
			Discovered int64  `json:"discoverTimestamp"`
		} `json:"topic"`
	}
	if err := json.Unmarshal(value, &v); err != nil {
		return TopicStatus{}, err
	}
	if v.Topic == nil {
		return TopicStatus{}, errShape
	}
	return TopicStatus{Topic: v.Topic.Name, Connector: v.Topic.Connector, Task: v.Topic.Task, Discovered: time.UnixMilli(v.Topic.Discovered)}, nil
}
