// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDefault(t *testing.T) {
	for _, test := range []struct {
		typ    any
		typmod int32
		option string
		expr   string // as pg_get_expr writes it
		want   string // JSON; null for none
	}{
		{"bool", -1, "", "true", "true"},
		{"bool", -1, "", "false", "false"},
		{"bool", -1, "", "(1 < 2)", "false"},
		{"bool", -1, "", "('a'::text = 'a'::text)", "false"},
		{"int4", -1, "", "42", "42"},
		{"int4", -1, "", "'-1'::integer", "-1"},
		{"int4", -1, "", "NULL::integer", "null"},
		{"int4", -1, "", "null", "null"},
		{"int4", -1, "", "nextval('sq'::regclass)", "0"},
		{"int4", -1, "", "(1 + 1)", "null"},
		{"int4", -1, "", "((random() * (100)::double precision))::integer", "null"},
		{"int8", -1, "", "'9223372036854775807'::bigint", "9223372036854775807"},
		{"int8", -1, "", "(1)::bigint", "null"},
		{"int8", -1, "", `public."My func"(1)`, "null"}, // a space ends the name, in the reference too
		{"int8", -1, "", `public."MyFunc"(1)`, "0"},
		{"float8", -1, "", "'-0.0000001'::numeric", "-1e-07"},
		{"float8", -1, "", "'NaN'::double precision", `"NaN"`},
		{"float8", -1, "", "random()", "0"},
		{"numeric", numericTypmod(10, 2), "", "1.5", `"AJY="`},
		{"numeric", numericTypmod(6, 3), "", "round(1.5, 1)", `"AA=="`},
		{"numeric", numericTypmod(5, 0), "", "1.5", `"Ag=="`},
		{"numeric", -1, "", "3.14", "null"},
		{"numeric", -1, "decimal=string", "3.14", `"3.14"`},
		{"numeric", numericTypmod(10, 2), "decimal=string", "1.555", `"1.56"`},
		{"numeric", numericTypmod(10, 2), "decimal=string", "f()", `"0.00"`},
		{"numeric", -1, "decimal=double", "3.14", "3.14"},
		{"text", -1, "", "'it''s'::text", `"it's"`},
		{"text", -1, "", "''::text", `""`},
		{"text", -1, "", "('a'::text || 'b'::text)", `"a"`},
		{"text", -1, "", "CURRENT_USER", `"CURRENT_USER"`},
		{"text", -1, "", "upper('x'::text)", `""`},
		{"text", -1, "", "'two\nlines'::text", "null"},
		{"text", -1, "", "'two\u2028lines'::text", "null"},
		{"text", -1, "", "'tab\tx'::text", `"tab\tx"`},
		{"bpchar", 7, "", "'a'::bpchar", `"a"`},
		{"varchar", 14, "", "'ABC'::character varying(10)", `"ABC"`},
		{"date", -1, "", "'2026-01-02'::date", "20455"},
		{"date", -1, "", "CURRENT_DATE", "0"},
		{"date", -1, "", "('2026-01-01'::date + 1)", "20454"},
		{"date", -1, "time=isostring", "CURRENT_DATE", `"1970-01-01Z"`},
		{"date", -1, "", "'infinity'::date", "169560311"},
		{"date", -1, "time=connect", "'-infinity'::date", "-170999002"},
		{"date", -1, "time=isostring", "'infinity'::date", `"+999999999-12-31Z"`},
		{"date", -1, "time=isostring", "'-infinity'::date", `"-999999999-01-01Z"`},
		{"time", -1, "", "'24:00:00'::time without time zone", "86399999999"},
		{"time", 0, "", "'24:00:00'::time without time zone", "86399999"},
		{"time", -1, "time=connect", "'24:00:00'::time without time zone", "86399999"},
		{"time", 0, "time=nanoseconds", "'24:00:00'::time without time zone", "86399999999999"},
		{"time", -1, "time=isostring", "'24:00:00'::time without time zone", `"23:59:59.999999999Z"`},
		{"timestamp", -1, "", "'infinity'::timestamp without time zone", "-9223372036853775810"},
		{"timestamp", -1, "", "'-infinity'::timestamp without time zone", "-9223372036854775808"},
		{"timestamp", 3, "time=microseconds", "'-infinity'::timestamp without time zone", "-9223372036854775808"},
		{"timestamp", 3, "", "'infinity'::timestamp without time zone", "null"},
		{"timestamp", -1, "time=connect", "'-infinity'::timestamp without time zone", "null"},
		{"timestamp", -1, "time=nanoseconds", "'-infinity'::timestamp without time zone", "null"},
		{"timestamp", -1, "time=isostring", "'infinity'::timestamp without time zone", `"+999999999-12-31T23:59:59.999999999Z"`},
		{"timestamp", -1, "time=isostring", "'-infinity'::timestamp without time zone", `"-999999999-01-01T00:00:00Z"`},
		{"timestamptz", -1, "", "'infinity'::timestamp with time zone", "null"},
		{"timestamptz", 0, "", "'1970-01-01 05:30:00.5+00'::timestamp with time zone", `"1970-01-01T05:30:00.5Z"`},
		{"timestamptz", 3, "", "'1970-01-01 05:30:00.123456+00'::timestamp with time zone", `"1970-01-01T05:30:00.123Z"`},
		{"time", 3, "", "'01:02:03.5'::time without time zone", "3723500"},
		{"time", -1, "", "LOCALTIME", "0"},
		{"timestamp", -1, "", "'2026-01-02 03:04:05.678901'::timestamp without time zone", "1767323045678901"},
		{"timestamp", 3, "", "LOCALTIMESTAMP", "0"},
		{"timestamp", -1, "time=nanoseconds", "now()", "0"},
		{"timestamptz", -1, "", "'2026-01-02 01:04:05.678+00'::timestamp with time zone", `"2026-01-02T01:04:05.678000Z"`},
		{"timestamptz", -1, "", "CURRENT_TIMESTAMP", `"1970-01-01T00:00:00.000000Z"`},
		{"timestamptz", 0, "", "(now() AT TIME ZONE 'utc'::text)", `"1970-01-01T00:00:00Z"`},
		{"timetz", -1, "", "'01:02:03+02'::time with time zone", "null"},
		{"interval", -1, "", "'1 day 02:00:00'::interval", "93600000000"},
		{"interval", -1, "interval=string", "'1 day 02:00:00'::interval", `"P0Y0M1DT2H0M0S"`},
		{"uuid", -1, "", "gen_random_uuid()", `"00000000-0000-0000-0000-000000000000"`},
		{"jsonb", -1, "", "jsonb_build_object('a', 1)", `"{}"`},
		{"jsonb", -1, "", `'{"a": 2, "b": 1}'::jsonb`, `"{\"a\": 2, \"b\": 1}"`},
		{"xml", -1, "", "'<a/>'::xml", `"<a/>"`},
		{"bit", 4, "", `'1010'::"bit"`, `"Cg=="`},
		{"bit", 1, "", `'1'::"bit"`, "true"},
		{"bit", 1, "", "f()", "false"},
		{"varbit", -1, "", "f()", `""`},
		{moodOID, -1, "", "'ok'::mood", `"ok"`},

		{"bytea", -1, "", `'\x0102'::bytea`, "null"},
		{"oid", -1, "", "1", "null"},
		{"name", -1, "", "'n'::name", "null"},
		{"money", -1, "", "'$1.00'::money", "null"},
		{"inet", -1, "", "'10.0.0.1'::inet", "null"},
		{"int4range", -1, "", "'[1,2]'::int4range", "null"},
		{"point", -1, "", "'(1,2)'::point", "null"},
		{"int4[]", -1, "", "'{1,2}'::integer[]", "null"},
		{citextOID, -1, "", "'a'::citext", "null"},
		{hstoreOID, -1, "", `'"a"=>"1"'::hstore`, "null"},
		{posintOID, -1, "", "7", "null"},
		{dmoodOID, -1, "", "'ok'::mood", "null"},
	} {
		t.Run(nameOf(test.typ)+" "+test.option+" "+test.expr, func(t *testing.T) {
			c := ColumnInfo{TypeOID: typeOID(t, test.typ), Typmod: test.typmod, HasDefault: true, Default: test.expr}
			codec := mustCodec(t, c, optionsWith(t, test.option))
			require.Equal(t, test.want, jsonText(literal(codec.Type.Default, codec.Type)))
		})
	}
}

func TestNoDefault(t *testing.T) {
	for name, c := range map[string]ColumnInfo{
		"none":       {Default: "42"},
		"identity":   {Default: "42", HasDefault: true, Identity: true},
		"generated":  {Default: "42", HasDefault: true, Generated: true},
		"empty text": {HasDefault: true},
	} {
		c.TypeOID, c.Typmod = 23, -1
		require.Nil(t, mustCodec(t, c, defaultOptions()).Type.Default, name)
	}
}
