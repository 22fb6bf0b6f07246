// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestEveryPropertyIsKnown reads the names and defaults of Debezium 3.6: none may be unknown, for an unknown property only
// warns. Each is served, refused, or without effect for a reason. What begins with "driver." and the like stands for a family.
func TestEveryPropertyIsKnown(t *testing.T) {
	ofTheRuntime := map[string]bool{"name": true, "connector.class": true, "tasks.max": true}
	otherDefault := map[string]string{"plugin.name": "pgoutput"}
	text, err := os.ReadFile(filepath.Join("testdata", "properties.tsv"))
	require.NoError(t, err)
	def, seen := definition(), 0
	for line := range strings.Lines(string(text)) {
		name, value, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		require.True(t, ok, "%q", line)
		seen++
		if ofTheRuntime[name] {
			continue
		}
		k := def.Find(name)
		if k == nil {
			t.Errorf("%s is not declared", name)
			continue
		}
		if other := otherDefault[name]; other != "" {
			value = other
		}
		if value != "" && !strings.EqualFold(value, k.Default) {
			t.Errorf("%s: the default is %q, and recorded is %q", name, k.Default, value)
		}
		if reason := k.Later + k.Ignored; reason != "" && strings.HasSuffix(reason, ".") {
			t.Errorf("%s: the reason ends a sentence that goes on: %q", name, reason)
		}
	}
	require.Equal(t, 168, seen)
}

// What names a Java class is refused with what to write instead.
func TestCustomOptionsTellTheNextStep(t *testing.T) {
	for name, value := range map[string]string{
		"snapshot.mode": "custom", "snapshot.mode.custom.name": "x", "snapshot.query.mode": "custom", "snapshot.query.mode.custom.name": "x",
		"snapshot.locking.mode": "custom", "snapshot.locking.mode.custom.name": "x", "converters": "geo",
	} {
		def := definition()
		_, problems := def.Parse(minimal(map[string]string{name: value}))
		require.Len(t, problems, 1, name)
		require.True(t, problems[0].Unserved, name)
		require.Regexp(t, "(write|take the property out)", problems[0].Message)
	}
}
