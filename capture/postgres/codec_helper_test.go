// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
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

func nameOf(typ any) string {
	if name, ok := typ.(string); ok {
		return name
	}
	return testRegistry().lookup(uint32(typ.(int))).name
}
