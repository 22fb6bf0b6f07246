// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"freshet/connect"
)

// maxBody is the largest body of a request.
const maxBody = 1 << 20

// Malformed bodies are answered with 500, as Kafka Connect does; only the words are our own.

var errNoBody = malformed("The request has no body")

// malformed refuses a request whose body, or part of it, makes no sense.
func malformed(message string) error {
	return &connect.Error{Code: http.StatusInternalServerError, Message: message}
}

// readBody decodes the one JSON value of a body.
func readBody(r *request, into any) error {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return fmt.Errorf("read the body: %w", err)
	}
	if text = bytes.TrimSpace(text); len(text) == 0 || string(text) == "null" {
		return errNoBody
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return malformed("Cannot read the body: " + err.Error())
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return malformed("Cannot read the body: more text after the JSON value")
	}
	return nil
}

// properties is a configuration in a body: scalars become texts, null becomes connect.NullValue.
type properties map[string]string

// UnmarshalJSON reads an object of scalars.
func (p *properties) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		return nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		return err
	}
	*p = make(properties, len(members))
	for name, raw := range members {
		value, err := scalar(raw)
		if err != nil {
			return fmt.Errorf("property %q: %w", name, err)
		}
		(*p)[name] = value
	}
	return nil
}

func scalar(raw json.RawMessage) (string, error) {
	switch raw[0] {
	case '"':
		var s string
		err := json.Unmarshal(raw, &s)
		return s, err
	case '{', '[':
		return "", errors.New("an object or array cannot be the value of a property")
	case 'n':
		return connect.NullValue, nil
	case 't', 'f':
		return string(raw), nil
	}
	return javaNumber(string(raw)), nil
}

// javaNumber prints a JSON number as Java does after parsing it: integers as they are, others as doubles.
func javaNumber(text string) string {
	if !strings.ContainsAny(text, ".eE") {
		return text
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return text
	}
	if abs := math.Abs(f); abs == 0 || abs >= 1e-3 && abs < 1e7 {
		s := strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s
	}
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'E', -1, 64), "E")
	if !strings.Contains(mantissa, ".") {
		mantissa += ".0"
	}
	n, _ := strconv.Atoi(exponent)
	return mantissa + "E" + strconv.Itoa(n)
}

// createRequest is the body of POST /connectors.
type createRequest struct {
	Name         *string     `json:"name"`
	Config       *properties `json:"config"`
	InitialState *string     `json:"initial_state"`
}
