// SPDX-License-Identifier: Apache-2.0

// Package capture is the contract of a source. It holds nothing of any database.
//
// A database folder registers a Connector, which checks configurations and opens Readers. A Reader yields the changes of
// one source partition in order; the pipeline tells it by Commit what is durable, and only then may it let the database
// release its log (I2).
package capture

import (
	"context"
	"log/slog"
	"time"

	"freshet/change"
	"freshet/config"
	"freshet/schema"
)

// Description tells what a connector is.
type Description struct {
	config.Plugin
	// Source is the struct of the envelope's source block.
	Source SourceBlock
	// Messages names the schemas of logical messages; nil where the source has none.
	Messages *MessageBlock
}

// MessageBlock names the schemas of logical messages, all of version 1. Changes of op Message have a Table whose key is
// the prefix and whose columns are prefix and content.
type MessageBlock struct {
	Key, Value, Message string
	// Collection is what transaction metadata counts a message under.
	Collection string
}

// Connector is what a database folder registers.
type Connector interface {
	Describe() Description
	// Check asks the server what stands in the way of capturing with v, and never changes it. It returns an error only
	// where it could not ask; what it found out is in the findings.
	Check(ctx context.Context, v config.Values) ([]Finding, error)
	// Partition is the canonical JSON of the source partition that v captures, such as {"server":"dbserver1"}: the key of
	// its position.
	Partition(v config.Values) string
	// Split divides the work into the configurations of at most max tasks.
	Split(v config.Values, max int) ([]config.Values, error)
	Open(ctx context.Context, env Env, v config.Values) (Reader, error)
}

// Env is what a Reader gets from the engine.
type Env struct {
	Connector string          // the connector's name
	From      change.Position // the last durable position, "" for none
	Log       *slog.Logger
	// Progress, if not nil, is told how a snapshot goes on; it must not block.
	Progress func(Progress)
	// Notices asks for batches with notices of what happens to snapshots.
	Notices bool
	// Spool, if not nil, takes what the source sends and cannot be emitted yet.
	Spool *Spool
	// Jobs, if not nil, is told of all snapshots on demand whenever one of them changes. It must not block.
	Jobs func([]SnapshotJob)
	// Signals, if not nil, are what operators ask for beside the stream: over REST, from a file. It is never closed.
	Signals <-chan Signal
}

// InitialSnapshot is the id under which operators see the initial snapshot.
const InitialSnapshot = "initial-snapshot"

// SnapshotJob is a snapshot, as operators see it.
type SnapshotJob struct {
	ID       string    `json:"id"`
	Type     string    `json:"type"` // initial, incremental or blocking
	Tables   []string  `json:"tables"`
	State    string    `json:"state"` // queued, running, paused, completed, failed or cancelled
	Left     []string  `json:"tables_left"`
	Rows     int64     `json:"rows"` // handed out since the task was opened
	Error    string    `json:"error,omitempty"`
	Created  time.Time `json:"created"`
	Finished time.Time `json:"finished,omitzero"`
	// Progress are the tables that were begun, Chunk is what was read last of one that is read in windows.
	Progress []TableProgress `json:"progress,omitempty"`
	Chunk    *SnapshotChunk  `json:"chunk,omitempty"`
}

// TableProgress is how far a table of a snapshot is, as operators see it. Numbers that are not known are -1.
type TableProgress struct {
	Table      string  `json:"table"`
	Rows       int64   `json:"rows"`
	Estimated  int64   `json:"estimated_rows"`
	Blocks     int     `json:"blocks"`
	BlocksDone int     `json:"blocks_done"`
	Done       bool    `json:"done"`
	RowsPerSec float64 `json:"rows_per_second"`
	ETASeconds float64 `json:"eta_seconds"`
}

// Rate fills in speed and forecast, where so many of the rows came within d.
func (t *TableProgress) Rate(rows int64, d time.Duration) {
	t.RowsPerSec, t.ETASeconds = 0, -1
	if seconds := d.Seconds(); seconds > 0 {
		t.RowsPerSec = float64(rows) / seconds
	}
	switch {
	case t.Done:
		t.ETASeconds = 0
	case t.RowsPerSec > 0 && t.Estimated >= t.Rows:
		t.ETASeconds = float64(t.Estimated-t.Rows) / t.RowsPerSec
	}
}

// SnapshotChunk is a piece of a table that was read in a window: the keys of its first and last row, and those of the table.
type SnapshotChunk struct {
	Number    int64  `json:"number"` // of this run, from 1 on
	Table     string `json:"table"`
	From      string `json:"from"`
	To        string `json:"to"`
	TableFrom string `json:"table_from,omitempty"` // unknown where the first piece was read before a restart
	TableTo   string `json:"table_to"`
}

// Progress is how far the snapshot of one table is.
type Progress struct {
	Table     schema.ID
	Rows      int64 // read so far
	Estimated int64 // -1 when unknown
	// Blocks is the number of parts that the table is read in, BlocksDone how many of them were read to their end.
	Blocks, BlocksDone int
	Done               bool
}

