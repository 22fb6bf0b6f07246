// SPDX-License-Identifier: Apache-2.0

// Package backing keeps the state of a cluster of workers where Kafka Connect keeps it: configurations, statuses and source
// offsets in three compacted topics, record by record as Java's workers write and read them, so that both may share a group.
//
// Its main types are Configs, Statuses and Offsets. Each holds in memory what its topic says, reads on as records come, and
// answers from memory; writes go to the topic, and count once they have been read back. A New connects to nothing; Start
// creates the topic where there is none, refuses one that would lose records, and reads it to its end. All are safe for
// concurrent use.
//
// The formats are those of Kafka Connect 4.1: org.apache.kafka.connect.storage.
package backing

import (
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/connect"
)

// Topic is one of the three topics, as the worker's properties describe it.
type Topic struct {
	Name        string
	Partitions  int32 // -1 is the brokers' default
	Replication int16 // -1 is the brokers' default
	// Settings are those of the topic itself, used where it is created, such as segment.bytes.
	Settings map[string]string
}

// SettingsOf are the settings of a topic among the worker's properties: what stands behind a prefix such as
// "config.storage.", without the properties that are the worker's own. Of a cleanup.policy it says that it was dropped:
// these topics are always compacted.
func SettingsOf(properties map[string]string, prefix string) (settings map[string]string, dropped bool) {
	settings = map[string]string{}
	for name, value := range properties {
		rest, ok := strings.CutPrefix(name, prefix)
		switch {
		case !ok || rest == "topic" || rest == "partitions" || rest == "replication.factor":
		case rest == "cleanup.policy":
			dropped = true
		default:
			settings[rest] = value
		}
	}
	return settings, dropped
}

// Options are what the three stores of a worker need.
type Options struct {
	Log *slog.Logger // nil discards
	// Client are the options of each client: brokers, security, time-outs. Names are given by the stores.
	Client []kgo.Opt
	// ClientID begins the names of the clients, which end in -configs, -offsets, -statuses and -leader: the group.id, behind
	// the worker's client.id and a hyphen where there is one.
	ClientID string
	// Group is the group.id.
	Group                     string
	Config, Offsets, Statuses Topic
	// Transactional makes the leader write configurations in transactions, which fence those of an earlier leader:
	// exactly.once.source.support=preparing or enabled.
	Transactional bool
	// Existing makes a topic that does not exist an error, instead of creating it.
	Existing bool
	// Committed makes offsets be read as read_committed: exactly.once.source.support=enabled.
	Committed bool
}

func (o Options) log() *slog.Logger {
	if o.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Log
}

// TransactionalID is that of the leader, for its writes to the config topic.
func (o Options) TransactionalID() string { return "connect-cluster-" + o.Group }

// TaskTransactionalID is that of the producer of an exactly-once source task.
func TaskTransactionalID(group string, id connect.TaskID) string {
	return group + "-" + taskName(id)
}

// ErrFenced is returned by writes that only the leader may make, once another worker has claimed them, or before Claim. The
// worker may claim again where it still is the leader.
var ErrFenced = errors.New("the right to write to the config topic has passed to another worker")

// TopicError is why a topic cannot be used for what it is named for, in Kafka Connect's words. Trying again does not help.
type TopicError struct{ Message string }

// Error is the message.
func (e *TopicError) Error() string { return e.Message }

// TargetState is what operators want of a connector.
type TargetState string

// The target states.
const (
	Started TargetState = "STARTED"
	Paused  TargetState = "PAUSED"
	Stopped TargetState = "STOPPED"
)

func (s TargetState) valid() bool { return s == Started || s == Paused || s == Stopped }

// SessionKey signs requests between workers.
type SessionKey struct {
	Key       []byte
	Algorithm string // such as HmacSHA256
	Created   time.Time
}

// RestartRequest asks every worker to restart what it runs of a connector.
type RestartRequest struct {
	Connector    string
	IncludeTasks bool
	OnlyFailed   bool
}

// Snapshot is what the config topic says at a moment. It is immutable, maps included.
type Snapshot struct {
	// Offset is that of the last record read, plus 1: the version of the cluster's configuration. -1 before the first.
	Offset int64
	// Connectors are the configurations by name, as submitted; NullValue of package connect stands for null.
	Connectors map[string]map[string]string
	// Targets are the target states of all connectors, and of those whose configuration is still to come.
	Targets map[string]TargetState
	// TaskCounts are the numbers of tasks of the last commits. Configurations may be missing: see Inconsistent.
	TaskCounts map[string]int
	// TaskConfigs are the committed configurations; there may be more than TaskCounts says.
	TaskConfigs map[connect.TaskID]map[string]string
	// Applied are the connectors' configurations that the committed tasks were made of.
	Applied map[string]map[string]string
	// Inconsistent are connectors whose last commit came without all of its tasks: they have none until they are
	// generated again.
	Inconsistent map[string]bool
	// TaskGenerations grow with each set of tasks that is committed, from 0.
	TaskGenerations map[string]int
	// Fenced are the numbers of tasks of the last rounds of zombie fencing; FencingDue are connectors whose tasks were
	// committed since.
	Fenced     map[string]int
	FencingDue map[string]bool
	SessionKey *SessionKey // nil before there is one
}

// Tasks are the ids of a connector's tasks; none where it is inconsistent.
func (s *Snapshot) Tasks(connector string) []connect.TaskID {
	if s.Inconsistent[connector] {
		return nil
	}
	ids := make([]connect.TaskID, s.TaskCounts[connector])
	for n := range ids {
		ids[n] = connect.TaskID{Connector: connector, Task: n}
	}
	return ids
}

// Kind says what an Event is about.
type Kind int

// What may have changed. The comment names the fields of Event that are set.
const (
	ConnectorPut     Kind = iota // Connector: its configuration was written, maybe with nothing new in it
	ConnectorRemoved             // Connector
	TasksCommitted               // Connector, Tasks: those whose configurations were written
	TargetChanged                // Connector
	SessionKeyPut                // the snapshot has it
	RestartRequested             // Restart
	LoggerLevelPut               // Logger, Level
)

// Event is a record of the config topic that came after Start.
type Event struct {
	Kind          Kind
	Connector     string
	Tasks         []connect.TaskID
	Restart       RestartRequest
	Logger, Level string
}

// ConnectorInstance is the task number that stands for the connector itself.
const ConnectorInstance = -1

// Status is the state of a connector or task as the status topic has it.
type Status struct {
	ID         connect.TaskID // of a task; ConnectorInstance for the connector itself
	State      connect.State
	Trace      string // "" for none
	WorkerID   string
	Generation int    // of the group, when it was written
	Version    string // of the plug-in; "" where it is not known
}

// TopicStatus says that a connector has used a topic.
type TopicStatus struct {
	Topic, Connector string
	Task             int
	Discovered       time.Time
}
