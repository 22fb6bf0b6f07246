// SPDX-License-Identifier: Apache-2.0

package cli_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/internal/store"
)

// Positions go from a folder into a file of Kafka Connect and back; wrong input is told with exit code 2.
func TestOffsetsAndCopies(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	write("offsets.json", `{"c":{"offsets":[{"partition":{"filename":"f"},"offset":{"position":3}}]}}`)
	write("other.json", `{"c":{"offsets":[{"partition":{"filename":"f"},"offset":{"position":4}}]}}`)
	write("broken.json", `{"offsets":[]}`)
	write("empty.properties", "group.id=g\n")
	write("brokers.properties", "bootstrap.servers=127.0.0.1:1\n")
	for _, name := range []string{"folder", "locked"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o700))
	}
	db, err := store.Open(filepath.Join(dir, "locked"), store.Options{})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	runAll(t, dir, []mistake{
		{"offsets", 0, nil},
		{"offsets --help", 0, nil},
		{"offsets export --help", 0, nil},
		{"offsets import --help", 0, nil},
		{"topics copy --help", 0, nil},
		{"offsets import --data folder --dry-run offsets.json", 0, []string{"1 position(s) to be imported, 0 were there already"}},
		{"offsets import --data folder offsets.json", 0, []string{"1 position(s) imported, 0 were there already"}},
		{"offsets import --data folder offsets.json c", 0, []string{"0 position(s) imported, 1 were there already"}},
		{"offsets import --data folder other.json", 2, []string{`other positions of connector "c"`, "--force"}},
		{"offsets import --data folder other.json --force", 0, []string{"1 position(s) imported"}},
		{"offsets export --data folder -o out.json", 0, []string{"positions of 1 connector(s) exported"}},
		{"offsets import --java-file java out.json", 0, []string{"1 position(s) imported"}},
		{"offsets export --java-file java c", 0, []string{"positions of 1 connector(s) exported"}},
		{"offsets nope", 2, []string{`unknown command "nope"`, "freshet offsets --help"}},
		{"offsets export", 2, []string{"give one of --data, --java-file and --kafka"}},
		{"offsets export --data folder --java-file java", 2, []string{"give one of"}},
		{"offsets export --data folder --topic t", 2, []string{"give --kafka too"}},
		{"offsets export --data none", 2, []string{"no such file or directory"}},
		{"offsets export --data locked", 2, []string{"in use"}},
		{"offsets export --java-file none", 2, []string{"no such file or directory"}},
		{"offsets export --java-file offsets.json", 2, []string{"offset.storage.file.filename"}},
		{"offsets export --data folder d", 2, []string{`there is no position of connector "d"`}},
		{"offsets export --kafka none.properties", 2, []string{"none.properties (no such file or directory)"}},
		{"offsets export --kafka empty.properties", 2, []string{"bootstrap.servers"}},
		{"offsets export --kafka brokers.properties", 2, []string{"offset.storage.topic", "--topic"}},
		{"offsets import --data folder", 2, []string{"usage: freshet offsets import FILE"}},
		{"offsets import --data folder none.json", 2, []string{"none.json: no such file or directory"}},
		{"offsets import --data folder broken.json", 2, []string{"freshet offsets export"}},
		{"topics copy", 2, []string{"--data", "--to"}},
		{"topics copy --worker http://127.0.0.1:1 --to brokers.properties", 2, []string{"stop it"}},
		{"topics copy --data folder --to none.properties", 2, []string{"none.properties (no such file or directory)"}},
		{"topics copy --data folder --to empty.properties", 2, []string{"bootstrap.servers"}},
		{"topics copy --data none --to brokers.properties", 2, []string{"no such file or directory"}},
		{"topics copy --data locked --to brokers.properties", 2, []string{"in use"}},
		{"topics copy --data folder --to brokers.properties --topic-config x", 2, []string{`--topic-config "x" is not NAME=VALUE`}},
		{"topics copy --data folder --to brokers.properties --replication x", 2, []string{`invalid argument "x" for "--replication"`}},
	})
	got := run(t, dir, "", "offsets", "export", "--java-file", "java")
	require.JSONEq(t, `{"c":{"offsets":[{"partition":{"filename":"f"},"offset":{"position":4}}]}}`, got.out)
}
