// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/capture"
)

const guardrailStep = "raise guardrail.collections.max, or capture fewer tables with table.include.list and schema.include.list"

// guardrail looks at the number of captured tables before anything is made or read: more than guardrail.collections.max
// are warned of, or refused.
func (op *opening) guardrail(ctx context.Context, conn *pgconn.PgConn) error {
	if op.o.CollectionsMax == 0 {
		return nil
	}
	tables, err := listTables(ctx, conn, op.o.Database, "")
	if err != nil {
		return err
	}
	n := 0
	for _, t := range tables {
		if op.o.captures(t.ID) {
			n++
		}
	}
	switch {
	case n <= op.o.CollectionsMax:
		return nil
	case op.o.CollectionsFail:
		return permanentf("start", "connector "+strconv.Quote(op.env.Connector), guardrailStep,
			"%d tables would be captured, and guardrail.collections.max=%d allows no more", n, op.o.CollectionsMax)
	}
	op.log.Warn("more tables are captured than guardrail.collections.max allows", "tables", n, "max", op.o.CollectionsMax, "next step", guardrailStep)
	return nil
}

// checkGuardrail is guardrail as a finding.
func (d *doctor) checkGuardrail(tables int) {
	if d.o.CollectionsMax == 0 || tables <= d.o.CollectionsMax {
		return
	}
	level, detail := capture.Warn, "the connector starts and warns"
	if d.o.CollectionsFail {
		level, detail = capture.Fail, "guardrail.collections.limit.action=fail, so the connector does not start"
	}
	d.add(level, "guardrail.collections.max", fmt.Sprintf("%d tables, at most %d", tables, d.o.CollectionsMax), detail, guardrailStep, "guardrail.collections.max")
}

// checkMaskedKeys tells which columns are masked in values and in clear in keys.
func (d *doctor) checkMaskedKeys(t *catalogTable, types *Registry) {
	var clear []string
	for _, name := range d.o.keyNames(t.ID, t.Columns, t.Key) {
		for _, c := range t.Columns {
			if c.Name != name {
				continue
			}
			r := d.o.ruleFor(t.ID, name, typeName(types, c.TypeOID))
			if r != nil && (r.kind == ruleMask || r.kind == ruleHash || r.kind == ruleHashV2) {
				clear = append(clear, name)
			}
		}
	}
	if len(clear) > 0 {
		d.add(capture.Warn, "masks of "+t.ID.String(), "key columns "+strings.Join(clear, ", "), "masks are for values: the key has these columns in clear, as in Debezium",
			"choose other key columns with message.key.columns, or exclude the table", "message.key.columns")
	}
}
