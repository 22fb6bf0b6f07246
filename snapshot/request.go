// SPDX-License-Identifier: Apache-2.0

package snapshot

import (
	"encoding/json"
	"fmt"
	"strings"

	"freshet/capture"
)

// request is what a signal asks for.
type request struct {
	Collections []string             `json:"data-collections"`
	Kind        string               `json:"type"`
	Conditions  []requestedCondition `json:"additional-conditions"`
	Surrogate   string               `json:"surrogate-key"`
	Message     string               `json:"message"`
	ID          string               `json:"id"` // of one snapshot to be stopped; Debezium does not have it
}

// requestedCondition limits the rows of a table: Filter is a part of a WHERE, or a whole statement for a blocking one.
type requestedCondition struct {
	Collection string `json:"data-collection"`
	Filter     string `json:"filter"`
}

// The types of signals that are served.
const (
	signalExecute = "execute-snapshot"
	signalStop    = "stop-snapshot"
	signalPause   = "pause-snapshot"
	signalResume  = "resume-snapshot"
	signalLog     = "log"
	windowOpen    = "snapshot-window-open"
	windowClose   = "snapshot-window-close"
)

// CheckSignal says why a signal would be ignored, whatever the state of the source.
func CheckSignal(s capture.Signal) error {
	switch s.Type {
	case signalExecute, signalStop, signalLog:
		_, err := parseRequest(s)
		return err
	case signalPause, signalResume, windowOpen, windowClose:
		return nil
	}
	return fmt.Errorf("its type %q is unknown", s.Type)
}

func parseRequest(s capture.Signal) (request, error) {
	var r request
	if err := json.Unmarshal([]byte(s.Data), &r); err != nil {
		return r, fmt.Errorf("data %q: %w", s.Data, err)
	}
	switch r.Kind = strings.ToLower(r.Kind); r.Kind {
	case "":
		r.Kind = "incremental"
	case "incremental", "blocking":
	default:
		return r, fmt.Errorf("type %q is none of incremental, blocking", r.Kind)
	}
	return r, nil
}

// condition is the filter for a table. Its name is that of an item, or what an item's pattern matched.
func (r *request) condition(pattern, table string) string {
	for _, c := range r.Conditions {
		if c.Collection == table || c.Collection == pattern {
			return c.Filter
		}
	}
	return ""
}
