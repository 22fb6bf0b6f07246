// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"freshet/change"
	"freshet/internal/failpoint"
	"freshet/sinks/jdbc/dialect"
)

// flushEvery bounds what a pipeline buffers before it writes, in statements.
const flushEvery = 512

type statementKey struct {
	set  *dialect.Set
	kind dialect.Kind
}

// statement is what one row of a kind runs: one prepared statement, or two with the same parameters. A kind that has
// nothing to do (an update of a table that is all key) has none.
type statement struct {
	parts []*pgconn.StatementDescription
	// insertsLast says that the last part adds a row of which columns are unknown.
	insertsLast bool
}

// prepared returns the statement of a kind, preparing it first where it is new.
func (s *Session) prepared(ctx context.Context, kind dialect.Kind, set *dialect.Set) (*statement, error) {
	key := statementKey{set, kind}
	if st := s.statements[key]; st != nil {
		return st, nil
	}
	texts, params, err := s.statementTexts(kind, set)
	if err != nil {
		return nil, fmt.Errorf("table %q: %s: %w", set.Plan.Table.Name, kind, err)
	}
	types := make([]uint32, params)
	for i := range types {
		types[i] = set.Plan.Fields[set.Fields[i]].Column.ID
	}
	st := &statement{insertsLast: kind == dialect.Patch}
	for _, text := range texts {
		s.serial++
		n := params
		if text.keysOnly {
			n = set.Plan.NKeys
		}
		d, err := s.conn.Prepare(ctx, "freshet_"+itoa(s.serial), text.sql, types[:n])
		if err != nil {
			return nil, fmt.Errorf("table %q: prepare %s: %w", set.Plan.Table.Name, kind, err)
		}
		st.parts = append(st.parts, d)
	}
	s.statements[key] = st
	return st, nil
}

type statementText struct {
	sql      string
	keysOnly bool // takes the key's parameters only
}

func (s *Session) statementTexts(kind dialect.Kind, set *dialect.Set) (texts []statementText, params int, err error) {
	var sql, second string
	params = len(set.Fields)
	switch kind {
	case dialect.Insert:
		sql = dialect.InsertRow(s.dialect, set)
	case dialect.Upsert:
		sql, err = dialect.UpsertRow(s.dialect, set)
	case dialect.Update:
		sql, err = dialect.UpdateRow(s.dialect, set)
	case dialect.Patch:
		if sql, err = dialect.UpdateRow(s.dialect, set); err == nil {
			second, err = dialect.InsertMissingRow(s.dialect, set)
		}
	case dialect.Delete:
		params = set.Plan.NKeys
		sql, err = dialect.DeleteRow(s.dialect, set)
	case dialect.Move:
		if sql, err = dialect.MoveRow(s.dialect, set); err == nil {
			second, err = dialect.DeleteRow(s.dialect, set)
		}
	case dialect.Truncate:
		params = 0
		sql = dialect.TruncateTable(s.dialect, set.Plan.Table.Name)
	}
	if err != nil {
		return nil, 0, err
	}
	if sql != "" {
		texts = append(texts, statementText{sql: sql})
	}
	if second != "" {
		texts = append(texts, statementText{sql: second, keysOnly: kind == dialect.Move})
	}
	return texts, params, nil
}

// pipeline is the statements of a transaction on their way. sent holds, for each statement whose answer is to come, the
// group it belongs to.
type pipeline struct {
	s    *Session
	data *change.Batch
	p    *pgconn.Pipeline
	sent []sentStatement
	err  error // a row that could not be rendered; what was sent before may still fail first
}

type sentStatement struct {
	group   int // -1 for BEGIN and COMMIT
	inserts *dialect.Table
}

func (p *pipeline) open(ctx context.Context) {
	if p.p == nil {
		p.p = p.s.conn.StartPipeline(ctx)
	}
}

func (p *pipeline) begin(ctx context.Context) {
	p.open(ctx)
	p.p.SendQueryParams("BEGIN", nil, nil, nil, nil)
	p.sent = append(p.sent, sentStatement{group: -1})
}

