// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/schema"
)

// The oids of the types in testRegistry that are not PostgreSQL's own.
const (
	moodOID = 16400 + iota
	moodArrayOID
	dmoodOID
	posintOID
	posint2OID
	money2OID
	posintArrayOID
	compOID
	hstoreOID
	hstoreArrayOID
	citextOID
	ltreeOID
	geometryOID
	geographyOID
	vectorOID
	halfvecOID
	sparsevecOID
	dtxtOID
	boxArrayOID
	fakeHstoreOID
	userNumericOID
)

// builtinOIDs are the types of pg_catalog that the tests use, and the oids of their arrays.
var builtinOIDs = map[string]struct{ oid, array uint32 }{
	"bool": {16, 1000}, "bytea": {17, 1001}, "char": {18, 1002}, "name": {19, 1003}, "int8": {20, 1016}, "int2": {21, 1005},
	"int4": {23, 1007}, "text": {25, 1009}, "oid": {26, 1028}, "json": {114, 199}, "xml": {142, 143}, "point": {600, 1017},
	"lseg": {601, 1018}, "path": {602, 1019}, "box": {603, boxArrayOID}, "polygon": {604, 1027}, "line": {628, 629}, "cidr": {650, 651},
	"float4": {700, 1021}, "float8": {701, 1022}, "circle": {718, 719}, "money": {790, 791}, "macaddr": {829, 1040},
	"inet": {869, 1041}, "macaddr8": {774, 775}, "bpchar": {1042, 1014}, "varchar": {1043, 1015}, "date": {1082, 1182},
	"time": {1083, 1183}, "timestamp": {1114, 1115}, "timestamptz": {1184, 1185}, "interval": {1186, 1187}, "timetz": {1266, 1270},
	"bit": {1560, 1561}, "varbit": {1562, 1563}, "numeric": {1700, 1231}, "uuid": {2950, 2951}, "pg_lsn": {3220, 3221},
	"tsvector": {3614, 3643}, "jsonb": {3802, 3807}, "int4range": {3904, 3905}, "tstzrange": {3910, 3911}, "int4multirange": {4451, 6150},
}

func testRegistry() *Registry {
	var rows []*typeRow
	add := func(t typeRow) {
		if t.delim == 0 {
			t.delim = ','
		}
		if t.base == 0 {
			t.baseTypmod = -1
		}
		rows = append(rows, &t)
	}
	for name, oids := range builtinOIDs {
		kind := byte(baseType)
		switch {
		case strings.HasSuffix(name, "multirange"):
			kind = 'm'
		case strings.HasSuffix(name, "range"):
			kind = rangeType
		}
		delim := byte(',')
		if name == "box" {
			delim = ';'
		}
		add(typeRow{oid: oids.oid, name: name, schema: "pg_catalog", kind: kind, delim: delim})
		add(typeRow{oid: oids.array, name: "_" + name, schema: "pg_catalog", kind: baseType, elem: oids.oid, delim: delim})
	}
	add(typeRow{oid: moodOID, name: "mood", schema: "public", kind: enumType, labels: []string{"sad", "ok", "a,b"}})
	add(typeRow{oid: moodArrayOID, name: "_mood", schema: "public", kind: baseType, elem: moodOID})
	add(typeRow{oid: dmoodOID, name: "dmood", schema: "public", kind: domainType, base: moodOID, baseTypmod: -1})
	add(typeRow{oid: posintOID, name: "posint", schema: "public", kind: domainType, base: 23, baseTypmod: -1})
	add(typeRow{oid: posint2OID, name: "posint2", schema: "public", kind: domainType, base: posintOID, baseTypmod: -1})
	add(typeRow{oid: posintArrayOID, name: "_posint", schema: "public", kind: baseType, elem: posintOID})
	add(typeRow{oid: money2OID, name: "money2", schema: "public", kind: domainType, base: 1700, baseTypmod: numericTypmod(8, 3)})
	add(typeRow{oid: dtxtOID, name: "dtxt", schema: "public", kind: domainType, base: 25, baseTypmod: -1, notNull: true})
	add(typeRow{oid: compOID, name: "comp", schema: "public", kind: 'c'})
	for oid, name := range map[uint32]string{
		hstoreOID: "hstore", citextOID: "citext", ltreeOID: "ltree", geometryOID: "geometry", geographyOID: "geography",
		vectorOID: "vector", halfvecOID: "halfvec", sparsevecOID: "sparsevec", userNumericOID: "numeric",
	} {
		add(typeRow{oid: oid, name: name, schema: "ext", kind: baseType})
	}
	add(typeRow{oid: fakeHstoreOID, name: "hstore", schema: "public", kind: 'c'})
	add(typeRow{oid: hstoreArrayOID, name: "_hstore", schema: "ext", kind: baseType, elem: hstoreOID})
	return newRegistry(rows...)
}

