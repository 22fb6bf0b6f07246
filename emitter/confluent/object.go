// SPDX-License-Identifier: Apache-2.0

package confluent

import (
	"bytes"
	"encoding/json"

	"freshet/emitter"
)

// Object is a JSON object with its members in order, as schemas need it. Of repeated ones the last counts.
type Object struct {
	Names  []string
	Values map[string]json.RawMessage
}

// ParseObject reads the text of an object.
func ParseObject(text []byte) (*Object, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, emitter.Refuse("expected a JSON object: " + string(text[:min(len(text), 80)]))
	}
	o := &Object{Values: map[string]json.RawMessage{}}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, emitter.Refuse(err.Error())
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return nil, emitter.Refuse(err.Error())
		}
		s := name.(string) // a key is a string
		if _, again := o.Values[s]; !again {
			o.Names = append(o.Names, s)
		}
		o.Values[s] = v
	}
	_, err := d.Token()
	return o, err
}

// Text is a member that is a text; false for others.
func (o *Object) Text(name string) (string, bool) {
	var s *string
	v, ok := o.Values[name]
	if !ok || json.Unmarshal(v, &s) != nil || s == nil {
		return "", false
	}
	return *s, true
}
