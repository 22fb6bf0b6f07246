// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"freshet/change"
)

// lsn is a place in the write-ahead log; 0 is none. Its text form is %X/%X, in positions it is a number.
type lsn uint64

// String is the form that the server prints.
func (l lsn) String() string { return fmt.Sprintf("%X/%X", uint32(l>>32), uint32(l)) }

// parseLSN reads the form that the server prints; "" is none.
func parseLSN(text []byte) (lsn, error) {
	if len(text) == 0 {
		return 0, nil
	}
	hi, lo, ok := strings.Cut(string(text), "/")
	h, err1 := strconv.ParseUint(hi, 16, 32)
	l, err2 := strconv.ParseUint(lo, 16, 32)
	if !ok || err1 != nil || err2 != nil {
		return 0, fmt.Errorf("log position %q: want the form 0/1A2B3C", text)
	}
	return lsn(h<<32 | l), nil
}

// The message types that positions name.
const (
	typeInsert   = "INSERT"
	typeUpdate   = "UPDATE"
	typeDelete   = "DELETE"
	typeTruncate = "TRUNCATE"
	typeCommit   = "COMMIT"
)

// position is what a change.Position holds: the members of Debezium's offset.
//
// I4: Transactions arrive whole and in the order of their commits, so everything before start was taken, and after start
// at most one transaction was taken in part: the one with xid TxID. Of it every row message before Proc was taken, and
// the first Events messages at Proc itself: rows of one COPY share one LSN. Both rules hold across restarts because the
// server sends a transaction's messages again in the same order.
//
// The recorded offsets have no count. Without it one message at Proc counts as taken: exact where LSNs are not shared,
// otherwise rows are repeated rather than lost.
type position struct {
	LSN    lsn    // of the last message
	Proc   lsn    // lsn_proc: the last message taken; 0 until streaming has begun
	Commit lsn    // lsn_commit: end of the last committed transaction taken; 0 before the first
	Type   string // messageType of the last message
	Events int    // lsn_events_processed: row messages taken at Proc; 0 when absent
	TxID   int64  // 0 when unknown
	Micros int64  // ts_usec
	Xmin   int64  // 0 when not read
	// Message is lsn_message: the last logical message taken that belongs to no transaction, 0 for none since then. It may
	// lie behind Proc in the log: rows come with the commit of their transaction. The recorded offsets do not have it.
	Message lsn
	// Floor is lsn_floor, a member of ours: all that commits before it was taken, where neither Proc nor Commit say so. A
	// transaction may have written before a place up to which everything was taken: a keep-alive's, or the snapshot's.
	Floor lsn

	// System and Timeline are members of ours: the system identifier of the cluster that the position belongs to, and the
	// timeline it was taken on. 0 when unknown.
	System, Timeline int64

	Snapshot  string // INITIAL while a snapshot runs and until streaming has begun
	Last      bool   // last_snapshot_record
	Completed bool   // snapshot_completed
	// Finished is freshet_blocks, what of the snapshot is finished as long as it runs; "" for nothing.
	Finished string
}

// start is where replication begins: every transaction that commits before it is behind the position. It is also what may
// be confirmed to the server once the position is durable.
func (p position) start() lsn {
	if p.Snapshot != "" && p.Proc == 0 {
		if !p.Completed {
			return 0
		}
		return p.LSN
	}
	// A row's LSN lies before the commit of its own transaction, and all transactions that committed before it were
	// taken. The last commit may be later still, where transactions overlap.
	return max(p.Proc, p.Commit, p.Floor)
}

// inTransaction says whether the position lies behind a row and before the commit of its transaction.
func (p position) inTransaction() bool {
	switch p.Type {
	case typeInsert, typeUpdate, typeDelete, typeTruncate, typeMessage:
		return p.Proc != 0 && p.TxID != 0
	}
	return false
}

// unfinishedSnapshot says whether the position lies inside of a snapshot.
func (p position) unfinishedSnapshot() bool { return p.Snapshot != "" && !p.Completed }

