// SPDX-License-Identifier: Apache-2.0

package offsetio

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"go.uber.org/goleak"

	"freshet/connect"
	"freshet/emitter/topic"
	"freshet/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.DiscardHandler)

// marks are positions of three connectors, of one with a name that JSON has to spell.
var marks = []topic.Mark{
	{Key: `["a<\"é",{"s":"1"}]`, Value: `{"lsn":1,"text":"<x>"}`},
	{Key: `["b",{"s":"1"}]`, Value: `{"lsn":2}`},
	{Key: `["b",{"s":"2","t":null}]`, Value: `{"lsn":9007199254740993}`},
	{Key: `["c",{"filename":"f"}]`, Value: `{"position":3}`},
}

const exported = `{
  "a<\"é": {
    "offsets": [
      {
        "partition": {
          "s": "1"
        },
        "offset": {
          "lsn": 1,
          "text": "<x>"
        }
      }
    ]
  },
  "b": {
    "offsets": [
      {
        "partition": {
          "s": "1"
        },
        "offset": {
          "lsn": 2
        }
      },
      {
        "partition": {
          "s": "2",
          "t": null
        },
        "offset": {
          "lsn": 9007199254740993
        }
      }
    ]
  },
  "c": {
    "offsets": [
      {
        "partition": {
          "filename": "f"
        },
        "offset": {
          "position": 3
        }
      }
    ]
  }
}
`

func closed(t *testing.T, p Place, err error) Place {
	t.Helper()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close(context.Background())) })
	return p
}

// places are the kinds of places, new ones.
var places = map[string]func(t *testing.T) Place{
	"folder": func(t *testing.T) Place {
		p, err := OpenFolder(t.TempDir(), quiet)
		return closed(t, p, err)
	},
	"java file": func(t *testing.T) Place {
		p, err := OpenFile(filepath.Join(t.TempDir(), "offsets"), true)
		return closed(t, p, err)
	},
	"topic": func(t *testing.T) Place {
		fake, err := kfake.NewCluster(kfake.NumBrokers(1))
		require.NoError(t, err)
		t.Cleanup(fake.Close)
		p, err := OpenTopic(t.Context(), map[string]string{
			"bootstrap.servers": fake.ListenAddrs()[0], "offset.storage.topic": "offsets", "offset.storage.replication.factor": "1",
		}, "", true, quiet)
		return closed(t, p, err)
	},
}

func export(t *testing.T, p Place, names ...string) string {
	t.Helper()
	var out bytes.Buffer
	_, err := Export(t.Context(), p, names, &out)
	require.NoError(t, err)
	return out.String()
}

// What one place has goes into every other one, unchanged; doing it again changes nothing.
func TestFromPlaceToPlace(t *testing.T) {
	for name, open := range places {
		t.Run(name, func(t *testing.T) {
			p := open(t)
			r, err := Import(t.Context(), p, strings.NewReader(exported), ImportOptions{DryRun: true})
			require.NoError(t, err)
			require.Equal(t, Result{Written: 4}, r)
			require.Equal(t, "{}\n", export(t, p))
			r, err = Import(t.Context(), p, strings.NewReader(exported), ImportOptions{Names: []string{"b"}})
			require.NoError(t, err)
			require.Equal(t, Result{Written: 2}, r)
			r, err = Import(t.Context(), p, strings.NewReader(exported), ImportOptions{})
			require.NoError(t, err)
			require.Equal(t, Result{Written: 2, Same: 2}, r)
			require.Equal(t, exported, export(t, p))
			got, err := p.Marks(t.Context())
			require.NoError(t, err)
			require.Len(t, got, len(marks))
			for _, m := range marks {
				require.Contains(t, values(got), meaning(m.Key)+"="+m.Value)
			}
			require.NotContains(t, export(t, p, "c"), "lsn")

			// Another position is replaced only by force, and one is forgotten where there is none in the document.
			const other = `{"b":{"offsets":[{"partition":{"s":"1"},"offset":{"lsn":7}},{"partition":{"t":null,"s":"2"},"offset":null}]}}`
			_, err = Import(t.Context(), p, strings.NewReader(other), ImportOptions{})
			var conflict *ConflictError
			require.ErrorAs(t, err, &conflict)
			require.ErrorContains(t, err, `"b"`)
			require.Equal(t, exported, export(t, p))
			r, err = Import(t.Context(), p, strings.NewReader(other), ImportOptions{Force: true})
			require.NoError(t, err)
			require.Equal(t, Result{Written: 2}, r)
			require.Equal(t, `{"b":{"offsets":[{"partition":{"s":"1"},"offset":{"lsn":7}}]}}`, strings.Join(strings.Fields(export(t, p, "b")), ""))
		})
	}
}

