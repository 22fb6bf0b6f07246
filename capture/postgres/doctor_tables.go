// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"freshet/capture"
	"freshet/schema"
)

// tableRights is what the role may do with a table, and what COPY and publications want to know of it.
type tableRights struct {
	selects, usage, owns, partition bool
	owner                           string
	identity                        []string // columns of the REPLICA IDENTITY USING INDEX index
}

// checkTables looks at the captured tables and the publication.
func (d *doctor) checkTables(ctx context.Context) error {
	types, err := LoadRegistry(ctx, d.conn)
	if err != nil {
		return err
	}
	tables, err := capturedTables(ctx, d.conn, d.o)
	if err != nil {
		return err
	}
	if len(tables) == 0 {
		d.add(capture.Warn, "captured tables", "none", "nothing will be captured until a table matches the filters",
			"check table.include.list and schema.include.list against \\dt *.* of psql", "table.include.list")
	} else {
		d.ok("captured tables", strconv.Itoa(len(tables)))
	}
	d.checkGuardrail(len(tables))
	rights, err := d.readRights(ctx, tables)
	if err != nil {
		return err
	}
	d.checkRights(tables, rights)
	if d.o.streams() {
		if err := d.checkPublication(ctx, tables, rights); err != nil {
			return err
		}
		for _, t := range tables {
			d.checkIdentity(t, rights[t.OID])
			d.checkStorage(t)
		}
	}
	for _, t := range tables {
		d.checkTypes(t, types)
		d.checkMaskedKeys(t, types)
	}
	return nil
}

func (d *doctor) readRights(ctx context.Context, tables []*catalogTable) (map[uint32]tableRights, error) {
	rows, err := query(ctx, d.conn, `
SELECT c.oid, has_table_privilege(c.oid, 'SELECT') OR (SELECT coalesce(bool_and(has_column_privilege(c.oid, a.attnum, 'SELECT')), false)
    FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
  has_schema_privilege(c.relnamespace, 'USAGE'), pg_has_role(c.relowner, 'USAGE'), c.relispartition, pg_get_userbyid(c.relowner),
  (SELECT string_agg(a.attname, E'\x01') FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY(i.indkey)
    WHERE i.indrelid = c.oid AND i.indisreplident)
FROM pg_class c WHERE c.oid = ANY($1::oid[])`, oidList(tables))
	if err != nil {
		return nil, wrapError("read the rights on", "the captured tables", err)
	}
	out := make(map[uint32]tableRights, len(rows))
	for _, r := range rows {
		oid, err := parseOID(r[0])
		if err != nil {
			return nil, err
		}
		t := tableRights{selects: isTrue(r[1]), usage: isTrue(r[2]), owns: isTrue(r[3]), partition: isTrue(r[4]), owner: string(r[5])}
		if r[6] != nil {
			t.identity = strings.Split(string(r[6]), "\x01")
		}
		out[oid] = t
	}
	return out, nil
}

// oidList is the object ids of tables as PostgreSQL writes an array.
func oidList(tables []*catalogTable) string {
	ids := make([]string, len(tables))
	for i, t := range tables {
		ids[i] = strconv.FormatUint(uint64(t.OID), 10)
	}
	return "{" + strings.Join(ids, ",") + "}"
}

// checkRights: the snapshot reads the tables, and what reads rows again; the stream does not.
func (d *doctor) checkRights(tables []*catalogTable, rights map[uint32]tableRights) {
	stream := d.o.SnapshotMode == "no_data" || d.o.SnapshotMode == "configuration_based" && !d.o.SnapshotData
	if stream && d.o.Reselect == nil {
		return
	}
	role := schema.QuoteName(d.server.user)
	missing := 0
	for _, t := range tables {
		r := rights[t.OID]
		var fix []string
		if !r.usage {
			fix = append(fix, "GRANT USAGE ON SCHEMA "+schema.QuoteName(t.ID.Schema)+" TO "+role+";")
		}
		if !r.selects {
			fix = append(fix, "GRANT SELECT ON "+t.ID.Quoted()+" TO "+role+";")
		}
		level, effect := capture.Fail, "the snapshot cannot read it"
		if stream || !d.o.snapshots(t.ID) {
			if effect = "the post-processor cannot read its rows again"; d.o.Reselect != nil && !d.o.Reselect.Fail {
				level = capture.Warn
			}
		}
		if len(fix) == 0 || d.o.Reselect == nil && !d.o.snapshots(t.ID) {
			continue
		}
		missing++
		d.add(level, "table "+t.ID.String(), "no SELECT for role "+d.server.user, effect, strings.Join(fix, " ")+" -- as "+r.owner, "database.user")
	}
	if missing == 0 && len(tables) > 0 {
		d.ok("SELECT on captured tables", "granted")
	}
}

// publicationFacts is a row of pg_publication.
type publicationFacts struct {
	all     bool
	ops     map[string]bool
	viaRoot bool
	owned   bool
}