// Position is the canonical JSON, its members in the recorded order.
func (p position) Position() change.Position {
	out := make([]byte, 0, 224)
	number := func(name string, n int64) {
		if n != 0 {
			out = strconv.AppendInt(append(append(append(out, ',', '"'), name...), '"', ':'), n, 10)
		}
	}
	if p.Snapshot != "" {
		out = strconv.AppendBool(append(out, `,"last_snapshot_record":`...), p.Last)
	}
	number("lsn_proc", int64(p.Proc))
	if p.Type != "" {
		out = append(append(append(out, `,"messageType":"`...), p.Type...), '"')
	}
	number("lsn_commit", int64(p.Commit))
	number("lsn_floor", int64(p.Floor))
	number("lsn_events_processed", int64(p.Events))
	number("lsn_message", int64(p.Message))
	number("lsn", int64(p.LSN))
	number("txId", p.TxID)
	number("xmin", p.Xmin)
	number("ts_usec", p.Micros)
	number("system_id", p.System)
	number("timeline", p.Timeline)
	if p.Snapshot != "" {
		out = append(append(append(out, `,"snapshot":"`...), p.Snapshot...), '"')
		out = strconv.AppendBool(append(out, `,"snapshot_completed":`...), p.Completed)
	}
	if p.Finished != "" {
		out = append(append(out, `,"freshet_blocks":`...), p.Finished...)
	}
	if len(out) == 0 {
		return "{}"
	}
	out[0] = '{'
	return change.Position(append(out, '}'))
}

// parsePosition reads a position of ours or an offset of Debezium; members that it does not know are of no concern.
func parsePosition(text change.Position) (position, error) {
	var m struct {
		LSN       *int64          `json:"lsn"`
		Proc      *int64          `json:"lsn_proc"`
		Commit    *int64          `json:"lsn_commit"`
		Floor     *int64          `json:"lsn_floor"`
		Type      *string         `json:"messageType"`
		Events    *int64          `json:"lsn_events_processed"`
		Message   *int64          `json:"lsn_message"`
		TxID      *int64          `json:"txId"`
		Micros    *int64          `json:"ts_usec"`
		Xmin      *int64          `json:"xmin"`
		System    *int64          `json:"system_id"`
		Timeline  *int64          `json:"timeline"`
		Snapshot  json.RawMessage `json:"snapshot"`
		Last      *bool           `json:"last_snapshot_record"`
		Completed *bool           `json:"snapshot_completed"`
		Finished  json.RawMessage `json:"freshet_blocks"`
	}
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return position{}, badPosition(text, err.Error())
	}
	p := position{
		LSN: lsn(value(m.LSN)), Proc: lsn(value(m.Proc)), Commit: lsn(value(m.Commit)), Type: value(m.Type),
		Events: int(value(m.Events)), TxID: value(m.TxID), Micros: value(m.Micros), Xmin: value(m.Xmin),
		Last: value(m.Last), Completed: value(m.Completed), Message: lsn(value(m.Message)), Floor: lsn(value(m.Floor)),
		System: value(m.System), Timeline: value(m.Timeline), Finished: string(m.Finished),
	}
	// Older versions wrote true or "true".
	switch s := strings.ToUpper(strings.Trim(string(m.Snapshot), `"`)); s {
	case "", "NULL", "FALSE":
	case "TRUE":
		p.Snapshot = "INITIAL"
	case "INITIAL", "BLOCKING", "INCREMENTAL":
		p.Snapshot = s
	default:
		return position{}, badPosition(text, fmt.Sprintf("unknown snapshot %q", s))
	}
	if p.Type != "" && !isMessageType(p.Type) {
		return position{}, badPosition(text, fmt.Sprintf("unknown messageType %q", p.Type))
	}
	if p.LSN == 0 && p.Proc == 0 && p.Commit == 0 {
		return position{}, badPosition(text, "it names no log position")
	}
	if p.Events < 0 {
		return position{}, badPosition(text, "negative lsn_events_processed")
	}
	return p, nil
}

func isMessageType(s string) bool {
	switch s {
	case typeInsert, typeUpdate, typeDelete, typeTruncate, typeCommit, typeMessage, "BEGIN", "RELATION", "TYPE", "ORIGIN", "NOOP":
		return true
	}
	return false
}

func badPosition(text change.Position, reason string) error {
	return permanentf("resume at", strconv.Quote(string(text)), "correct the connector's offset, or delete it to snapshot again",
		"not an offset of this connector: %s", reason)
}

// value is what p points to, else the zero value.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
