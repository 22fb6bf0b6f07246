// SPDX-License-Identifier: Apache-2.0

package local

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/emitter/topic"
	"freshet/internal/store"
)

var update = flag.Bool("update", false, "write the newest folder of testdata anew; only together with a new version of a stored format")

// newestFolder is what this version writes.
const newestFolder = "testdata/v3"

// formatUnit is what testdata/v1 holds; v2 has a record more, whose headers are those of the one before, and v3 as many
// again as a chunk needs to be packed.
func formatUnit(folder string) topic.Unit {
	u := firstUnit()
	if folder == newestFolder {
		many := manyRecords(100)
		for i := range many {
			many[i].Topic, many[i].TimeMillis, many[i].Value.Head = "t", 1700000000004, u.Records[0].Value.Head
		}
		u.Records = slices.Insert(u.Records, 2, many...)
	}
	if folder != "testdata/v1" {
		u.Records = slices.Insert(u.Records, 2, topic.Record{Topic: "t", TimeMillis: 1700000000003, Key: topic.Data{Body: []byte("l")}, Headers: headersForFormat})
	}
	return u
}

func firstUnit() topic.Unit {
	head := &topic.Head{ID: 99, Bytes: []byte(`{"schema":{},"payload":`)}
	return topic.Unit{
		Mark: topic.Mark{Key: `{"server":"s"}`, Value: `{"lsn":1}`},
		Records: []topic.Record{
			{Topic: "t", TimeMillis: 1700000000000, Key: topic.Data{Head: head, Body: []byte("1}")}, Value: topic.Data{Head: head, Body: []byte("2}")}},
			{Topic: "t", TimeMillis: 1700000000001, Key: topic.Data{Body: []byte("k")}, Headers: headersForFormat},
			{Topic: "t", Partition: 1, TimeMillis: 1700000000002, Value: topic.Data{Body: []byte{}}},
		},
	}
}

var headersForFormat = []topic.Header{{Key: "a", Value: []byte("b")}, {Key: "n"}}

// TestReadsFolders opens folders that this and earlier versions wrote.
func TestReadsFolders(t *testing.T) {
	if *update {
		writeFolder(t, newestFolder)
	}
	for _, kept := range []string{"testdata/v1", "testdata/v2", newestFolder} {
		t.Run(filepath.Base(kept), func(t *testing.T) { readFolder(t, kept) })
	}
}

func readFolder(t *testing.T, kept string) {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(kept)))
	db, err := store.Open(dir, store.Options{})
	require.NoError(t, err)
	l, err := Open(db, Options{RetentionInterval: -1})
	require.NoError(t, err)
	ctx := t.Context()
	want := formatUnit(kept)
	last := len(want.Records) - 1
	for n, records := range [][]topic.Record{want.Records[:last], want.Records[last:]} {
		got, err := l.ReadFrom(ctx, topic.Partition{Topic: "t", Partition: int32(n)}, 0, len(records))
		require.NoError(t, err)
		require.Len(t, got, len(records))
		for i, r := range records {
			r.Offset = int64(i)
			require.Equal(t, r, got[i])
		}
	}
	mark, err := l.LoadMark(ctx, want.Mark.Key)
	require.NoError(t, err)
	require.Equal(t, want.Mark.Value, mark)
	groups, err := l.Groups(ctx)
	require.NoError(t, err)
	require.Equal(t, map[string]map[topic.Partition]int64{"g": {{Topic: "t"}: 1}}, groups)
	connectors, err := db.Connectors()
	require.NoError(t, err)
	require.Equal(t, []store.Connector{{Name: "c", Config: []byte(`{"a":"b"}`)}}, connectors)
	state, err := db.TargetState("c")
	require.NoError(t, err)
	require.Equal(t, "PAUSED", state)
	require.NoError(t, l.Close(ctx))
	require.NoError(t, db.Close())
}

func writeFolder(t *testing.T, dir string) {
	t.Helper()
	require.NoError(t, os.RemoveAll(dir))
	db, err := store.Open(dir, store.Options{})
	require.NoError(t, err)
	l, err := Open(db, Options{RetentionInterval: -1})
	require.NoError(t, err)
	require.NoError(t, l.Create(t.Context(), topic.Spec{Name: "t", Partitions: 2, RetentionTime: time.Hour}))
	u := formatUnit(dir)
	require.NoError(t, appendUnit(l, u.Mark, u.Records...))
	require.NoError(t, l.SetGroupOffset(t.Context(), "g", topic.Partition{Topic: "t"}, 1))
	require.NoError(t, db.PutConnector("c", []byte(`{"a":"b"}`)))
	require.NoError(t, db.PutTargetState("c", "PAUSED"))
	require.NoError(t, l.Close(t.Context()))
	require.NoError(t, db.Close())
	require.NoError(t, os.Remove(filepath.Join(dir, "LOCK")))
}
