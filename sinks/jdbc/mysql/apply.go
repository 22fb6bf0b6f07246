// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"errors"
	"fmt"
	"unsafe"

	"github.com/go-sql-driver/mysql"

	"freshet/change"
	"freshet/internal/failpoint"
	"freshet/sinks/jdbc/dialect"
)

// chunkBytes is the size of text that is sent at once: as much as the driver keeps a buffer for.
const chunkBytes = 240 << 10

// item is a row of a group; a truncate's only one has no values.
type item struct{ group, row int32 }

// application is an Apply while it runs.
type application struct {
	s      *Session
	groups []dialect.Group
	items  []item
	data   *change.Batch
	nth    int // statements in the session's text
}

// valueError is a value that has no form in its column: the client refuses it before the server could.
type valueError struct {
	err  error
	item int
}

func (e *valueError) Error() string { return e.err.Error() }
func (e *valueError) Unwrap() error { return e.err }

// Apply applies groups in order and commits: first all of it in as few round trips as its size allows. Where the server
// refuses data, and the groups are single rows, it is rolled back and applied again in runs that are halved until the
// row is found.
func (s *Session) Apply(ctx context.Context, groups []dialect.Group, data *change.Batch) error {
	if len(s.forms) > maxStatements {
		if err := s.Reset(ctx); err != nil {
			return err
		}
	}
	a := &application{s: s, groups: groups, data: data, items: s.items[:0]}
	single := true
	for i := range groups {
		g := &groups[i]
		if g.Kind == dialect.Truncate {
			a.items = append(a.items, item{group: int32(i)})
		}
		for row := range g.Rows {
			a.items = append(a.items, item{int32(i), int32(row)})
		}
		single = single && (len(g.Rows) <= 1 || i == len(groups)-1)
	}
	s.items = a.items
	err := a.whole(ctx)
	if err == nil {
		return nil
	}
	err = s.rollback(ctx, err)
	if class, _ := s.dialect.Classify(err); class != dialect.Refuse || !single {
		return err
	}
	if err = a.inRuns(ctx); err != nil {
		return s.rollback(ctx, err)
	}
	return nil
}

// whole applies everything, and commits.
func (a *application) whole(ctx context.Context) error {
	a.start("START TRANSACTION")
	for lo := 0; lo < len(a.items); {
		hi := a.run(lo)
		if err := a.add(ctx, lo, hi); err != nil {
			return err
		}
		lo = hi
	}
	return a.commit(ctx)
}

// inRuns applies runs one by one, so that the first row that is refused is known, and commits if there is none.
func (a *application) inRuns(ctx context.Context) error {
	if err := a.s.Exec(ctx, "START TRANSACTION"); err != nil {
		return err
	}
	for lo := 0; lo < len(a.items); {
		hi := a.run(lo)
		if err := a.attempt(ctx, lo, hi); err != nil {
			return err
		}
		lo = hi
	}
	return a.commit(ctx)
}

// attempt applies a part of a run, in halves where it is refused. An error that is a row's is a GroupError.
func (a *application) attempt(ctx context.Context, lo, hi int) error {
	if lo == hi {
		return nil
	}
	const undo = "ROLLBACK TO SAVEPOINT freshet"
	if err := a.s.Exec(ctx, "SAVEPOINT freshet"); err != nil {
		return err
	}
	a.start("")
	err := a.add(ctx, lo, hi)
	if err == nil {
		err = a.send(ctx)
	}
	if err == nil {
		return nil
	}
	if class, _ := a.s.dialect.Classify(err); class != dialect.Refuse {
		return err
	}
	var value *valueError
	if errors.As(err, &value) {
		// Rows before it may be refused too.
		if err := a.s.Exec(ctx, undo); err != nil {
			return err
		}
		if err := a.attempt(ctx, lo, value.item); err != nil {
			return err
		}
		return &dialect.GroupError{Group: int(a.items[value.item].group), Err: err}
	}
	if hi-lo == 1 {
		return &dialect.GroupError{Group: int(a.items[lo].group), Err: err}
	}
	if err := a.s.Exec(ctx, undo); err != nil {
		return err
	}
	mid := (lo + hi) / 2
	if err := a.attempt(ctx, lo, mid); err != nil {
		return err
	}
	return a.attempt(ctx, mid, hi)
}

// run is the end of the items from lo on that take the same form.
func (a *application) run(lo int) int {
	first := &a.groups[a.items[lo].group]
	for hi := lo + 1; hi < len(a.items); hi++ {
		if g := &a.groups[a.items[hi].group]; g.Kind != first.Kind || g.Set != first.Set {
			return hi
		}
	}
	return len(a.items)
}

// add appends the statements of items that take the same form, sending what is a chunk.
func (a *application) add(ctx context.Context, lo, hi int) error {
	s := a.s
	first := &a.groups[a.items[lo].group]
	f, err := s.form(first.Set, first.Kind)
	if err != nil {
		return err
	}
	for i := lo; i < hi; {
		next, err := a.addSome(ctx, f, i, hi)
		if err == nil && len(s.text) >= s.chunk() {
			err = a.send(ctx)
		}
		if err != nil {
			return err
		}
		i = next
	}
	if f.missing != nil { // what comes next may be about the same rows
		return a.send(ctx)
	}
	return nil
}

