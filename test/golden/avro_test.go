// SPDX-License-Identifier: Apache-2.0

package golden

import (
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/internal/testdb"
	"freshet/schema/registry/registrytest"
)

const avroClass = "io.confluent.connect.avro.AvroConverter"

// registryURL is a real registry, where FRESHET_REGISTRY_URL names one (Apicurio: …/apis/ccompat/v7), else one in the
// test's process.
func registryURL(t *testing.T) string {
	t.Helper()
	if url := os.Getenv("FRESHET_REGISTRY_URL"); url != "" {
		return url
	}
	return registrytest.New(t).URL
}

func avroProperties(url string) map[string]string { return registeredProperties(avroClass, url) }

func registeredProperties(class, url string) map[string]string {
	return map[string]string{
		"key.converter": class, "key.converter.schema.registry.url": url,
		"value.converter": class, "value.converter.schema.registry.url": url, "value.converter.optional.for.nullables": "true",
	}
}

// TestAvroFromDatabaseToDatabase captures a table whose columns change, in each format with a registry, and applies it to another
// one; with and without a transform that flattens and gives another topic.
func TestAvroFromDatabaseToDatabase(t *testing.T) {
	const tags = "'{x,null}'"
	for _, c := range []struct {
		name, class, tags, topics string
		transforms                map[string]string
	}{
		{"events", avroClass, tags, "avro.public.t", nil},
		{"JSON Schema", "io.confluent.connect.json.JsonSchemaConverter", tags, "avro.public.t", nil},
		{"Protobuf", "io.confluent.connect.protobuf.ProtobufConverter", "'{x,y}'", "avro.public.t", nil},
		{"flattened and routed", avroClass, tags, "flat.public.t", map[string]string{
			"transforms": "unwrap,route", "transforms.unwrap.type": "io.debezium.transforms.ExtractNewRecordState",
			"transforms.unwrap.delete.tombstone.handling.mode": "tombstone",
			"transforms.route.type":                            "org.apache.kafka.connect.transforms.RegexRouter",
			"transforms.route.regex":                           `avro\.(.*)`, "transforms.route.replacement": "flat.$1",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := testdb.Postgres(t)
			w := newFileWorker(t, registeredProperties(c.class, registryURL(t)))
			require.NoError(t, s.Script(t, `create table t (id int primary key, name text, price numeric(10,2), tags text[], at timestamptz not null default '2026-01-02T03:04:05Z');
insert into t values (1, 'a', 1.50, `+c.tags+`), (2, null, null, null);`))
			name := "a" + strings.TrimPrefix(s.Database, "t")
			source := map[string]string{
				"connector.class": "PostgresConnector", "database.hostname": s.Host, "database.port": strconv.Itoa(s.Port), "database.user": s.User,
				"database.password": s.Password, "database.dbname": s.Database, "plugin.name": "pgoutput", "topic.prefix": "avro",
				"slot.name": name, "publication.name": name, "status.update.interval.ms": "50", "table.include.list": "public.t",
			}
			maps.Copy(source, c.transforms)
			w.put(t, name, source, "")
			w.put(t, name+"-sink", map[string]string{
				"connector.class": "JdbcSinkConnector", "topics": c.topics,
				"connection.url":      "jdbc:postgresql://" + s.Host + ":" + strconv.Itoa(s.Port) + "/" + s.Database,
				"connection.username": s.User, "connection.password": s.Password, "insert.mode": "upsert", "primary.key.mode": "record_key",
				"delete.enabled": "true", "schema.evolution": "basic", "collection.name.format": "target",
			}, "")
			check := func(columns, want string) {
				t.Helper()
				query := "select coalesce(string_agg(concat_ws('|', " + columns + "), ';' order by id), '') from "
				require.Equal(t, want, s.Text(t, query+"t"))
				got := ""
				waitFor(t, "the target has "+want, settleTimeout, func() bool {
					if s.Text(t, "select count(*) from information_schema.tables where table_name = 'target'") == "0" {
						return false
					}
					if columns != "id, name" && s.Text(t, "select count(*) from information_schema.columns where table_name = 'target' and column_name = 'more'") == "0" {
						return false
					}
					got = s.Text(t, query+"target")
					return got == want
				}, func() string {
					st, _ := w.herder.Status(t.Context(), name+"-sink")
					return got + " " + strings.Join(statusTexts(st), "\n")
				})
			}
			check("id, name", "1|a;2")
			require.NoError(t, s.Script(t, `update t set name = 'b' where id = 2; delete from t where id = 1; alter table t add more bigint; insert into t values (3, 'é', -0.01, '{}', now(), 5);`))
			check("id, name, price, more", "2|b;3|é|-0.01|5")
		})
	}
}

func statusTexts(s connect.Status) []string {
	var out []string
	for _, task := range s.Tasks {
		out = append(out, string(task.State)+" "+task.Trace)
	}
	return out
}

// A registry that is away is waited for, by sources and sinks; nothing is lost, and nothing comes twice.
func TestAvroWaitsForItsRegistry(t *testing.T) {
	r := registrytest.New(t)
	down := func(w http.ResponseWriter, _ *http.Request) bool {
		registrytest.Fail(w, http.StatusServiceUnavailable, 50301, "not ready")
		return true
	}
	r.Answer(down)
	w := newFileWorker(t, avroProperties(r.URL))
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "in"), []byte("a\nb\n"), 0o600))
	w.put(t, "in", map[string]string{"connector.class": "FileStreamSource", "file": "in", "topic": "lines"}, dir)
	restarting := func(name string) func() bool {
		return func() bool {
			s, err := w.herder.Status(t.Context(), name)
			require.NoError(t, err)
			return len(s.Tasks) == 1 && s.Tasks[0].State == connect.Restarting && strings.Contains(s.Tasks[0].Trace, "not ready")
		}
	}
	waitFor(t, "the source waits", settleTimeout, restarting("in"), func() string { return "" })
	r.Answer(nil)
	w.hasRecords(t, "lines", []string{`null = "\x00\x00\x00\x00\x01\x02a"`, `null = "\x00\x00\x00\x00\x01\x02b"`})

	r.Answer(down)
	w.put(t, "out", map[string]string{"connector.class": "FileStreamSink", "file": "out", "topics": "lines"}, dir)
	waitFor(t, "the sink waits", settleTimeout, restarting("out"), func() string { return "" })
	r.Answer(nil)
	var got []byte
	waitFor(t, "the sink writes", settleTimeout, func() bool {
		var err error
		got, err = os.ReadFile(filepath.Join(dir, "out"))
		return err == nil && string(got) == "a\nb\n"
	}, func() string { return string(got) })
}
