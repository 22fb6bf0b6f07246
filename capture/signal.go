// SPDX-License-Identifier: Apache-2.0

package capture

import (
	"encoding/json"
	"errors"
)

// Signal asks a source for something, as the rows of Debezium's signal table do.
type Signal struct {
	ID   string
	Type string // such as execute-snapshot
	Data string // JSON
}

// ParseSignal reads {"id","type","data"}, where data is an object or the text of one: a line of a signal file, the value of a
// record of a signal topic.
func ParseSignal(text []byte) (Signal, error) {
	var m struct {
		ID   string          `json:"id"`
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return Signal{}, err
	}
	if m.Type == "" {
		return Signal{}, errors.New("it has no type")
	}
	s := Signal{ID: m.ID, Type: m.Type, Data: string(m.Data)}
	var inner string
	if json.Unmarshal(m.Data, &inner) == nil {
		s.Data = inner
	}
	return s, nil
}