func (d *doctor) checkPublication(ctx context.Context, tables []*catalogTable, rights map[uint32]tableRights) error {
	rows, err := query(ctx, d.conn, `SELECT puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot, pg_has_role(pubowner, 'USAGE')
FROM pg_publication WHERE pubname = $1`, d.o.Publication)
	if err != nil {
		return wrapError("look up publication", strconv.Quote(d.o.Publication), err)
	}
	if len(rows) == 0 {
		d.checkNewPublication(tables, rights)
		return nil
	}
	r := rows[0]
	p := publicationFacts{
		all: isTrue(r[0]), viaRoot: isTrue(r[5]), owned: isTrue(r[6]),
		ops: map[string]bool{"insert": isTrue(r[1]), "update": isTrue(r[2]), "delete": isTrue(r[3]), "truncate": isTrue(r[4])},
	}
	subject, before := "publication "+d.o.Publication, len(d.findings)
	name := schema.QuoteName(d.o.Publication)
	if p.all && d.o.PublicationMode == "filtered" {
		d.add(capture.Fail, subject, "FOR ALL TABLES", "with publication.autocreate.mode=filtered it would have to be altered, which the server refuses",
			"set publication.autocreate.mode=all_tables, or: DROP PUBLICATION "+name+";", "publication.autocreate.mode")
	}
	var off []string
	for _, op := range []string{"insert", "update", "delete", "truncate"} {
		letter := map[string]byte{"insert": 'c', "update": 'u', "delete": 'd', "truncate": 't'}[op]
		if !p.ops[op] && !d.o.skips(letter) {
			off = append(off, op)
		}
	}
	if len(off) > 0 {
		d.add(capture.Warn, subject, "does not publish "+strings.Join(off, ", "), "these operations will not arrive",
			"ALTER PUBLICATION "+name+" SET (publish = 'insert, update, delete, truncate');", "publication.name")
	}
	if err := d.checkPublished(ctx, p, tables, rights); err != nil {
		return err
	}
	if len(d.findings) == before {
		d.ok(subject, "covers the captured tables")
	}
	return nil
}

// checkPublished compares what an existing publication has with what is captured.
func (d *doctor) checkPublished(ctx context.Context, p publicationFacts, tables []*catalogTable, rights map[uint32]tableRights) error {
	subject := "publication " + d.o.Publication
	rows, err := query(ctx, d.conn, `SELECT schemaname, tablename, to_jsonb(p) ->> 'rowfilter' FROM pg_publication_tables p WHERE pubname = $1`, d.o.Publication)
	if err != nil {
		return wrapError("read the tables of", subject, err)
	}
	published := make(map[schema.ID]bool, len(rows))
	for _, r := range rows {
		id := schema.ID{Catalog: d.o.Database, Schema: string(r[0]), Name: string(r[1])}
		published[id] = true
		if r[2] != nil && d.o.captures(id) {
			d.add(capture.Warn, subject, "row filter on "+id.String(), "the stream leaves rows out that the snapshot reads", "ALTER PUBLICATION "+
				schema.QuoteName(d.o.Publication)+" SET TABLE ONLY "+id.Quoted()+"; -- lists the tables anew, without WHERE", "publication.name")
		}
	}
	var missing, names []string
	alterable := d.o.PublicationMode == "filtered" && !p.all
	for _, t := range publishable(tables) {
		r := rights[t.OID]
		// A partition is published by its root, and a root by its partitions; which of them is listed depends on viaRoot.
		if published[t.ID] || t.Partitioned || r.partition && p.viaRoot {
			continue
		}
		missing, names = append(missing, t.ID.String()), append(names, t.ID.Quoted())
	}
	switch {
	case len(missing) == 0:
	case alterable && p.owned && d.ownsAll(tables, rights):
		d.ok(subject, "will be altered to have "+shown(missing))
	case alterable:
		d.add(capture.Fail, subject, "lacks "+shown(missing), "altering it takes its owner, who also owns the tables",
			d.addTables(names)+" -- as the owner, and set publication.autocreate.mode=disabled", "publication.name")
	default:
		d.add(capture.Warn, subject, "lacks "+shown(missing), "changes of these tables will not arrive", d.addTables(names), "publication.name")
	}
	return nil
}

func (d *doctor) addTables(names []string) string {
	return "ALTER PUBLICATION " + schema.QuoteName(d.o.Publication) + " ADD TABLE " + strings.Join(names, ", ") + ";"
}

func (d *doctor) ownsAll(tables []*catalogTable, rights map[uint32]tableRights) bool {
	return !slices.ContainsFunc(publishable(tables), func(t *catalogTable) bool { return !rights[t.OID].owns })
}

