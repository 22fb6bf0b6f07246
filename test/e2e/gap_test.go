// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/internal/testdb"
)

// How changes that were still to be read can be gone.
var gaps = []struct {
	name string
	// settings of the server, nil for the shared one.
	settings map[string]string
	lose     func(t *testing.T, source *testdb.Server, slot string)
	words    []string
}{
	{
		name: "slot dropped",
		lose: func(t *testing.T, source *testdb.Server, slot string) {
			source.Exec(t, "select pg_drop_replication_slot($1)", slot)
		},
		words: []string{"the slot does not exist", "are lost"},
	},
	{
		name: "slot made anew",
		lose: func(t *testing.T, source *testdb.Server, slot string) {
			source.Exec(t, "select pg_drop_replication_slot($1)", slot)
			source.Exec(t, "select pg_create_logical_replication_slot($1, 'pgoutput')", slot)
		},
		words: []string{"it was created anew or advanced by somebody else", "are lost"},
	},
	{
		name: "slot advanced",
		lose: func(t *testing.T, source *testdb.Server, slot string) {
			source.Exec(t, "select pg_replication_slot_advance($1, pg_current_wal_lsn())", slot)
		},
		words: []string{"advanced", "by somebody else", "are lost"},
	},
	{
		name:     "log removed",
		settings: map[string]string{"max_slot_wal_keep_size": "1MB"},
		lose: func(t *testing.T, source *testdb.Server, slot string) {
			waitFor(t, "the server to give up the slot", func() bool {
				source.Exec(t, "select pg_logical_emit_message(false, 'filler', 'a segment with nothing in it is not switched')")
				source.Exec(t, "select pg_switch_wal()")
				source.Exec(t, "checkpoint")
				return source.Text(t, "select wal_status from pg_replication_slots where slot_name = '"+slot+"'") == "lost"
			})
		},
		words: []string{`its wal_status is "lost"`, "are lost"},
	},
}

var lostRange = regexp.MustCompile(`changes from [0-9A-F]+/[0-9A-F]+ to [0-9A-F]+/[0-9A-F]+ are lost`)

// TestGap: where changes are gone the connector is FAILED and says which ones, whatever is lost how; and it goes on once
// snapshot.mode allows to read the tables again.
func TestGap(t *testing.T) {
	t.Parallel()
	for _, g := range gaps {
		for _, mode := range []string{"initial", "no_data"} {
			t.Run(g.name+" "+mode, func(t *testing.T) {
				t.Parallel()
				source, target := gapServers(t, g.settings)
				slot := "e2e_" + source.Database
				source.Exec(t, itemsDDL)
				s := pair(t, source, target)
				s.gaps = true
				s.connectors[sourceName] = s.connectors[sourceName].with(properties{"snapshot.mode": mode})
				w := s.start(t)
				w.streaming(t, source)
				source.Exec(t, "insert into items values (1, 0, 'streamed')")
				equal(t, source, target)
				w.stop(t)
				source.Exec(t, "insert into items values (2, 0, 'nobody reads')")
				g.lose(t, source, slot)
				source.Exec(t, "insert into items values (3, 0, 'behind the gap')")

				w = s.start(t)
				trace := w.await(t, sourceName, connect.Failed)
				requireWords(t, trace, g.words...)
				requireWords(t, trace, slot, "snapshot.mode=when_needed")
				require.Regexp(t, lostRange, trace)
				require.Equal(t, map[string]string{"1": "c0"}, w.history(t), "nothing is read in silence")

				w.change(t, sourceName, properties{"snapshot.mode": "when_needed"})
				w.await(t, sourceName, connect.Running)
				equal(t, source, target)
				source.Exec(t, "insert into items values (4, 0, 'streamed')")
				equal(t, source, target)
				w.stop(t)
			})
		}
	}
}

// TestGapSnapshotsAgain: the modes that read the tables again do so by themselves, and say so.
func TestGapSnapshotsAgain(t *testing.T) {
	t.Parallel()
	for _, g := range gaps {
		for mode, said := range map[string]string{"when_needed": "the snapshot that the mode asks for is taken again", "always": "snapshot.mode=always"} {
			t.Run(g.name+" "+mode, func(t *testing.T) {
				t.Parallel()
				source, target := gapServers(t, g.settings)
				source.Exec(t, itemsDDL+"insert into items values (1, 0, 'snapshot')")
				s := pair(t, source, target)
				s.gaps = true
				s.connectors[sourceName] = s.connectors[sourceName].with(properties{"snapshot.mode": mode})
				w := s.start(t)
				w.streaming(t, source)
				equal(t, source, target)
				w.stop(t)
				source.Exec(t, "insert into items values (2, 0, 'nobody reads'); update items set n = 1 where id = 1")
				g.lose(t, source, "e2e_"+source.Database)
				source.Exec(t, "insert into items values (3, 0, 'behind the gap')")

				w = s.start(t)
				w.await(t, sourceName, connect.Running)
				equal(t, source, target)
				source.Exec(t, "insert into items values (4, 0, 'streamed')")
				equal(t, source, target)
				require.Contains(t, w.err.String(), said)
				if mode == "when_needed" {
					require.Regexp(t, lostRange, w.err.String(), "the log says which changes are gone")
				}
				w.stop(t)
			})
		}
	}
}

func gapServers(t *testing.T, settings map[string]string) (source, target *testdb.Server) {
	t.Helper()
	if settings != nil {
		return testdb.NewPostgres(t, testdb.Options{Settings: settings}), testdb.Postgres(t)
	}
	return testdb.Postgres(t), testdb.Postgres(t)
}
