// SPDX-License-Identifier: Apache-2.0

package file_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/config"
	"freshet/schema"
	"freshet/sinks"
	"freshet/sinks/file"
)

func open(t *testing.T, path string) (sinks.Writer, error) {
	t.Helper()
	c := file.New()
	def := c.Describe().Def
	v, problems := def.Parse(map[string]string{"file": path})
	require.Empty(t, problems)
	require.Empty(t, c.Check(t.Context(), config.Values{}))
	return c.Open(t.Context(), sinks.Env{}, v)
}

// Each opening appends; a value is a line, also a null.
func TestWriterAppends(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.txt")
	for range 2 {
		w, err := open(t, path)
		require.NoError(t, err)
		var b sinks.Batch
		row := b.Data.NewRow(2)
		b.Data.Set(row, 0, change.IntValue(1))
		b.Records = []sinks.Record{
			{Value: b.Data.Text("héllo")},
			{Value: change.NullValue()},
			{Value: b.Data.Run(change.Struct, row), ValueType: &schema.Type{Kind: schema.Struct, Fields: []schema.Field{
				{Name: "id", Type: &schema.Type{Kind: schema.Int32}}, {Name: "name", Type: &schema.Type{Kind: schema.String, Optional: true}},
			}}},
		}
		require.NoError(t, w.Write(t.Context(), &b))
		require.NoError(t, w.Close(t.Context()))
		require.NoError(t, w.Close(t.Context()))
	}
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	const once = "héllo\nnull\nStruct{id=1}\n"
	require.Equal(t, once+once, string(got))
}

func TestOpenFails(t *testing.T) {
	_, err := open(t, filepath.Join(t.TempDir(), "no", "out.txt"))
	require.ErrorContains(t, err, "for FileStreamSinkTask")
	var final interface{ Retriable() bool }
	require.ErrorAs(t, err, &final)
	require.False(t, final.Retriable())
}
