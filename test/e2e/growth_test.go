// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/internal/testdb"
)

// TestGrowthIntoKafka: topics of a data folder are copied to Kafka, and the worker goes on there: no new snapshot, nothing
// missing and nothing twice, for the source and for the sink, which had not read all of it.
func TestGrowthIntoKafka(t *testing.T) {
	t.Parallel()
	source, target := testdb.Postgres(t), testdb.Postgres(t)
	source.Exec(t, itemsDDL)
	source.Exec(t, "insert into items select i, 1, 'before' from generate_series(1, 300) i")
	s := pair(t, source, target)
	w := s.start(t)
	w.streaming(t, source)
	equal(t, source, target)
	w.do(t, "PUT", "/connectors/"+sinkName+"/pause", nil)
	w.await(t, sinkName, connect.Paused)
	source.Exec(t, "update items set n = 2, note = 'waits in the topic' where id <= 200")
	w.awaitRecords(t, itemsTopic, 500)
	w.stop(t)
	before := topics(t, "", "list", "--data", s.data)
	require.Contains(t, before, itemsTopic)

	s.inKafka(testdb.Kafka(t).Address())
	file := filepath.Join(t.TempDir(), "kafka.properties")
	require.NoError(t, os.WriteFile(file, []byte("bootstrap.servers="+testdb.Kafka(t).Address()+"\n"), 0o600))
	copied := func(args ...string) []string {
		t.Helper()
		out := topics(t, "", append([]string{"copy", "--data", s.data, "--to", file}, args...)...)
		for line := range strings.Lines(out) {
			if strings.HasPrefix(line, itemsTopic+" ") {
				return strings.Fields(line)[1:]
			}
		}
		require.Fail(t, "the topic is not in the list", out)
		return nil
	}
	require.Equal(t, []string{"500", "0"}, copied("--dry-run"))
	require.Equal(t, []string{"500", "0"}, copied())
	require.Equal(t, []string{"0", "500"}, copied())

	w = s.start(t)
	w.streaming(t, source)
	source.Exec(t, "update items set n = 3, note = 'after' where id <= 100")
	source.Exec(t, "insert into items select i, 1, 'new' from generate_series(301, 350) i")
	equal(t, source, target)
	times := orderOf(t, w.records(t, itemsTopic))
	require.Len(t, times, 300+200+100+50)
	for change, n := range times {
		require.Equal(t, 1, n, "row and change %s", change)
	}
	offsets := w.do(t, "GET", "/connectors/"+sinkName+"/offsets", nil)
	requireWords(t, offsets, `"kafka_topic":"`+itemsTopic+`"`)
	w.stop(t)

	// The positions can be carried into a cluster's offsets topic, too.
	require.NoError(t, os.WriteFile(file, []byte("bootstrap.servers="+testdb.Kafka(t).Address()+"\noffset.storage.topic=growth-offsets\noffset.storage.replication.factor=1\n"), 0o600))
	export := func(args ...string) string {
		t.Helper()
		p := start(t, nil, append([]string{"offsets", "export"}, args...)...)
		require.Zero(t, p.wait(t), "%s", p.err)
		return p.out.String()
	}
	exported := export("--data", s.data)
	require.Contains(t, exported, `"lsn"`)
	p := start(t, strings.NewReader(exported), "offsets", "import", "--kafka", file, "-")
	require.Zero(t, p.wait(t), "%s", p.err)
	require.Contains(t, p.err.String(), "1 position(s) imported, 0 were there already")
	require.Equal(t, exported, export("--kafka", file))
	require.Equal(t, exported, export("--kafka", file, sourceName))
}