func values(marks []topic.Mark) (out []string) {
	for _, m := range marks {
		out = append(out, meaning(m.Key)+"="+m.Value)
	}
	return out
}

func TestDocumentsThatAreRefused(t *testing.T) {
	for _, c := range []struct{ name, document, want string }{
		{"nothing", "", "read the positions: EOF"},
		{"no JSON", "lsn=1", "invalid character"},
		{"a list", "[]", "cannot unmarshal array"},
		{"of one connector", `{"offsets":[]}`, "the form is that of `freshet offsets export`"},
		{"two", "{} {}", "there is more behind the document"},
		{"partition", `{"c":{"offsets":[{"partition":"x","offset":{}}]}}`, `connector "c": the partition "x" is no object`},
		{"offset", `{"c":{"offsets":[{"partition":{},"offset":7}]}}`, `connector "c": the offset 7 is no object`},
		{"a sink", `{"c":{"offsets":[{"partition":{"kafka_topic":"t","kafka_partition":0},"offset":{"kafka_offset":5}}]}}`, "`freshet topics copy` carries"},
		{"name", `{"c":{"offsets":[]}}`, `there is no position of connector "d"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := OpenFile(filepath.Join(t.TempDir(), "offsets"), true)
			require.NoError(t, err)
			require.NoError(t, p.Put(t.Context(), marks[:1]))
			o := ImportOptions{}
			if c.name == "name" {
				o.Names = []string{"d"}
			}
			_, err = Import(t.Context(), p, strings.NewReader(c.document), o)
			var wrong *DocumentError
			require.ErrorAs(t, err, &wrong)
			require.ErrorContains(t, err, c.want)
			got, err := p.Marks(t.Context())
			require.NoError(t, err)
			require.Equal(t, marks[:1], got)
		})
	}
	_, err := Export(t.Context(), file{path: filepath.Join(t.TempDir(), "none")}, nil, &bytes.Buffer{})
	require.ErrorContains(t, err, "read the offsets file")
}

func TestPlacesThatAreNone(t *testing.T) {
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "deleting"))
	require.NoError(t, err)
	defer fake.Close()
	brokers := fake.ListenAddrs()[0]
	text := filepath.Join(t.TempDir(), "text")
	require.NoError(t, os.WriteFile(text, []byte("no offsets"), 0o600))
	dir := t.TempDir()
	db, err := store.Open(dir, store.Options{Log: quiet})
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	for _, c := range []struct {
		name, want string
		open       func() (Place, error)
	}{
		{"no file", "no such file", func() (Place, error) { return OpenFile(filepath.Join(dir, "none"), false) }},
		{"another file", "offset.storage.file.filename", func() (Place, error) { return OpenFile(text, true) }},
		{"no folder", "no such file", func() (Place, error) { return OpenFolder(filepath.Join(dir, "none"), quiet) }},
		{"a folder in use", "in use", func() (Place, error) { return OpenFolder(dir, quiet) }},
		{"no brokers", "have no bootstrap.servers", func() (Place, error) { return OpenTopic(t.Context(), nil, "t", true, quiet) }},
		{"no name", "have no offset.storage.topic", func() (Place, error) {
			return OpenTopic(t.Context(), map[string]string{"bootstrap.servers": brokers}, "", true, quiet)
		}},
		{"no number", "offset.storage.partitions is \"many\"", func() (Place, error) {
			return OpenTopic(t.Context(), map[string]string{"bootstrap.servers": brokers, "offset.storage.partitions": "many"}, "t", true, quiet)
		}},
		{"no topic", `topic "none" does not exist`, func() (Place, error) {
			return OpenTopic(t.Context(), map[string]string{"bootstrap.servers": brokers}, "none", false, quiet)
		}},
		{"no login", "sasl", func() (Place, error) {
			return OpenTopic(t.Context(), map[string]string{"bootstrap.servers": brokers, "security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN"}, "t", false, quiet)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := c.open()
			var wrong *PlaceError
			require.ErrorAs(t, err, &wrong)
			require.ErrorContains(t, err, c.want)
		})
	}
}

// A file that cannot be written stays what it is.
func TestFileThatCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	require.NoError(t, os.Mkdir(dir, 0o700))
	f := file{filepath.Join(dir, "offsets"), true}
	require.NoError(t, f.Put(t.Context(), marks))
	require.NoError(t, os.RemoveAll(dir))
	require.ErrorContains(t, f.Put(t.Context(), marks), "write the offsets file")
}

// Positions of the engine's own are none of a connector.
func TestOwnMarksAreLeftOut(t *testing.T) {
	p := places["folder"](t)
	require.NoError(t, p.Put(t.Context(), []topic.Mark{{Key: "__freshet-spool.c", Value: "x"}, {Key: connect.MarkKey("c", "{}"), Value: `{"n":1}`}}))
	require.NotContains(t, export(t, p), "spool")
}
