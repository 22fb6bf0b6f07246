// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/snapshot"
)

// blockBytes is what a block of a table takes up on the server: small enough that little is read twice, large enough that
// its statement costs nothing.
const blockBytes = 64 << 20

// readFiles fills in what COPY has to know of the tables' storage, with one query for all.
func readFiles(ctx context.Context, conn *pgconn.PgConn, tables []*copyTable) error {
	byOID := map[uint32]*copyTable{}
	oids := make([]string, 0, len(tables))
	for _, t := range tables {
		byOID[t.OID] = t
		oids = append(oids, strconv.FormatUint(uint64(t.OID), 10))
	}
	rows, err := query(ctx, conn, `
SELECT oid, relhassubclass, nullif(relfilenode, 0),
  coalesce(pg_relation_size(oid) / current_setting('block_size')::bigint, 0), coalesce(pg_table_size(oid), 0)
FROM pg_class WHERE oid = ANY ($1::oid[])`, "{"+strings.Join(oids, ",")+"}")
	if err != nil {
		return wrapError("read the storage of", "the captured tables", err)
	}
	for _, r := range rows {
		oid, err := parseOID(r[0])
		if err != nil {
			return err
		}
		t := byOID[oid]
		if t == nil {
			continue
		}
		t.inherited, t.file = isTrue(r[1]), string(r[2])
		if t.pages, err = strconv.ParseInt(string(r[3]), 10, 64); err != nil {
			return fmt.Errorf("size of table %q: %w", t.ID, err)
		}
		if t.bytes, err = strconv.ParseInt(string(r[4]), 10, 64); err != nil {
			return fmt.Errorf("size of table %q: %w", t.ID, err)
		}
	}
	return nil
}

// Chunks divides a table into blocks of pages. Rows are found by their place, so a block costs what it holds, and nothing
// is read to plan them. A table that is made of others is not divided: each has its own file.
func (q *copier) Chunks(_ context.Context, t snapshot.Table, n int) ([]snapshot.Chunk, error) {
	ct := q.tables[t.Table]
	if ct.Partitioned || ct.inherited || ct.override != "" || ct.file == "" {
		return []snapshot.Chunk{{Table: t.Table}}, nil
	}
	parts := max(int64(n), (ct.bytes+q.block-1)/q.block)
	parts = max(1, min(parts, ct.pages))
	chunks := make([]snapshot.Chunk, parts)
	if parts > 1 {
		ct.blocks, ct.left = make(map[string]pageSpan, parts), int(parts)
	}
	for i := range parts {
		to := int64(-1) // pages that come now hold nothing that the snapshot sees, yet the last block is open
		if i < parts-1 {
			to = ct.pages * (i + 1) / parts
		}
		from := ct.pages * i / parts
		chunks[i] = snapshot.Chunk{Table: t.Table, Part: pageRange(from, to)}
		if parts > 1 {
			ct.blocks[chunks[i].Part] = pageSpan{from, to}
		}
	}
	return chunks, nil
}

// pageRange is the condition of the rows in pages from from to before to, which is without end where it is negative.
func pageRange(from, to int64) string {
	var where []string
	if from > 0 {
		where = append(where, fmt.Sprintf("ctid >= '(%d,0)'", from))
	}
	if to >= 0 {
		where = append(where, fmt.Sprintf("ctid < '(%d,0)'", to))
	}
	return strings.Join(where, " AND ")
}