func numericTypmod(precision, scale int32) int32 {
	return precision<<16 | scale&0x7ff + numericHeaderBytes
}

// defaultOptions are the connector's defaults.
func defaultOptions() *TypeOptions {
	return &TypeOptions{
		Time: "adaptive", Decimal: "precise", Binary: "bytes", Hstore: "json", Interval: "numeric", MoneyDigits: 2,
		Placeholder: []byte("__debezium_unavailable_value"),
	}
}

// optionsWith are the defaults with one of them changed: "time=connect".
func optionsWith(t testing.TB, setting string) *TypeOptions {
	t.Helper()
	o := defaultOptions()
	name, value, _ := strings.Cut(setting, "=")
	switch name {
	case "":
	case "time":
		o.Time = value
	case "decimal":
		o.Decimal = value
	case "binary":
		o.Binary = value
	case "hstore":
		o.Hstore = value
	case "interval":
		o.Interval = value
	case "unknown":
		o.IncludeUnknown = true
		o.Binary = value
	default:
		t.Fatalf("no option %q", setting)
	}
	return o
}

// typeOID finds a type of testRegistry: a name of pg_catalog, with [] for its array, or an oid of the constants above.
func typeOID(t testing.TB, typ any) uint32 {
	t.Helper()
	if oid, ok := typ.(int); ok {
		return uint32(oid)
	}
	name, isArray := strings.CutSuffix(typ.(string), "[]")
	oids, ok := builtinOIDs[name]
	require.True(t, ok, "type %q", name)
	if isArray {
		return oids.array
	}
	return oids.oid
}

func mustCodec(t testing.TB, c ColumnInfo, o *TypeOptions) Codec {
	t.Helper()
	codec, ok := testRegistry().Codec(c, o)
	require.True(t, ok, "column of type %d has no codec", c.TypeOID)
	return codec
}

