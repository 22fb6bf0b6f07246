// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"freshet/capture"
	"freshet/change"
	"freshet/schema"
)

// Job is a snapshot on demand: tables that are read while the stream goes on, or, where Blocking is set, while it waits.
// Its exported fields are stored with the position, so that it goes on after a restart.
type Job struct {
	ID       string  `json:"id"` // of the signal
	Blocking bool    `json:"blocking,omitempty"`
	Initial  bool    `json:"initial,omitempty"` // it goes on with an initial snapshot, and is told of as one
	Begun    bool    `json:"begun,omitempty"`   // STARTED was said
	Parts    []*Part `json:"parts"`             // still to be read, the first is at work

	rows    int64 // handed out in this run
	chunk   *capture.SnapshotChunk
	scanned []capture.TableProgress // of tables that were read in this run
	problem string                  // of a table that was left out
	stopped string                  // the tables left when it was stopped, with a window still open
}

// Part is a table to be read, or rows of it, and how far that is.
type Part struct {
	Table schema.ID `json:"table"`
	// Condition says which rows, in the database's words: the part of a WHERE for a Job that is not Blocking, a whole
	// statement for one that is; "" is all.
	Condition string `json:"condition,omitempty"`
	// Surrogate is the column to page by instead of the key; "" for none.
	Surrogate string `json:"surrogate,omitempty"`
	// Whole reads all rows of the Condition at once, without paging by a key.
	Whole bool `json:"whole,omitempty"`
	// After is the last key that was emitted, Max the highest one when reading began, as the Windows wrote them; "" before.
	After string `json:"after,omitempty"`
	Max   string `json:"max,omitempty"`
	Rows  int64  `json:"rows,omitempty"` // emitted so far

	first string    // key, for people; "" where it was not read in this run
	began time.Time // in this run
	base  int64     // Rows then
}

// progress is how far the part is.
func (p *Part) progress(done bool) capture.TableProgress {
	out := capture.TableProgress{Table: p.Table.String(), Rows: p.Rows, Estimated: -1, Done: done}
	out.Rate(p.Rows-p.base, time.Since(p.began))
	return out
}

// progress are the tables that were begun in this run.
func (j *Job) progress() []capture.TableProgress {
	out := slices.Clone(j.scanned)
	for _, p := range j.Parts {
		if !p.began.IsZero() {
			out = append(out, p.progress(false))
		}
	}
	return out
}

// The member that holds the state of jobs in positions, and its version.
const (
	stateMember  = "freshet_snapshots"
	stateVersion = 1
)

// jobState is the value of the member.
type jobState struct {
	Version int    `json:"v"`
	Paused  bool   `json:"paused,omitempty"`
	Jobs    []*Job `json:"jobs"`
}

// readState reads the state of jobs from a position. A position of Debezium's names the tables of its incremental
// snapshot; they are read again from their beginnings, since only Java reads the keys it has got to.
func readState(p change.Position) (jobState, error) {
	var members struct {
		State       *jobState `json:"freshet_snapshots"`
		Collections string    `json:"incremental_snapshot_collections"`
	}
	if p == "" {
		return jobState{}, nil
	}
	if err := json.Unmarshal([]byte(p), &members); err != nil {
		return jobState{}, fmt.Errorf("read the state of snapshots from position %q: %w", p, err)
	}
	if members.State != nil {
		if v := members.State.Version; v != stateVersion {
			return jobState{}, fmt.Errorf("the position has the state of snapshots in version %d; this program reads version %d", v, stateVersion)
		}
		return *members.State, nil
	}
	return foreignState(members.Collections)
}

// debeziumCollection is an item of Debezium's incremental_snapshot_collections.
type debeziumCollection struct {
	ID          string `json:"incremental_snapshot_collections_id"`
	Condition   string `json:"incremental_snapshot_collections_additional_condition,omitempty"`
	Surrogate   string `json:"incremental_snapshot_collections_surrogate_key,omitempty"`
	Correlation string `json:"incremental_snapshot_correlation_id,omitempty"`
}

func foreignState(text string) (jobState, error) {
	var s jobState
	var list []debeziumCollection
	if text == "" {
		return s, nil
	}
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return s, fmt.Errorf("read incremental_snapshot_collections of the position: %w", err)
	}
	for _, c := range list {
		if len(s.Jobs) == 0 || s.Jobs[len(s.Jobs)-1].ID != c.Correlation {
			s.Jobs = append(s.Jobs, &Job{ID: c.Correlation})
		}
		j := s.Jobs[len(s.Jobs)-1]
		schemaName, name, _ := strings.Cut(c.ID, ".")
		j.Parts = append(j.Parts, &Part{Table: schema.ID{Schema: schemaName, Name: name}, Condition: c.Condition, Surrogate: c.Surrogate})
	}
	return s, nil
}

// members are the state as members of a position: our own, and those by which Debezium would begin the tables again.
func (s *jobState) members() []byte {
	if len(s.Jobs) == 0 {
		return nil
	}
	s.Version = stateVersion
	own, err := json.Marshal(s)
	if err != nil {
		panic(fmt.Sprintf("encode the state of snapshots: %v", err)) // strings and numbers always have a form
	}
	out := append([]byte(`"`+stateMember+`":`), own...)
	var list []debeziumCollection
	for _, j := range s.Jobs {
		for _, p := range j.Parts {
			if !j.Blocking && !p.Whole {
				list = append(list, debeziumCollection{p.Table.String(), p.Condition, p.Surrogate, j.ID})
			}
		}
	}
	if len(list) == 0 {
		return out
	}
	collections, err := json.Marshal(list)
	if err == nil {
		collections, err = json.Marshal(string(collections))
	}
	if err != nil {
		return out
	}
	// The keys are null arrays in Java's serialized form.
	out = fmt.Appendf(out, `,"incremental_snapshot_primary_key":"aced000570","incremental_snapshot_maximum_key":"aced000570",`+
		`"incremental_snapshot_collections":%s`, collections)
	if id, err := json.Marshal(s.Jobs[0].ID); err == nil {
		out = fmt.Appendf(out, `,"incremental_snapshot_correlation_id":%s`, id)
	}
	return out
}

// tables names the tables that are still to be read, for notices.
func (j *Job) tables() string {
	names := make([]string, 0, len(j.Parts))
	for _, p := range j.Parts {
		if n := p.Table.String(); !slices.Contains(names, n) {
			names = append(names, n)
		}
	}
	return strings.Join(names, ",")
}