// addSome appends the next statements, and returns the first item that they leave out. A text that has become longer than the
// server takes is cut before them, or before their last row.
func (a *application) addSome(ctx context.Context, f *form, lo, hi int) (next int, err error) {
	s := a.s
	mark, nth, found := len(s.text), a.nth, len(s.found)
	render := func(hi int) {
		if f.head != "" {
			next, err = a.addMany(f, lo, hi)
		} else {
			next, err = lo+1, a.addAlone(f, lo)
		}
	}
	if render(hi); err != nil || len(s.text) <= s.limit() {
		return next, err
	}
	size := len(s.text) - mark
	s.text, a.nth, s.found = s.text[:mark], nth, s.found[:found]
	switch {
	case mark > 0: // what is before goes alone; this call begins anew
		return lo, a.send(ctx)
	case next == lo+1:
		return lo, &valueError{fmt.Errorf("the row has %d bytes as a statement, more than the server's max_allowed_packet of %d: raise it", size, s.maxPacket), lo}
	}
	render(next - 1)
	return next, err
}

// addMany appends one statement for as many items as there is room for, and returns the first that it leaves out.
func (a *application) addMany(f *form, lo, hi int) (next int, err error) {
	s := a.s
	a.begin()
	s.text = append(s.text, f.head...)
	for next = lo; next < hi; next++ {
		if next > lo {
			if len(s.text) >= s.chunk() || f.most > 0 && next-lo == f.most {
				break
			}
			s.text = append(s.text, f.separator...)
		}
		if err := a.addRow(f.row, next); err != nil {
			return next, err
		}
	}
	s.text = append(s.text, f.tail...)
	return next, nil
}

// addAlone appends the statements of one item.
func (a *application) addAlone(f *form, i int) error {
	for _, parts := range f.alone {
		a.begin()
		if f.missing != nil {
			a.s.found = append(a.s.found, i, a.nth-1)
		}
		if err := a.addRow(parts, i); err != nil {
			return err
		}
	}
	return nil
}

func (a *application) addRow(parts []piece, i int) (err error) {
	at := a.items[i]
	g := &a.groups[at.group]
	var row []change.Value
	if g.Kind != dialect.Truncate {
		row = g.Row(int(at.row))
	}
	if a.s.text, err = appendPieces(a.s.text, parts, g.Set.Plan, row, a.data); err != nil {
		a.s.text = a.s.text[:0]
		return &valueError{err, i}
	}
	return nil
}

// limit is the longest text that the server takes.
func (s *Session) limit() int { return s.maxPacket - 1 }

// chunk is the size from which a text is sent.
func (s *Session) chunk() int { return min(chunkBytes, s.maxPacket/2) }

// start makes a statement the first of the text; "" for none.
func (a *application) start(statement string) {
	a.s.text, a.s.found, a.nth = append(a.s.text[:0], statement...), a.s.found[:0], 0
	if statement != "" {
		a.nth++
	}
}

// begin separates the next statement from the one before.
func (a *application) begin() {
	if len(a.s.text) > 0 {
		a.s.text = append(a.s.text, ';')
	}
	a.nth++
}

// send runs the statements in the text, and then adds the rows that were not there.
func (a *application) send(ctx context.Context) error {
	s := a.s
	if len(s.text) == 0 {
		return nil
	}
	// The driver has copied the text into its buffer when the call returns.
	result, err := s.exec(ctx, unsafe.String(unsafe.SliceData(s.text), len(s.text)))
	found := s.found
	a.start("")
	if err != nil || len(found) == 0 {
		return err
	}
	all, ok := result.(mysql.Result)
	if !ok {
		return fmt.Errorf("send statements: unexpected answer %T", result)
	}
	affected := all.AllRowsAffected() // rows that were found, changed or not
	missing := 0
	for n := 0; n < len(found); n += 2 {
		if at := found[n+1]; at >= len(affected) || affected[at] > 0 {
			continue
		}
		missing++
		g := &a.groups[a.items[found[n]].group]
		f, err := s.form(g.Set, g.Kind)
		if err != nil {
			return err
		}
		a.begin()
		if err := a.addRow(f.missing, found[n]); err != nil {
			return err
		}
		if len(s.text) >= s.chunk() {
			if err := a.send(ctx); err != nil {
				return err
			}
		}
	}
	if missing == 0 {
		return nil
	}
	s.log.Warn("rows were added without the columns whose unchanged values the source did not send; take a new snapshot of the table",
		"table", a.groups[a.items[found[0]].group].Set.Plan.Table.Name.String(), "rows", missing)
	return a.send(ctx)
}

// commit sends what is left and commits. The server has the statements when the first failpoint is hit, and not the COMMIT.
func (a *application) commit(ctx context.Context) error {
	if err := a.send(ctx); err != nil {
		return err
	}
	failpoint.Hit("sink.commit.before")
	if err := a.s.Exec(ctx, "COMMIT"); err != nil {
		return err
	}
	failpoint.Hit("sink.commit.after")
	return nil
}

// rollback ends the transaction of a failed Apply, so that the session can be used again, and returns the failure.
func (s *Session) rollback(ctx context.Context, err error) error {
	if v, ok := s.conn.(interface{ IsValid() bool }); ok && !v.IsValid() {
		return err
	}
	if rolled := s.Exec(context.WithoutCancel(ctx), "ROLLBACK"); rolled != nil {
		return errors.Join(err, fmt.Errorf("roll back: %w", rolled))
	}
	return err
}
