// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/internal/testdb"
	"freshet/schema"
)

const goldenDir = "../../testdata/golden/postgres"

// goldenTypes are the recorded cases about types, each with what must differ from the recording: "table.column" for a
// column whose values or schema are right here and wrong there, with the ops of the events ("" for all and the schema).
var goldenTypes = map[string]map[string]string{
	"arrays": nil, "bytea-bits": nil, "bytea-base64": nil, "hstore-json": nil, "hstore-map": nil,
	"geometric": nil, "interval-numeric": nil, "interval-string": nil, "json-uuid-xml-net": nil, "ranges": nil,
	"enum-domain-composite": nil, "domain-over-enum-fails": nil, "unknown-types-included": nil,
	"numeric-precise": nil, "numeric-double": nil, "numeric-string": nil, "numeric-special-precise": nil,
	"temporal-adaptive": nil, "temporal-connect": nil, "temporal-isostring": nil, "temporal-microseconds": nil,
	"temporal-nanoseconds-notnull-delete": nil, "text-escapes": nil, "large-text-unchanged": nil,
	"toast-unchanged": nil, "key-types": nil, "wide-table": nil, "toast-required-unsupported": nil,
	// Dates of the snapshot lose their era and the days of the 1582 gap; microseconds wrap where they must stop.
	"temporal-extremes":         {"ext.d": "r", "ext.ts": "wraps"},
	"temporal-extremes-connect": {"ext.d": "r"},
	"session-timezone":          {"ss.d": "r"},
	// A quote in a default is cut there. Streamed names are lost. Generated columns get an invented default.
	"default-values":      {"df.t": ""},
	"types-basic-scalars": {"chars.n": "c u"},
	"name-type":           {"nm.a": "c u", "nm.b": "c u", "nk.k": "c u"},
	"generated-identity":  {"gi.gt": ""},
}

// TestDecodeAsRecorded runs the recorded cases about types on a real server and compares schemas and every row of every
// event with what the codecs make of the rows after each statement.
func TestDecodeAsRecorded(t *testing.T) {
	for name, differs := range goldenTypes {
		t.Run(name, func(t *testing.T) {
			c := openGoldenCase(t, name)
			if strings.HasPrefix(name, "numeric-") && c.conn.ParameterStatus("server_version") < "15" {
				t.Skip("negative scales of numeric are new in PostgreSQL 15")
			}
			for i, script := range c.scripts {
				for _, statement := range testdb.Statements(script) {
					_, err := c.conn.Exec(t.Context(), statement.SQL).ReadAll()
					require.NoError(t, err, statement.SQL)
					if i > 0 {
						c.observe(t)
					}
				}
				if i == 0 { // the connector starts here: it knows the types of now
					var err error
					c.types, err = LoadRegistry(t.Context(), c.conn)
					require.NoError(t, err)
					c.observe(t)
				}
			}
			for _, line := range c.events {
				c.compare(t, line, differs)
			}
		})
	}
}

// goldenCase is a case while it runs.
type goldenCase struct {
	conn    *pgconn.PgConn
	options *TypeOptions
	types   *Registry
	scripts []string
	events  []string
	tables  map[string]*goldenTable
	toasted bool // values are missing from the events
}

// goldenTable is what was seen of a table so far.
type goldenTable struct {
	codecs map[string]Codec
	hidden map[string]bool // generated columns, which the stream has not
	rows   []map[string]any
	seen   map[string]bool
}