// checkNewPublication says what publication.autocreate.mode would do at the start, and whether the role may.
func (d *doctor) checkNewPublication(tables []*catalogTable, rights map[uint32]tableRights) {
	p := publication{o: d.o, tables: publishable(tables)}
	subject, sql := "publication "+d.o.Publication, "CREATE PUBLICATION "+schema.QuoteName(d.o.Publication)
	list, listErr := p.list()
	lacks := ""
	switch d.o.PublicationMode {
	case "disabled":
		d.add(capture.Fail, subject, "missing", "it is not created because of publication.autocreate.mode=disabled",
			sql+" FOR TABLE "+list+p.options()+";", "publication.name")
		return
	case "all_tables":
		sql += " FOR ALL TABLES"
		if !d.server.superuser {
			lacks = "only a superuser may create it FOR ALL TABLES"
		}
	case "filtered":
		if listErr != nil {
			d.add(capture.Fail, subject, "missing", listErr.Error(), "check table.include.list", "table.include.list")
			return
		}
		sql += " FOR TABLE " + list
		if !d.ownsAll(tables, rights) {
			lacks = "role " + d.server.user + " does not own all captured tables"
		}
	}
	sql += p.options()
	if lacks == "" && !d.server.mayCreate {
		lacks = "role " + d.server.user + " may not CREATE in database " + d.o.Database
	}
	switch {
	case d.server.standby:
		d.add(capture.Fail, subject, "missing", "a standby cannot create it", sql+"; -- on the primary", "publication.name")
	case lacks != "":
		d.add(capture.Fail, subject, "missing", "it cannot be created at the start: "+lacks,
			sql+"; -- as a superuser or the tables' owner, with publication.autocreate.mode=disabled", "publication.autocreate.mode")
	default:
		d.ok(subject, "missing: it is created at the start by "+sql)
	}
}

// checkIdentity says what UPDATE and DELETE will do on a published table. Partitions have identities of their own.
func (d *doctor) checkIdentity(t *catalogTable, r tableRights) {
	if t.Partitioned || t.Unlogged {
		return
	}
	subject := "table " + t.ID.String()
	full := "ALTER TABLE " + t.ID.Quoted() + " REPLICA IDENTITY FULL; -- or give it a primary key"
	for _, rule := range d.o.ReplicaIdentity {
		if rule.Table.MatchString(t.ID.String()) {
			d.ok(subject, "replica identity is set at the start to "+rule.Identity)
			return
		}
	}
	switch {
	case t.Identity == 'd' && !t.HasPrimary:
		d.add(capture.Warn, subject, "no primary key, replica identity default",
			"once it is published, the server refuses every UPDATE and DELETE on it, also those of your applications; inserts are captured", full, "")
	case t.Identity == 'n':
		d.add(capture.Warn, subject, "replica identity nothing",
			"once it is published, the server refuses every UPDATE and DELETE on it, also those of your applications; inserts are captured", full, "")
	case t.Identity == 'i' && !coversKey(r.identity, t.Key):
		d.add(capture.Warn, subject, "replica identity by an index on "+strings.Join(r.identity, ", "),
			fmt.Sprintf("the index lacks columns of the record key (%s): keys of deletes are wrong", strings.Join(t.Key, ", ")), full, "")
	default:
		d.ok(subject, "replica identity "+identityNames[t.Identity])
	}
}

// identityNames are the values of pg_class.relreplident.
var identityNames = map[byte]string{'d': "default", 'n': "nothing", 'f': "full", 'i': "index"}

// coversKey says whether the identity's columns have all of the key.
func coversKey(identity, key []string) bool {
	return !slices.ContainsFunc(key, func(name string) bool { return !slices.Contains(identity, name) })
}

func (d *doctor) checkStorage(t *catalogTable) {
	if t.Unlogged {
		d.add(capture.Warn, "table "+t.ID.String(), "unlogged", "its rows are in the snapshot, but its changes are in no log",
			"ALTER TABLE "+t.ID.Quoted()+" SET LOGGED;", "")
	}
	var generated []string
	for _, c := range t.Columns {
		if c.Generated && d.o.capturesColumn(t.ID, c.Name) {
			generated = append(generated, c.Name)
		}
	}
	if len(generated) > 0 {
		d.add(capture.Warn, "table "+t.ID.String(), "generated columns "+shown(generated), "they are in snapshot rows, and absent in streamed ones",
			"set column.exclude.list to leave them out of both", "column.exclude.list")
	}
}

// checkTypes finds columns that are left out because their type has no form of its own.
func (d *doctor) checkTypes(t *catalogTable, types *Registry) {
	var unknown []string
	for _, c := range t.Columns {
		if !d.o.capturesColumn(t.ID, c.Name) && !slices.Contains(t.Key, c.Name) {
			continue
		}
		if _, ok := types.Codec(c, &d.o.Types); !ok {
			unknown = append(unknown, c.Name+" ("+types.resolve(c.TypeOID, c.Typmod).name+")")
		}
	}
	if len(unknown) > 0 {
		d.add(capture.Warn, "table "+t.ID.String(), "columns of unknown types: "+shown(unknown), "they are left out of the events",
			"set include.unknown.datatypes=true to have them as the bytes of their text", "include.unknown.datatypes")
	}
}