// add sends the statements of a group's rows. A failure shows in flush or commit.
func (p *pipeline) add(ctx context.Context, group int, g *dialect.Group) {
	if p.err != nil {
		return
	}
	p.open(ctx)
	st := p.s.statements[statementKey{g.Set, g.Kind}]
	if g.Kind == dialect.Truncate {
		p.send(group, g, st)
		return
	}
	for i := range g.Rows {
		if err := p.s.bind(g, i, p.data); err != nil {
			p.err = &dialect.GroupError{Group: group, Err: &valueError{err}}
			return
		}
		p.send(group, g, st)
		if len(p.sent)%flushEvery == 0 {
			if p.err = p.p.Flush(); p.err != nil {
				return
			}
		}
	}
}

func (p *pipeline) send(group int, g *dialect.Group, st *statement) {
	for i, part := range st.parts {
		sent := sentStatement{group: group}
		if st.insertsLast && i == len(st.parts)-1 {
			sent.inserts = g.Set.Plan.Table
		}
		p.p.SendQueryStatement(part, p.s.params[:len(part.ParamOIDs)], nil, nil)
		p.sent = append(p.sent, sent)
	}
}

// bind renders a row's parameters into s.params.
func (s *Session) bind(g *dialect.Group, i int, data *change.Batch) error {
	row := g.Row(i)
	fields := g.Set.Fields
	if g.Kind == dialect.Delete {
		fields = fields[:g.Set.Plan.NKeys]
	}
	s.textBuf, s.params = s.textBuf[:0], s.params[:0]
	for _, f := range fields {
		v := row[f]
		if v.IsNull() {
			s.params = append(s.params, nil)
			continue
		}
		mark := len(s.textBuf)
		var err error
		if s.textBuf, err = g.Set.Plan.Fields[f].Encode(s.textBuf, data, v); err != nil {
			return err
		}
		s.params = append(s.params, s.textBuf[mark:len(s.textBuf):len(s.textBuf)])
	}
	return nil
}

// flush waits for the answers to all that was sent, inside of the transaction.
func (p *pipeline) flush() error {
	if p.p == nil {
		return p.err
	}
	if err := p.p.Sync(); err != nil {
		return p.close(err)
	}
	return p.close(p.answers())
}

// commit sends COMMIT behind the statements and waits for all answers. The server has the statements when the first
// failpoint is hit, and not the COMMIT.
func (p *pipeline) commit(ctx context.Context) error {
	if p.err != nil {
		return p.flush()
	}
	p.open(ctx)
	if err := p.p.Flush(); err != nil {
		return p.close(err)
	}
	failpoint.Hit("sink.commit.before")
	p.p.SendQueryParams("COMMIT", nil, nil, nil, nil)
	p.sent = append(p.sent, sentStatement{group: -1})
	return p.flush()
}

// answers reads one answer for each statement; the first failure wins, because the server skips the rest.
func (p *pipeline) answers() error {
	for _, sent := range p.sent {
		result, err := p.p.GetResults()
		var tag pgconn.CommandTag
		if err == nil {
			rows, ok := result.(*pgconn.ResultReader)
			if !ok {
				return fmt.Errorf("pipeline: unexpected answer %T", result)
			}
			tag, err = rows.Close()
		}
		switch {
		case err != nil && sent.group >= 0:
			return &dialect.GroupError{Group: sent.group, Err: err}
		case err != nil:
			return err
		case sent.inserts != nil && tag.RowsAffected() > 0:
			p.s.warnIncomplete(sent.inserts, tag.RowsAffected())
		}
	}
	return p.err
}

// close ends the pipeline, reading what is left of it.
func (p *pipeline) close(err error) error {
	closed := p.p.Close()
	p.p, p.sent = nil, p.sent[:0]
	if err == nil {
		err = closed
	}
	return err
}

func (s *Session) warnIncomplete(t *dialect.Table, rows int64) {
	s.log.Warn("rows were added without the columns whose unchanged values the source did not send; take a new snapshot of the table or set REPLICA IDENTITY FULL",
		"table", t.Name.String(), "rows", rows)
}
