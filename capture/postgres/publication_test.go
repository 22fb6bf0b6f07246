// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// published are the tables of the fixture's publication, or "all".
func (f *fixture) published() string {
	f.t.Helper()
	return f.Text(f.t, `select case when puballtables then 'all' else coalesce((select string_agg(prrelid::regclass::text, ' ' order by 1)
from pg_publication_rel where prpubid = p.oid), '') end from pg_publication p where pubname = 'pub_`+f.Database+`'`)
}

func TestPublicationModes(t *testing.T) {
	const tables = `create table a(id int primary key); create table "B b"(id int primary key); create unlogged table u(id int); create table c(id int)`
	for _, c := range []struct {
		name, before string
		properties   []string
		want         string
		refused      []string
	}{
		{"all tables, missing", "", []string{"publication.autocreate.mode", "all_tables"}, "all", nil},
		{"all tables, used as it is", "create publication %s for table a", []string{"publication.autocreate.mode", "all_tables"}, "a", nil},
		{"filtered, missing", "", []string{"publication.autocreate.mode", "filtered", "table.include.list", "public.(a|b b|u)"}, `"B b" a`, nil},
		{"filtered, the same", "create publication %s for table a, c", []string{"publication.autocreate.mode", "filtered", "table.include.list", "public.(a|c)"}, `a c`, nil},
		{"filtered, altered", "create publication %s for table c", []string{"publication.autocreate.mode", "filtered", "table.include.list", "public.a", "skipped.operations", "t"}, `a`, nil},
		{
			"filtered, nothing matches", "",
			[]string{"publication.autocreate.mode", "filtered", "table.include.list", "public.no"},
			"",
			[]string{"Unable to create filtered publication pub_", "No table filters found for filtered publication pub_"},
		},
		{
			"filtered, for all tables", "create publication %s for all tables",
			[]string{"publication.autocreate.mode", "filtered"},
			"",
			[]string{
				"A logical publication for all tables named 'pub_", "for plugin 'PGOUTPUT' and database '", "is already active on the server and can not be altered.",
				"Otherwise please change the 'publication.autocreate.mode' property to 'all_tables'.",
			},
		},
		{
			"disabled, missing", "",
			[]string{"publication.autocreate.mode", "disabled"},
			"",
			[]string{"Publication autocreation is disabled, please create one and restart the connector."},
		},
		{"disabled, used as it is", "create publication %s for table c", []string{"publication.autocreate.mode", "disabled"}, "c", nil},
		{"no tables", "", []string{"publication.autocreate.mode", "no_tables"}, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, append([]string{"snapshot.mode", "no_data"}, c.properties...)...)
			f.Exec(t, tables)
			if c.before != "" {
				f.Exec(t, strings.ReplaceAll(c.before, "%s", "pub_"+f.Database))
			}
			if c.refused != nil {
				f.refused("", c.refused...)
				require.Equal(t, "0", f.Text(t, `select count(*) from pg_replication_slots where database = current_database()`))
				return
			}
			f.open("").close()
			require.Equal(t, c.want, f.published())
			f.open("").close() // a second time nothing changes
			require.Equal(t, c.want, f.published())
		})
	}
}

func TestPublicationOptions(t *testing.T) {
	for _, c := range []struct {
		name       string
		properties []string
		want       string
	}{
		{"nothing asked for", nil, "true true true true false"},
		{"the default of skipped.operations, written out", []string{"skipped.operations", "t"}, "true true true false false"},
		{"two", []string{"skipped.operations", "d,c"}, "false true false true false"},
		{"none", []string{"skipped.operations", "none"}, "true true true true false"},
		{"all", []string{"skipped.operations", "c,u,d,t,r"}, "false false false false false"},
		{"root", []string{"publish.via.partition.root", "true"}, "true true true true true"},
		{"both", []string{"publish.via.partition.root", "true", "skipped.operations", "u"}, "true false true true true"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t, append([]string{"snapshot.mode", "no_data", "publication.autocreate.mode", "filtered"}, c.properties...)...)
			f.Exec(t, `create table a(id int primary key)`)
			f.open("").close()
			require.Equal(t, c.want, f.Text(t, `select concat_ws(' ', pubinsert::text, pubupdate::text, pubdelete::text, pubtruncate::text, pubviaroot::text)
from pg_publication where pubname = 'pub_`+f.Database+`'`))
		})
	}
}

func TestPublicationWithAnOddName(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data", "publication.name", `My "pub'`)
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	f.Exec(t, `insert into a values (1)`)
	require.Equal(t, []string{"c a {id=1} -> {id=1}"}, s.read(1))
}

func TestPublicationDroppedInMidStream(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data")
	f.Exec(t, `create table a(id int primary key)`)
	f.Exec(t, `alter database `+f.Database+` set client_min_messages = error`) // since 18 it is a notice
	s := f.open("")
	f.Exec(t, `drop publication pub_`+f.Database+`; insert into a values (1)`)
	var err error
	for err == nil {
		_, _, err = s.tryNext(deadline)
	}
	require.ErrorContains(t, err, `publication "pub_`+f.Database+`" does not exist`)
	require.ErrorContains(t, err, "publication.name")
	require.False(t, retriable(err))
}

func TestReplicaIdentities(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data", "replica.identity.autoset.values", "public.full_.*:FULL,public.ix:INDEX ix_code,public.(two|full_x):NOTHING,public.two:DEFAULT")
	f.Exec(t, `create table full_a(id int primary key); create table ix(id int primary key, code int not null); create unique index ix_code on ix(code);
create table two(id int primary key); create table other(id int primary key); create table full_x(id int)`)
	f.open("").close()
	require.Equal(t, [][]string{{"full_a", "f"}, {"full_x", "d"}, {"ix", "i"}, {"other", "d"}, {"two", "d"}},
		f.Rows(t, `select relname::text, relreplident from pg_class where relkind='r' and relnamespace='public'::regnamespace order by 1`))
	require.Equal(t, 2, strings.Count(f.log.String(), "more than one rule"))
}