// decodeTests hold for each type and mode what the server writes and what is emitted of it. An empty want is an error.
var decodeTests = []struct {
	typ    any
	typmod int32
	option string
	text   string
	want   string // JSON
}{
	{"bool", -1, "", "t", "true"},
	{"bool", -1, "", "f", "false"},
	{"bool", -1, "", "yes", ""},
	{"int2", -1, "", "-32768", "-32768"},
	{"int2", -1, "", "32768", ""},
	{"int4", -1, "", "2147483647", "2147483647"},
	{"int4", -1, "", "2147483648", ""},
	{"int4", -1, "", "", ""},
	{"int4", -1, "", "-", ""},
	{"int4", -1, "", "1x", ""},
	{"int8", -1, "", "-9223372036854775808", "-9223372036854775808"},
	{"int8", -1, "", "9223372036854775807", "9223372036854775807"},
	{"int8", -1, "", "9223372036854775808", ""},
	{"int8", -1, "", "-9223372036854775809", ""},
	{"int8", -1, "", "99999999999999999999", ""},
	{"oid", -1, "", "4294967295", "4294967295"},
	{"float4", -1, "", "1.5", "1.5"},
	{"float4", -1, "", "1e+40", ""},
	{"float8", -1, "", "-0.00099", "-0.00099"},
	{"float8", -1, "", "NaN", `"NaN"`},
	{"float8", -1, "", "-Infinity", `"-Infinity"`},
	{"float8", -1, "", "x", ""},

	{"bit", 1, "", "1", "true"},
	{"varbit", 1, "", "", "false"},
	{"bit", 1, "", "2", ""},
	{"bit", 2, "", "11", `"Aw=="`},
	{"varbit", 16, "", "1000000", `"QA=="`},
	{"bit", 24, "", "000000110000001000000001", `"AQID"`},
	{"bit", 24, "", "000000000000000000000000", `""`},
	{"varbit", -1, "", "101", `"BQ=="`},
	{"varbit", -1, "", "12", ""},

	{"bpchar", 9, "", "ab   ", `"ab   "`},
	{"text", -1, "", "日本 <a>&", `"日本 <a>&"`},
	{"char", -1, "", "c", `"c"`},
	{"name", -1, "", "nm", `"nm"`},
	{"json", -1, "", `{"b" : 1}`, `"{\"b\" : 1}"`},
	{"uuid", -1, "", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", `"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"`},
	{"int4range", -1, "", "[1,6)", `"[1,6)"`},
	{citextOID, -1, "", "MixedCase", `"MixedCase"`},
	{ltreeOID, -1, "", "Top.Science", `"Top.Science"`},
	{moodOID, -1, "", "a,b", `"a,b"`},
	{dmoodOID, -1, "", "sad", `"sad"`},
	{posint2OID, -1, "", "5", "5"},
	{money2OID, -1, "", "1.500", `"Bdw="`},

	{"bytea", -1, "", `\x00ff10fb`, `"AP8Q+w=="`},
	{"bytea", -1, "", `\x`, `""`},
	{"bytea", -1, "", `\x0`, ""},
	{"bytea", -1, "", `\000a`, ""},
	{"bytea", -1, "binary=base64", `\xfffefd`, `"//79"`},
	{"bytea", -1, "binary=base64-url-safe", `\xfffefd`, `"__79"`},
	{"bytea", -1, "binary=hex", `\x00FF`, `"00ff"`},
	{"pg_lsn", -1, "unknown=bytes", "16/B374D848", `"MTYvQjM3NEQ4NDg="`},
	{compOID, -1, "unknown=hex", "(1,z)", `"28312c7a29"`},
	{fakeHstoreOID, -1, "unknown=bytes", "(1)", `"KDEp"`},
	{userNumericOID, -1, "unknown=bytes", "7", `"Nw=="`},

	{"numeric", numericTypmod(10, 2), "", "1.10", `"bg=="`},
	{"numeric", numericTypmod(10, 2), "", "-99999999.99", `"/av0HAE="`},
	{"numeric", numericTypmod(10, 2), "", "0.00", `"AA=="`},
	{"numeric", numericTypmod(10, 2), "", "NaN", ""},
	{"numeric", numericTypmod(10, 2), "", "1e5", ""},
	{"numeric", numericTypmod(5, 0), "", "-128", `"gA=="`},
	{"numeric", numericTypmod(5, 0), "", "128", `"AIA="`},
	{"numeric", numericTypmod(5, 0), "", "-256", `"/wA="`},
	{"numeric", numericTypmod(38, 10), "", "12345678901234567890.1234567890", `"AY7pD/bDc+DuTj8K0g=="`},
	{"numeric", numericTypmod(3, 5), "", "0.00123", `"ew=="`},
	{"numeric", -1, "", "10.1111", `{"scale":4,"value":"AYr3"}`},
	{"numeric", -1, "", "1000", `{"scale":0,"value":"A+g="}`},
	{"numeric", -1, "", "0.000", `{"scale":0,"value":"AA=="}`},
	{"numeric", -1, "", "Infinity", ""},
	{"numeric", -1, "", ".", ""},
	{"numeric", -1, "decimal=double", "10.1111", "10.1111"},
	{"numeric", -1, "decimal=double", "NaN", `"NaN"`},
	{"numeric", -1, "decimal=double", "-Infinity", `"-Infinity"`},
	{"numeric", -1, "decimal=double", "", ""},
	{"numeric", -1, "decimal=string", "7.700", `"7.700"`},
	{"numeric", numericTypmod(10, 2), "decimal=string", "7", `"7.00"`},
	{"numeric", numericTypmod(10, 2), "decimal=string", "7.5", `"7.50"`},
	{"numeric", numericTypmod(10, 2), "decimal=string", "-9.995", `"-10.00"`},
	{"numeric", -1, "decimal=string", "NaN", `"NAN"`},
	{"numeric", -1, "decimal=string", "Infinity", `"POSITIVE_INFINITY"`},
	{"numeric", -1, "decimal=string", "-Infinity", `"NEGATIVE_INFINITY"`},
	{"numeric", -1, "decimal=string", "1-", ""},
	{"money", -1, "", "$1,234.56", `"AeJA"`},
	{"money", -1, "", "-$0.01", `"/w=="`},
	{"money", -1, "", "($0.01)", `"/w=="`},
	{"money", -1, "", "£1.00", `"ZA=="`},
	{"money", -1, "", "1.234,56 kr", ""},
	{"money", -1, "decimal=double", "$1,234.56", "1234.56"},
	{"money", -1, "decimal=string", "-$1,234.50", `"-1234.50"`},

	{"date", -1, "", "2017-09-15", "17424"},
	{"date", -1, "", "0044-03-15 BC", "-735160"},
	{"date", -1, "", "1582-10-10", "-141432"},
	{"date", -1, "", "5874897-12-31", "2145042905"},
	{"date", -1, "", "infinity", "-2147472692"},
	{"date", -1, "", "-infinity", "-2147472691"},
	{"date", -1, "", "2017-13-15", ""},
	{"date", -1, "", "15/09/2017", ""},
	{"date", -1, "time=connect", "1969-12-31", "-1"},
	{"date", -1, "time=isostring", "2017-09-15", `"2017-09-15Z"`},
	{"date", -1, "time=isostring", "0044-03-15 BC", `"-0043-03-15Z"`},
	{"date", -1, "time=isostring", "12345-06-07", `"+12345-06-07Z"`},
	{"date", -1, "time=isostring", "infinity", `"-5877611-06-21Z"`},
	{"date", -1, "time=isostring", "-infinity", `"-5877611-06-22Z"`},
	{"date", -1, "time=isostring", "2017-09-15 AD", ""},
	{"time", 3, "", "04:05:11.789", "14711789"},
	{"time", -1, "", "04:05:11.789123", "14711789123"},
	{"time", -1, "", "24:00:00", "86400000000"},
	{"time", -1, "", "25:00:00", ""},
	{"time", -1, "", "04:05", ""},
	{"time", 3, "time=adaptive_time_microseconds", "04:05:11.789", "14711789000"},
	{"time", -1, "time=connect", "04:05:11.789999", "14711789"},
	{"time", -1, "time=nanoseconds", "24:00:00", "86400000000000"},
	{"time", -1, "time=isostring", "04:05:11.500000", `"04:05:11.5Z"`},
	{"time", -1, "time=isostring", "24:00:00", `"00:00:00Z"`},
	{"time", -1, "time=isostring", "x", ""},
	{"timestamp", 3, "", "2017-09-15 04:05:11.789", "1505448311789"},
	{"timestamp", -1, "", "2017-09-15 04:05:11.789123", "1505448311789123"},
	{"timestamp", -1, "", "1969-12-31 23:59:59.5", "-500000"},
	{"timestamp", -1, "", "4714-12-31 23:59:59.999999 BC", "-210863520000000001"},
	{"timestamp", -1, "", "294276-12-31 23:59:59.999999", "9223372036854775807"},
	{"timestamp", -1, "", "infinity", "9223372036825200000"},
	{"timestamp", -1, "", "-infinity", "-9223372036832400000"},
	{"timestamp", -1, "", "2017-09-15T04:05:11", ""},
	{"timestamp", 3, "", "infinity", "9223372036825200"},
	{"timestamp", 0, "", "-infinity", "-9223372036832400"},
	{"timestamp", 0, "", "2017", ""},
	{"timestamp", -1, "time=connect", "0044-03-15 12:34:56.789012 BC", "-63517778703211"},
	{"timestamp", 3, "time=microseconds", "2017-09-15 04:05:11.789", "1505448311789000"},
	{"timestamp", 3, "time=adaptive_time_microseconds", "2017-09-15 04:05:11.789", "1505448311789"},
	{"timestamp", -1, "time=nanoseconds", "2026-02-03 04:05:06.007008", "1770091506007008000"},
	{"timestamp", -1, "time=nanoseconds", "2262-04-11 23:47:16.854775", "9223372036854775000"},
	{"timestamp", -1, "time=nanoseconds", "2262-04-11 23:47:16.854776", ""},
	{"timestamp", -1, "time=nanoseconds", "1677-09-21 00:12:43.145225", ""},
	{"timestamp", -1, "time=nanoseconds", "1677-09-21 00:12:44", "-9223372036000000000"},
	{"timestamp", -1, "time=nanoseconds", "infinity", "9223372036854775807"},
	{"timestamp", -1, "time=nanoseconds", "-infinity", "-9223372036854775808"},
	{"timestamp", -1, "time=nanoseconds", "", ""},
	{"timestamp", -1, "time=isostring", "2019-07-09 02:28:57.1", `"2019-07-09T02:28:57.1Z"`},
	{"timestamp", -1, "time=isostring", "infinity", `"+294247-01-10T04:00:25.2Z"`},
	{"timestamp", -1, "time=isostring", "-infinity", `"-290308-12-21T19:59:27.6Z"`},
	{"timestamp", -1, "time=isostring", "0", ""},
	{"timetz", -1, "", "04:05:11.789123+05:30", `"22:35:11.789123Z"`},
	{"timetz", -1, "", "24:00:00+00", `"00:00:00Z"`},
	{"timetz", -1, "", "24:00:00+05", `"19:00:00Z"`},
	{"timetz", -1, "", "12:00:00-15:59:59", `"03:59:59Z"`},
	{"timetz", -1, "", "12:00:00", ""},
	{"timestamptz", -1, "", "2026-11-21 10:15:30+00", `"2026-11-21T10:15:30.000000Z"`},
	{"timestamptz", 3, "time=connect", "2026-11-21 10:15:30+02", `"2026-11-21T08:15:30.000Z"`},
	{"timestamptz", 0, "", "0001-12-31 23:00:00+00 BC", `"0000-12-31T23:00:00Z"`},
	{"timestamptz", -1, "", "0044-03-15 12:34:56.789012+00 BC", `"-0043-03-15T12:34:56.789012Z"`},
	{"timestamptz", -1, "", "12345-06-07 08:09:10.111213+00", `"+12345-06-07T08:09:10.111213Z"`},
	{"timestamptz", -1, "", "infinity", `"infinity"`},
	{"timestamptz", -1, "", "2026-11-21 10:15:30", ""},

	{"interval", -1, "", "1 year 2 mons 3 days 04:05:06.78", "37091106780000"},
	{"interval", -1, "", "-1 years -2 mons +3 days -04:05:06.000001", "-36572706000001"},
	{"interval", -1, "", "178000000 years", "9223372036854775807"},
	{"interval", -1, "", "-178000000 years", "-9223372036854775808"},
	{"interval", -1, "", "-infinity", "-9223372036854775808"},
	{"interval", -1, "", "00:00:00", "0"},
	{"interval", -1, "", "1 fortnight", ""},
	{"interval", -1, "", "", ""},
	{"interval", -1, "interval=string", "1 year 2 mons 3 days 04:05:06.78", `"P1Y2M3DT4H5M6.78S"`},
	{"interval", -1, "interval=string", "-1 years -2 mons +3 days -04:05:06.000001", `"P-1Y-2M3DT-4H-5M-6.000001S"`},
	{"interval", -1, "interval=string", "-00:00:00.5", `"P0Y0M0DT0H0M-0.5S"`},
	{"interval", -1, "interval=string", "-5 days +99:00:00", `"P0Y0M-5DT99H0M0S"`},
	{"interval", -1, "interval=string", "infinity", ""},
	{"interval", -1, "interval=string", "1:2", ""},

	{"point", -1, "", "(1.5,-2)", `{"srid":null,"wkb":"AQEAAAAAAAAAAAD4PwAAAAAAAADA","x":1.5,"y":-2}`},
	{"point", -1, "", "(1.5,-2,3)", ""},
	{"point", -1, "", "1,2", ""},
	{"line", -1, "unknown=hex", "{1,-1,0}", `"7b312e302c2d312e302c302e307d"`}, // {1.0,-1.0,0.0}
	{geometryOID, -1, "", "0101000020E6100000000000000000F03F0000000000000040", `{"extensions":null,"srid":4326,"wkb":"AQEAACDmEAAAAAAAAAAA8D8AAAAAAAAAQA=="}`},
	{geographyOID, -1, "", "00000000013FF00000000000004000000000000000", `{"srid":null,"wkb":"AAAAAAE/8AAAAAAAAEAAAAAAAAAA"}`},
	{geometryOID, -1, "", "0101", ""},
	{geometryOID, -1, "", "POINT(1 2)", ""},
	{vectorOID, -1, "", "[1,2.5,-3]", "[1,2.5,-3]"},
	{vectorOID, -1, "", "[1,x]", ""},
	{vectorOID, -1, "", "1", ""},
	{halfvecOID, -1, "", "[0.5]", "[0.5]"},
	{sparsevecOID, -1, "", "{1:1,3:2}/5", `{"dimensions":5,"vector":[[1,1],[3,2]]}`},
	{sparsevecOID, -1, "", "{}/5", `{"dimensions":5,"vector":[]}`},
	{sparsevecOID, -1, "", "{1:1}/40000", ""},
	{sparsevecOID, -1, "", "{1}/5", ""},
	{sparsevecOID, -1, "", "5", ""},

	{hstoreOID, -1, "", `"key"=>"val", "k 2"=>NULL, "q\"x"=>"y\\z"`, `"{\"q\\\"x\":\"y\\\\z\",\"k 2\":null,\"key\":\"val\"}"`},
	{hstoreOID, -1, "", "", `"{}"`},
	{hstoreOID, -1, "", "\"a\"=>\"\x01\n\t\"", `"{\"a\":\"\\u0001\\n\\t\"}"`},
	{hstoreOID, -1, "", `"a"=>`, ""},
	{hstoreOID, -1, "", `"a=>1`, ""},
	{hstoreOID, -1, "hstore=map", `"a"=>"é\"", "b"=>NULL`, `{"a":"é\"","b":null}`},
	{hstoreOID, -1, "hstore=map", `a=>1`, ""},

	{"int4[]", -1, "", "{1,NULL,3}", "[1,null,3]"},
	{"int4[]", -1, "", "{}", "[]"},
	{"int4[]", -1, "", "[0:2]={1,2,3}", "[1,2,3]"},
	{"int4[]", -1, "", "{{1,2},{3,4}}", "[null,null]"},
	{"int4[]", -1, "", "{1,x}", ""},
	{"int4[]", -1, "", "{1,}", ""},
	{"int4[]", -1, "", "{1", ""},
	{"int4[]", -1, "", "{{1}", ""},
	{"int4[]", -1, "", "[0:2]", ""},
	{"text[]", -1, "", `{a,"","with \"q\", \\ comma",NULL,"NULL"}`, `["a","","with \"q\", \\ comma",null,"NULL"]`},
	{"text[]", -1, "", `{{"a}",b},{c,d}}`, "[null,null]"},
	{"text[]", -1, "", `{"a}`, ""},
	{"text[]", -1, "", `{{"a}`, ""},
	{"numeric[]", -1, "", "{1.10,200,NULL}", `[{"scale":1,"value":"Cw=="},{"scale":0,"value":"AMg="},null]`},
	{"numeric[]", numericTypmod(6, 2), "", "{1.10,-2.00}", `["bg==","/zg="]`},
	{"bit[]", 8, "", "{00000011}", `["Aw=="]`},
	{"bytea[]", -1, "", `{"\\x01ff",NULL}`, `["Af8=",null]`},
	{"bytea[]", -1, "binary=hex", `{"\\x01ff","\\x02"}`, `["01ff","02"]`},
	{"timestamptz[]", 3, "", `{"2026-01-02 03:04:05.678+00"}`, `["2026-01-02T03:04:05.678Z"]`},
	{moodArrayOID, -1, "", `{ok,"a,b"}`, `["ok","a,b"]`},
	{moodArrayOID, -1, "", "{ok,NULL}", ""},
	{posintArrayOID, -1, "unknown=bytes", "{1,2}", `["MQ==","Mg=="]`},
	{"box[]", -1, "unknown=hex", "{(3,4),(1,2);(0,0),(0,0)}", `["28332e302c342e30292c28312e302c322e3029","28302e302c302e30292c28302e302c302e3029"]`},
	{hstoreArrayOID, -1, "hstore=map", `{"\"a\"=>\"1\"",NULL}`, `[{"a":"1"},null]`},
}

func TestDecode(t *testing.T) {
	for _, test := range decodeTests {
		name := strings.TrimSpace(strings.Join([]string{nameOf(test.typ), test.option, test.text}, " "))
		t.Run(name, func(t *testing.T) {
			c := ColumnInfo{Name: "c", TypeOID: typeOID(t, test.typ), Typmod: test.typmod}
			codec := mustCodec(t, c, optionsWith(t, test.option))
			var b change.Batch
			v, err := codec.Decode(&b, []byte(test.text))
			if test.want == "" {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.want, renderText(&b, v, codec.Type))
		})
	}
}

func nameOf(typ any) string {
	if name, ok := typ.(string); ok {
		return name
	}
	return testRegistry().lookup(uint32(typ.(int))).name
}

func TestHstoreOrder(t *testing.T) {
	// More than twelve entries make a Java HashMap of 32 buckets, and collisions keep the order of the text.
	codec := mustCodec(t, ColumnInfo{TypeOID: hstoreOID, Typmod: -1}, defaultOptions())
	for text, want := range map[string]string{
		`"Aa"=>"1", "BB"=>"2", "C#"=>"3"`: `{"Aa":"1","BB":"2","C#":"3"}`,
		`"😀"=>"1", "b"=>"2", "a"=>"3"`:    `{"a":"3","b":"2","😀":"1"}`,
		`"a"=>"", "b"=>"", "c"=>"", "d"=>"", "e"=>"", "f"=>"", "g"=>"", "h"=>"", "i"=>"", "j"=>"", "k"=>"", "p"=>""`:          `{"p":"","a":"","b":"","c":"","d":"","e":"","f":"","g":"","h":"","i":"","j":"","k":""}`,
		`"a"=>"", "b"=>"", "c"=>"", "d"=>"", "e"=>"", "f"=>"", "g"=>"", "h"=>"", "i"=>"", "j"=>"", "k"=>"", "p"=>"", "@"=>""`: `{"@":"","a":"","b":"","c":"","d":"","e":"","f":"","g":"","h":"","i":"","j":"","k":"","p":""}`,
	} {
		var b change.Batch
		v, err := codec.Decode(&b, []byte(text))
		require.NoError(t, err)
		require.Equal(t, want, b.String(v))
	}
	require.Equal(t, uint32(16), hashMapSize(12))
	require.Equal(t, uint32(32), hashMapSize(13))
	require.Equal(t, uint32(128), hashMapSize(96))
	require.Equal(t, uint32(1772899), javaHash([]byte("😀")))
	require.Equal(t, uint32(2112), javaHash([]byte("Aa")))
}

func TestErrorsLeaveLongValuesOut(t *testing.T) {
	codec := mustCodec(t, ColumnInfo{TypeOID: 1700, Typmod: -1}, defaultOptions())
	var b change.Batch
	_, err := codec.Decode(&b, []byte("NaN"))
	require.EqualError(t, err, `decode numeric value "NaN": decimal.handling.mode precise cannot hold it, double and string can`)
	_, err = codec.Decode(&b, []byte(strings.Repeat("secret", 20)))
	require.EqualError(t, err, "decode numeric value of 120 bytes: it is not a number")
}

func TestLeftOutColumns(t *testing.T) {
	r := testRegistry()
	for _, test := range []struct {
		typ      any
		included bool // with include.unknown.datatypes
	}{
		{"pg_lsn", true},
		{"int4multirange", true},
		{"line", true},
		{compOID, true},
		{fakeHstoreOID, true},
		{userNumericOID, true},
		{posintArrayOID, true},
		{"pg_lsn[]", true},
		{"tsvector[]", true},
		{"box[]", true},
		{999999, true},
		{"money[]", false},
		{"name[]", false},
		{"interval[]", false},
		{"varbit[]", false},
		{"xml[]", false},
		{"point[]", false},
	} {
		c := ColumnInfo{TypeOID: typeOID(t, test.typ), Typmod: -1}
		o := defaultOptions()
		_, ok := r.Codec(c, o)
		require.False(t, ok, "%v", test.typ)
		o.IncludeUnknown = true
		_, ok = r.Codec(c, o)
		require.Equal(t, test.included, ok, "%v", test.typ)
	}
	require.True(t, r.Known(23))
	require.False(t, r.Known(999999))
}

func TestOptional(t *testing.T) {
	for _, test := range []struct {
		typ      any
		notNull  bool
		optional bool
	}{
		{"int4", false, true}, {"int4", true, false}, {dtxtOID, false, false}, {geometryOID, true, true}, {geographyOID, true, false},
	} {
		codec := mustCodec(t, ColumnInfo{TypeOID: typeOID(t, test.typ), Typmod: -1, NotNull: test.notNull}, defaultOptions())
		require.Equal(t, test.optional, codec.Type.Optional, "%v", test.typ)
	}
}

func TestFallback(t *testing.T) {
	for _, test := range []struct {
		typ    any
		typmod int32
		option string
		want   any
	}{
		{"int4", -1, "", int64(0)},
		{"float8", -1, "", 0.0},
		{"bool", -1, "", false},
		{"bit", 1, "", false},
		{"bit", 8, "", []byte{}},
		{"text", -1, "", ""},
		{"uuid", -1, "", ""},
		{moodOID, -1, "", ""},
		{"bytea", -1, "", []byte{}},
		{"bytea", -1, "binary=base64", ""},
		{"timestamp", -1, "time=nanoseconds", int64(0)},
		{"timestamptz", -1, "", "1970-01-01T00:00:00Z"},
		{"timetz", -1, "", "00:00:00Z"},
		{"date", -1, "time=isostring", "1970-01-01Z"},
		{"time", -1, "time=isostring", "00:00:00Z"},
		{"timestamp", -1, "time=isostring", "1970-01-01T00:00:00Z"},
		{"interval", -1, "", int64(0)},
		{"interval", -1, "interval=string", "P0Y0M0DT0H0M0S"},
		{"numeric", numericTypmod(10, 2), "", []byte{0}},
		{"numeric", -1, "", []any{int64(0), []byte{0}}},
		{"numeric", -1, "decimal=double", 0.0},
		{"numeric", numericTypmod(10, 2), "decimal=string", "0.00"},
		{"numeric", -1, "decimal=string", "0"},
		{"money", -1, "decimal=string", "0.00"},
		{"int4[]", -1, "", []any{}},
		{hstoreOID, -1, "", "{}"},
		{hstoreOID, -1, "hstore=map", []any{}},
		{vectorOID, -1, "", []any{}},
		{geographyOID, -1, "", []any{[]byte{1, 7, 0, 0, 0, 0, 0, 0, 0}, nil}},
		{sparsevecOID, -1, "", []any{int64(0), []any{}}},
	} {
		codec := mustCodec(t, ColumnInfo{TypeOID: typeOID(t, test.typ), Typmod: test.typmod, NotNull: true}, optionsWith(t, test.option))
		require.Equal(t, test.want, codec.Fallback, "%v %s", test.typ, test.option)
		require.NotPanics(t, func() { literal(codec.Fallback, codec.Type) })
		require.NotNil(t, codec.Unavailable, "%v %s: a required column must have something to emit", test.typ, test.option)
		require.NotPanics(t, func() { literal(codec.Unavailable, codec.Type) })
	}
}

func TestUnavailable(t *testing.T) {
	const text = "__debezium_unavailable_value"
	bytesOf := []byte(text)
	numbers := placeholderInts(bytesOf)
	for _, test := range []struct {
		typ      any
		option   string
		optional any // of a nullable column, as recorded
		required any // of a NOT NULL column
	}{
		{"text", "", text, text},
		{"jsonb", "", text, text},
		{"tstzrange", "", text, text},
		{"bytea", "", bytesOf, bytesOf},
		{"bytea", "binary=hex", text, text},
		{"bytea", "binary=base64", nil, text},
		{"text[]", "", []any{text}, []any{text}},
		{"bpchar[]", "", []any{text}, []any{text}},
		{"bytea[]", "", []any{bytesOf}, []any{bytesOf}},
		{"bytea[]", "binary=hex", nil, []any{text}},
		{"int4[]", "", numbers, numbers},
		{"int8[]", "", numbers, numbers},
		{"date[]", "", numbers, numbers},
		{"date[]", "time=isostring", nil, []any{text}},
		{"uuid[]", "", []any{"b68a35a7-17ad-35b3-af2a-ae46edb4545a"}, []any{"b68a35a7-17ad-35b3-af2a-ae46edb4545a"}},
		{hstoreOID, "", `{"` + text + `":"` + text + `"}`, `{"` + text + `":"` + text + `"}`},
		{hstoreOID, "hstore=map", []any{text, text}, []any{text, text}},
		{"numeric", "decimal=string", text, text},
		{"numeric", "", nil, []any{int64(0), bytesOf}},
		{"numeric[]", "", nil, []any{[]any{int64(0), bytesOf}}},
		{"int2[]", "", nil, numbers},
		{"bool[]", "", nil, []any{}},
		{geographyOID, "", nil, []any{bytesOf, nil}},
		{sparsevecOID, "", nil, []any{int64(0), []any{}}},
		{moodArrayOID, "", nil, []any{text}},
		{"int4", "", nil, int64(0)},
	} {
		c := ColumnInfo{TypeOID: typeOID(t, test.typ), Typmod: -1}
		o := optionsWith(t, test.option)
		require.Equal(t, test.optional, mustCodec(t, c, o).Unavailable, "%v %s", test.typ, test.option)
		c.NotNull = true
		required := mustCodec(t, c, o)
		require.Equal(t, test.required, required.Unavailable, "%v %s", test.typ, test.option)
		require.NotPanics(t, func() { literal(required.Unavailable, required.Type) })
	}

	double := mustCodec(t, ColumnInfo{TypeOID: 1700, Typmod: -1, NotNull: true}, optionsWith(t, "decimal=double"))
	require.True(t, math.IsNaN(double.Unavailable.(float64)))

	o := defaultOptions()
	o.Placeholder = []byte{0, 0xc0, 0xff, 0xee}
	require.Equal(t, "\x00\ufffd\ufffd\ufffd", mustCodec(t, ColumnInfo{TypeOID: 25, Typmod: -1}, o).Unavailable)
	require.Equal(t, []any{int64(0), int64(-64), int64(-1), int64(-18)}, mustCodec(t, ColumnInfo{TypeOID: 1007, Typmod: -1}, o).Unavailable)
}

func TestSaturatedValuesAreCounted(t *testing.T) {
	r := testRegistry()
	o := optionsWith(t, "decimal=double")
	var b change.Batch
	for _, test := range []struct {
		typ, text string
		want      int64
	}{
		{"timestamp", "2026-01-01 00:00:00", 0},
		{"timestamp", "294276-12-31 23:59:59", 1},
		{"interval", "1 day", 1},
		{"interval", "178000000 years", 2},
		{"numeric", "Infinity", 2},
		{"numeric", strings.Repeat("9", 400), 3},
	} {
		codec, ok := r.Codec(ColumnInfo{TypeOID: typeOID(t, test.typ), Typmod: -1}, o)
		require.True(t, ok)
		_, err := codec.Decode(&b, []byte(test.text))
		require.NoError(t, err)
		require.Equal(t, test.want, r.Saturated(), test.text)
	}
}

func TestEnumAndDomainTypes(t *testing.T) {
	enum := mustCodec(t, ColumnInfo{TypeOID: dmoodOID, Typmod: -1}, defaultOptions())
	allowed, ok := enum.Type.Param("allowed")
	require.True(t, ok)
	require.Equal(t, "sad,ok,a,b", allowed)
	require.Equal(t, schema.Enum, enum.Type.Name)
	require.True(t, mustCodec(t, ColumnInfo{TypeOID: moodOID, Typmod: -1}, defaultOptions()).Type.Optional)
	require.False(t, mustCodec(t, ColumnInfo{TypeOID: moodArrayOID, Typmod: -1}, defaultOptions()).Type.Elem.Optional)

	dec := mustCodec(t, ColumnInfo{TypeOID: money2OID, Typmod: -1}, defaultOptions())
	require.Equal(t, []schema.Param{{Name: "scale", Value: "3"}, {Name: "connect.decimal.precision", Value: "8"}}, dec.Type.Params)
}
