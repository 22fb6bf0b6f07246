// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
)

// peerCase is a case in the form of testdata/golden.
type peerCase struct {
	Title  string            `json:"title"`
	Source string            `json:"source"`
	Config map[string]string `json:"config"`
	Steps  []string          `json:"steps"`
	files  map[string]string // the SQL files that Steps names
}

func readCase(dir string) (peerCase, error) {
	var c peerCase
	text, err := os.ReadFile(filepath.Join(dir, "case.json"))
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, err
	}
	c.files = map[string]string{}
	for _, step := range c.Steps {
		if strings.HasPrefix(step, "@") {
			continue
		}
		sql, err := os.ReadFile(filepath.Join(dir, step))
		if err != nil {
			return c, err
		}
		c.files[step] = string(sql)
	}
	return c, nil
}

// write makes the folder of the case.
func (c peerCase) write(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(c, "", " ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "case.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	for name, sql := range c.files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(sql), 0o644); err != nil {
			return err
		}
	}
	return nil
}