func openGoldenCase(t *testing.T, name string) *goldenCase {
	t.Helper()
	var file struct {
		Config map[string]string `json:"config"`
		Steps  []string          `json:"steps"`
	}
	read := func(file string) []byte {
		text, err := os.ReadFile(filepath.Join(goldenDir, name, file))
		require.NoError(t, err)
		return text
	}
	require.NoError(t, json.Unmarshal(read("case.json"), &file))
	c := &goldenCase{options: defaultOptions(), tables: map[string]*goldenTable{}}
	for key, to := range map[string]*string{
		"time.precision.mode": &c.options.Time, "decimal.handling.mode": &c.options.Decimal, "binary.handling.mode": &c.options.Binary,
		"hstore.handling.mode": &c.options.Hstore, "interval.handling.mode": &c.options.Interval,
	} {
		if v, ok := file.Config[key]; ok {
			*to = v
		}
	}
	c.options.IncludeUnknown = file.Config["include.unknown.datatypes"] == "true"
	for _, step := range file.Steps {
		if strings.HasSuffix(step, ".sql") {
			c.scripts = append(c.scripts, string(read(step)))
		}
	}
	if events := strings.TrimSuffix(string(read("events.jsonl")), "\n"); events != "" {
		c.events = strings.Split(events, "\n")
	}
	c.toasted = strings.Contains(name, "unchanged")
	config, err := pgconn.ParseConfig(testdb.Postgres(t).DSN())
	require.NoError(t, err)
	for key, value := range sessionParams {
		if key != "search_path" { // the scripts create their tables in public
			config.RuntimeParams[key] = value
		}
	}
	c.conn, err = pgconn.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.conn.Close(t.Context())) })
	return c
}

const goldenColumnsSQL = `SELECT c.relname, a.attname, a.atttypid, a.atttypmod, a.attnotnull, coalesce(pg_get_expr(d.adbin, d.adrelid), ''), a.atthasdef, a.attidentity <> '', a.attgenerated <> ''
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace ORDER BY c.relname, a.attnum`

// observe decodes all rows of all tables.
func (c *goldenCase) observe(t *testing.T) {
	t.Helper()
	results, err := c.conn.Exec(t.Context(), goldenColumnsSQL).ReadAll()
	require.NoError(t, err)
	columns := map[string][]ColumnInfo{}
	for _, row := range results[0].Rows {
		column := ColumnInfo{
			Name: string(row[1]), NotNull: string(row[4]) == "t", Default: string(row[5]),
			HasDefault: string(row[6]) == "t", Identity: string(row[7]) == "t", Generated: string(row[8]) == "t",
		}
		_, err := fmt.Sscan(string(row[2])+" "+string(row[3]), &column.TypeOID, &column.Typmod)
		require.NoError(t, err)
		columns[string(row[0])] = append(columns[string(row[0])], column)
	}
	for table, columns := range columns {
		c.observeTable(t, table, columns)
	}
}

func (c *goldenCase) observeTable(t *testing.T, name string, columns []ColumnInfo) {
	t.Helper()
	table := c.tables[name]
	if table == nil {
		table = &goldenTable{seen: map[string]bool{}}
		c.tables[name] = table
	}
	table.codecs, table.hidden = map[string]Codec{}, map[string]bool{}
	codecs := make([]Codec, len(columns))
	for i, column := range columns {
		if codec, ok := c.types.Codec(column, c.options); ok {
			codecs[i], table.codecs[column.Name] = codec, codec
			table.hidden[column.Name] = column.Generated
		}
	}
	results, err := c.conn.Exec(t.Context(), `SELECT * FROM public."`+name+`"`).ReadAll()
	require.NoError(t, err)
	var b change.Batch
	for _, row := range results[0].Rows {
		b.Reset()
		decoded := map[string]any{}
		for i, text := range row {
			if codecs[i].Decode == nil {
				continue
			}
			v := change.NullValue()
			if text != nil {
				if v, err = codecs[i].Decode(&b, text); err != nil {
					v = change.NullValue() // event.converting.failure.handling.mode=warn
				}
			}
			decoded[columns[i].Name] = normal(t, render(&b, v, codecs[i].Type))
		}
		if text := fmt.Sprint(decoded); !table.seen[text] {
			table.seen[text] = true
			table.rows = append(table.rows, decoded)
		}
	}
}

// normal is a value as it comes out of JSON, with integers as exact numbers and floats by value.
func normal(t testing.TB, v any) any {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return parseJSON(t, text)
}

func parseJSON(t testing.TB, text []byte) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var v any
	require.NoError(t, dec.Decode(&v))
	return canonical(v)
}

func canonical(v any) any {
	switch x := v.(type) {
	case json.Number:
		if i, err := x.Int64(); err == nil && x.String() != "-0" {
			return i
		}
		f, _ := x.Float64()
		if f == math.Trunc(f) && math.Abs(f) < 1e15 && !(f == 0 && math.Signbit(f)) {
			return int64(f) // 1.0 is 1
		}
		return f
	case []any:
		for i := range x {
			x[i] = canonical(x[i])
		}
	case map[string]any:
		for k := range x {
			x[k] = canonical(x[k])
		}
	}
	return v
}

