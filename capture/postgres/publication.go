// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/schema"
)

// ensurePublication makes the publication as publication.autocreate.mode wants it. It exists before the slot does: the
// server looks publications up as they were at the time of each change.
func ensurePublication(ctx context.Context, conn *pgconn.PgConn, o *options, tables []*catalogTable, log *slog.Logger) error {
	p := publication{o: o, log: log, tables: publishable(tables)}
	rows, err := query(ctx, conn, `SELECT puballtables, pg_is_in_recovery() FROM (SELECT) AS one
LEFT JOIN pg_publication ON pubname = $1`, o.Publication)
	if err != nil {
		return wrapError("look up", p.subject(), err)
	}
	exists, all, standby := rows[0][0] != nil, isTrue(rows[0][0]), isTrue(rows[0][1])
	switch {
	case exists:
		if o.PublicationMode == "filtered" && !standby {
			return p.alter(ctx, conn, all)
		}
		return nil
	case standby:
		return permanentf("look up", p.subject(), "create it on the primary", "the publication does not exist, and a standby cannot create it")
	}
	return p.create(ctx, conn)
}

// publication is what is to be published.
type publication struct {
	o      *options
	log    *slog.Logger
	tables []*catalogTable
}

func (p publication) subject() string { return "publication " + strconv.Quote(p.o.Publication) }

// publishable leaves out tables that the server refuses to publish.
func publishable(tables []*catalogTable) []*catalogTable {
	return slices.DeleteFunc(slices.Clone(tables), func(t *catalogTable) bool { return t.Unlogged })
}

// create creates a missing publication.
func (p publication) create(ctx context.Context, conn *pgconn.PgConn) error {
	var what string
	switch p.o.PublicationMode {
	case "disabled":
		return permanentf("look up", p.subject(), "CREATE PUBLICATION "+schema.QuoteName(p.o.Publication)+" FOR TABLE ...",
			"Publication autocreation is disabled, please create one and restart the connector.")
	case "all_tables":
		what = " FOR ALL TABLES"
	case "filtered":
		list, err := p.list()
		if err != nil {
			return err
		}
		what = " FOR TABLE " + list
	}
	sql := "CREATE PUBLICATION " + schema.QuoteName(p.o.Publication) + what + p.options()
	_, err := conn.Exec(ctx, sql).ReadAll()
	if sqlState(err) == "42710" { // another connector was faster
		return nil
	}
	if err == nil {
		p.log.Info("publication created", "publication", p.o.Publication, "sql", sql)
	}
	return wrapError("create", p.subject(), err)
}

// list is the tables for FOR TABLE and SET TABLE.
func (p publication) list() (string, error) {
	if len(p.tables) == 0 {
		return "", permanentf("create", p.subject(), "check table.include.list and schema.include.list against the tables of the database",
			"Unable to create filtered publication %s for : No table filters found for filtered publication %s", p.o.Publication, p.o.Publication)
	}
	names := make([]string, len(p.tables))
	for i, t := range p.tables {
		names[i] = t.ID.Quoted()
	}
	return strings.Join(names, ", "), nil
}

// options is the WITH clause of CREATE. ALTER ... SET TABLE takes none.
func (p publication) options() string {
	var with []string
	if p.o.SkippedOpsGiven {
		var ops []string
		for _, op := range []struct {
			letter byte
			name   string
		}{{'c', "insert"}, {'u', "update"}, {'d', "delete"}, {'t', "truncate"}} {
			if !p.o.skips(op.letter) {
				ops = append(ops, op.name)
			}
		}
		with = append(with, "publish = '"+strings.Join(ops, ", ")+"'")
	}
	if p.o.PublishViaRoot {
		with = append(with, "publish_via_partition_root = true")
	}
	if len(with) == 0 {
		return ""
	}
	return " WITH (" + strings.Join(with, ", ") + ")"
}

// alter makes an existing publication publish the captured tables and no others.
func (p publication) alter(ctx context.Context, conn *pgconn.PgConn, all bool) error {
	if all {
		return permanentf("alter", p.subject(), "drop it, or set publication.autocreate.mode=all_tables",
			"A logical publication for all tables named '%s' for plugin 'PGOUTPUT' and database '%s' is already active on the server and can not be altered. "+
				"If you need to exclude some tables or include only specific subset, please recreate the publication with necessary configuration "+
				"or let plugin recreate it by dropping existing publication. Otherwise please change the 'publication.autocreate.mode' property to 'all_tables'.",
			p.o.Publication, p.o.Database)
	}
	list, err := p.list()
	if err != nil {
		return err
	}
	rows, err := query(ctx, conn, `SELECT r.prrelid FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE p.pubname = $1`,
		p.o.Publication)
	if err != nil {
		return wrapError("read the tables of", p.subject(), err)
	}
	var have, want []string
	for _, r := range rows {
		have = append(have, string(r[0]))
	}
	for _, t := range p.tables {
		want = append(want, strconv.FormatUint(uint64(t.OID), 10))
	}
	slices.Sort(have)
	slices.Sort(want)
	if slices.Equal(have, want) {
		return nil
	}
	sql := "ALTER PUBLICATION " + schema.QuoteName(p.o.Publication) + " SET TABLE " + list
	if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
		return wrapError("alter", p.subject(), err)
	}
	p.log.Info("publication altered", "publication", p.o.Publication, "sql", sql)
	return nil
}

// setReplicaIdentities follows replica.identity.autoset.values. A table that two rules match stays as it is.
func setReplicaIdentities(ctx context.Context, conn *pgconn.PgConn, o *options, tables []*catalogTable, log *slog.Logger) error {
	letters := map[string]byte{"DEFAULT": 'd', "FULL": 'f', "NOTHING": 'n'}
	for _, t := range tables {
		var want []string
		for _, rule := range o.ReplicaIdentity {
			if rule.Table.MatchString(t.ID.String()) {
				want = append(want, rule.Identity)
			}
		}
		if len(want) > 1 {
			log.Error("more than one rule of replica.identity.autoset.values matches the table: left as it is", "table", t.ID.String(), "rules", want)
			continue
		}
		if len(want) == 0 || letters[want[0]] == t.Identity {
			continue
		}
		sql := fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY %s", t.ID.Quoted(), want[0])
		if _, err := conn.Exec(ctx, sql).ReadAll(); err != nil {
			return wrapError("set the replica identity of", strconv.Quote(t.ID.String()), err)
		}
		log.Info("replica identity set", "table", t.ID.String(), "sql", sql)
	}
	return nil
}

// quoteLiteral quotes a text for SQL; standard_conforming_strings is on in all supported servers.
func quoteLiteral(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