// Reader yields the changes of one source partition in order. Next is called by one goroutine; Commit may be called by
// another; Close after both have returned. A Reader does not reconnect: it returns an error, and the worker opens a new
// one at the last durable position. An error that retrying cannot mend has a method Retriable() bool that returns
// false.
type Reader interface {
	// Next blocks until b, which comes empty, holds something: changes, notices, or a new End. io.EOF when there is no more,
	// ever. Every b it fills has End set, and End resumes at exactly the next change (I4); only one that holds nothing but
	// notices may leave it out, which moves no position.
	Next(ctx context.Context, b *change.Batch) error
	// Commit tells that everything up to p is durable here (I2). Positions come in order.
	Commit(ctx context.Context, p change.Position) error
	Close(ctx context.Context) error
}

// Lagger is a Reader that knows how far behind it is.
type Lagger interface {
	// Lag is the number of bytes of the source's log not yet read, and of those not yet durable here; -1 when unknown.
	Lag() (unread, undurable int64)
}

// Observer is a Reader that tells its state. It is asked at any time, by any goroutine, and answers at once.
type Observer interface {
	Observe() Observation
}

// Observation is the state of a Reader at one moment. Numbers of bytes are -1 where they are not known.
type Observation struct {
	Phase     string // snapshot or streaming
	Connected bool   // the stream is open
	// Asked says that Next waits for the source. Where it does not, the Reader is not what holds up the changes.
	Asked bool
	// Received is the place in the source's log up to which everything has come, Sent the one that the server says it has
	// worked through for this Reader, 0 for unknown. They only grow, and mean nothing but that there is progress.
	Received, Sent uint64
	Unread         int64 // bytes of the source's log that have not come
	Undurable      int64 // bytes of the source's log that are not durable here
	Tables         int   // that were captured when the Reader was opened
	Transactions   int64 // whose ends have come
	Slot           *SlotState
}

// SlotState is what the source keeps of its log for a Reader. Numbers of bytes are -1 where they are not known.
type SlotState struct {
	Name      string  `json:"name"`
	Status    string  `json:"status"`         // as the server has it: reserved, extended, unreserved, lost
	Active    bool    `json:"active"`         // somebody reads from it
	Confirmed string  `json:"confirmed"`      // up to here the server was told that changes are durable
	Restart   string  `json:"restart"`        // the server keeps its log from here
	End       string  `json:"end"`            // of the server's log
	Retained  int64   `json:"retained_bytes"` // kept for the slot
	Safe      int64   `json:"safe_wal_bytes"` // that may still be written before the slot is in danger of being lost
	Max       int64   `json:"max_slot_wal_keep_bytes"`
	HoursLeft float64 `json:"hours_left"` // until the slot is in danger, at the present rate; -1 is unknown or never
	System    string  `json:"system_identifier"`
	Timeline  int64   `json:"timeline"`
	Warning   string  `json:"warning,omitempty"`
}

// InvariantError is a rule of the engine that was found broken. The task stops at once: what comes after it could lose
// changes.
type InvariantError struct {
	Rule   string // I2, I3, ...
	Detail string
}

// Error names the rule.
func (e *InvariantError) Error() string {
	return "internal error: invariant " + e.Rule + " is broken: " + e.Detail + "; nothing was confirmed past it, please report it with the log"
}

// Retriable is false: it is a bug, and must be seen.
func (*InvariantError) Retriable() bool { return false }

// Failing is a Reader that may find out that it cannot go on while nobody calls Next: a snapshot is read before it, or the
// log of topics has no room. Whoever waits meanwhile stops waiting.
type Failing interface {
	// Failed is closed once it cannot go on, and nil where that never happens; Failure then says why. They may be called by any
	// goroutine.
	Failed() <-chan struct{}
	Failure() error
}

// Beater is a Reader that runs heartbeat.action.query.
type Beater interface {
	// Beat runs the query on a connection of its own. It may be called while Next is. An error ends the task.
	Beat(ctx context.Context) error
}

// Level grades a Finding.
type Level uint8

// The levels.
const (
	OK Level = iota
	Warn
	Fail
)

// String is how the doctor prints the level.
func (l Level) String() string { return [...]string{"OK", "WARN", "FAIL"}[l] }

// SubjectConnection is the subject of the finding that the server does not let the connector in. It is then the only one.
const SubjectConnection = "connection"

// Finding is one result of a check.
type Finding struct {
	Level   Level
	Subject string // what was looked at: "wal_level", "table public.persons", "slot debezium"
	Seen    string // the value seen
	Detail  string // what it means, where it is not OK
	Fix     string // the exact SQL or setting that mends it
	// Property is the connector property it belongs to, "" for none.
	Property string
}

// SourceBlock is the struct of the envelope's source block, and where its fields come from.
type SourceBlock struct {
	Connector string // the short name that events show, such as postgresql
	Name      string // schema name
	Version   int
	Fields    []SourceField
}

// SourceField is a field of the source block.
type SourceField struct {
	Name string
	Type *schema.Type
	From Origin
}

// Origin is where the value of a source field comes from.
type Origin uint8

// The origins. FromRow fields take the values of Change.Source in turn.
const (
	FromRow       Origin = iota
	FromVersion          // the compatibility version, such as 3.6.1.Final
	FromConnector        // the connector's short name, such as postgresql
	FromName             // topic.prefix
	FromCatalog          // Table.ID.Catalog
	FromSchema
	FromTable
	FromMillis // Change.SourceMicros
	FromMicros
	FromNanos
	FromSnapshot
)
