// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// File is the content of a connector file.
type File struct {
	Name         string
	InitialState string // "" where the file gives none
	Config       map[string]string
}

// ReadFile reads a connector file in any of the forms that Kafka Connect takes, whatever its extension: a JSON object
// {"name","config","initial_state"}, a JSON object of properties, or Java properties. Config always has a name.
func ReadFile(path string) (File, error) {
	text, err := readText(path)
	if err != nil {
		return File{}, err
	}
	f, err := parseFile(text)
	if err != nil {
		return File{}, fmt.Errorf("connector configuration at %q: %w", path, err)
	}
	if f.Name == "" {
		err := fmt.Errorf("Connector configuration at '%s' is missing the mandatory 'name' configuration", path) //nolint:staticcheck // Connect's words
		if cause := brokenJSON(text); cause != nil {
			err = fmt.Errorf("%w (it begins like JSON, but is not: %w)", err, cause)
		}
		return File{}, err
	}
	return f, nil
}

// ReadProperties reads a Java properties file, such as a worker's.
func ReadProperties(path string) (map[string]string, error) {
	text, err := readText(path)
	if err != nil {
		return nil, err
	}
	out, err := ParseProperties(text)
	if err != nil {
		return nil, fmt.Errorf("properties file %q: %w", path, err)
	}
	return out, nil
}

// readText reads a file; its errors name the path before the cause, as Connect's do.
func readText(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	var e *fs.PathError
	if errors.As(err, &e) {
		return nil, fmt.Errorf("%s (%w)", path, e.Err)
	}
	return text, err
}

func parseFile(text []byte) (File, error) {
	var members map[string]json.RawMessage
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) && brokenJSON(text) == nil {
		if err := json.Unmarshal(text, &members); err != nil {
			return File{}, err
		}
	} else {
		cfg, err := ParseProperties(text)
		return File{Name: cfg["name"], Config: cfg}, err
	}
	f := File{}
	if inner, ok := members["config"]; ok && bytes.HasPrefix(bytes.TrimSpace(inner), []byte("{")) {
		for member, dst := range map[string]*string{"name": &f.Name, "initial_state": &f.InitialState} {
			if text, ok := members[member]; ok {
				s, err := scalar(text)
				if err != nil {
					return File{}, fmt.Errorf("member %q: %w", member, err)
				}
				*dst = s
			}
		}
		members = nil
		if err := json.Unmarshal(inner, &members); err != nil {
			return File{}, fmt.Errorf("member %q: %w", "config", err)
		}
	}
	cfg, err := scalars(members)
	if err != nil {
		return File{}, err
	}
	f.Config = cfg
	if f.Name == "" {
		f.Name = cfg["name"]
	} else if cfg["name"] == "" {
		cfg["name"] = f.Name
	}
	return f, nil
}

// scalars makes properties of the members of a JSON object.
func scalars(members map[string]json.RawMessage) (map[string]string, error) {
	out := make(map[string]string, len(members))
	for name, text := range members {
		if bytes.Equal(text, []byte("null")) {
			continue // as if it were not there
		}
		s, err := scalar(text)
		if err != nil {
			return nil, fmt.Errorf("property %q: %w", name, err)
		}
		out[name] = s
	}
	return out, nil
}

// scalar is a JSON text, number or truth value as the text of a property: numbers as they are written.
func scalar(text json.RawMessage) (string, error) {
	switch text = bytes.TrimSpace(text); text[0] {
	case '"':
		var s string
		err := json.Unmarshal(text, &s)
		return s, err
	case '{', '[':
		return "", errors.New("an object or array is not a value of a property: write it as one text")
	case 'n':
		return "", nil
	}
	return string(text), nil
}

// brokenJSON says why a text that begins like a JSON object is not one; nil where it is one, or does not begin so. The
// cause holds a position, nothing of the text.
func brokenJSON(text []byte) error {
	if !bytes.HasPrefix(bytes.TrimSpace(text), []byte("{")) || json.Valid(text) {
		return nil
	}
	var raw json.RawMessage
	err := json.NewDecoder(bytes.NewReader(text)).Decode(&raw)
	var e *json.SyntaxError
	switch {
	case errors.As(err, &e):
		line := 1 + strings.Count(string(text[:min(int(e.Offset), len(text))]), "\n")
		return fmt.Errorf("syntax error in line %d, at byte %d", line, e.Offset)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errors.New("it ends inside the object")
	case err != nil:
		return err
	}
	return errors.New("there is more text after the object")
}