// compare looks for the rows of one recorded event.
func (c *goldenCase) compare(t *testing.T, line string, differs map[string]string) {
	t.Helper()
	event := parseJSON(t, []byte(line)).(map[string]any)
	topic := event["topic"].(string)
	name := topic[strings.LastIndexByte(topic, '.')+1:]
	table := c.tables[name]
	value, ok := event["value"].(map[string]any)
	if !ok || table == nil {
		return // tombstones
	}
	payload := value["payload"].(map[string]any)
	op := payload["op"].(string)
	skip := func(column string) bool {
		when, listed := differs[name+"."+column]
		return listed && (when == "" || strings.Contains(when, op))
	}
	fields := value["schema"].(map[string]any)["fields"].([]any)[1].(map[string]any)["fields"].([]any)
	c.compareSchema(t, name, table, fields, skip)
	if after, ok := payload["after"].(map[string]any); ok {
		saturate(after, name, differs)
		require.True(t, table.has(after, skip, c.toasted), "%s op %s: no row was decoded to %v\nrows: %v", name, op, after, table.rows)
	}
	if before, ok := payload["before"].(map[string]any); ok {
		key := event["key"].(map[string]any)["payload"].(map[string]any)
		if !table.isHalfKnown(t, before, key, skip) {
			require.True(t, table.has(before, skip, c.toasted), "%s op %s: neither a row nor its key and fallbacks: %v", name, op, before)
		}
	}
}

// saturate corrects the recorded numbers that wrapped around.
func saturate(row map[string]any, table string, differs map[string]string) {
	for column, v := range row {
		if differs[table+"."+column] == "wraps" && v == int64(-9223372036853775810) {
			row[column] = int64(9223372036854775807)
		}
	}
}

func (c *goldenCase) compareSchema(t *testing.T, name string, table *goldenTable, fields []any, skip func(string) bool) {
	t.Helper()
	recorded := map[string]bool{}
	for _, f := range fields {
		field := f.(map[string]any)
		column := field["field"].(string)
		recorded[column] = true
		codec, ok := table.codecs[column]
		require.True(t, ok, "%s.%s is left out", name, column)
		delete(field, "field")
		if !skip(column) && len(c.scripts) <= 2 { // later scripts change tables and types
			require.Equal(t, any(field), normal(t, renderSchema(codec.Type)), "schema of %s.%s", name, column)
		}
	}
	for column := range table.codecs {
		require.True(t, recorded[column] || table.hidden[column] || len(c.scripts) > 2, "%s.%s is not left out", name, column)
	}
}

// has says whether a row was seen, its placeholders aside.
func (g *goldenTable) has(want map[string]any, skip func(string) bool, toasted bool) bool {
	for _, row := range g.rows {
		same := true
		for column, v := range want {
			codec := g.codecs[column]
			same = same && (skip(column) || equalJSON(row[column], v, codec.Type) || toasted && isPlaceholder(codec, v))
		}
		if same {
			return true
		}
	}
	return false
}

// equalJSON compares floats of four bytes by value: Java writes the least of them as 1.4E-45.
func equalJSON(got, want any, t *schema.Type) bool {
	if x, ok := got.(float64); ok && t.Kind == schema.Float32 {
		y, ok := want.(float64)
		return ok && float32(x) == float32(y)
	}
	return reflect.DeepEqual(got, want)
}

func isPlaceholder(c Codec, v any) bool {
	return fmt.Sprint(v) == fmt.Sprint(literal(c.Unavailable, c.Type))
}

// isHalfKnown says whether a row is what a key and the fallbacks make of it.
func (g *goldenTable) isHalfKnown(t *testing.T, before, key map[string]any, skip func(string) bool) bool {
	t.Helper()
	for column, v := range before {
		codec := g.codecs[column]
		want := literal(codec.Type.Default, codec.Type)
		if want == nil && !codec.Type.Optional {
			want = literal(codec.Fallback, codec.Type)
		}
		if k, ok := key[column]; ok {
			want = k
		}
		if !skip(column) && !reflect.DeepEqual(v, normal(t, want)) {
			return false
		}
	}
	return true
}
