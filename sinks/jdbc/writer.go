// SPDX-License-Identifier: Apache-2.0

package jdbc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"freshet/change"
	"freshet/schema"
	"freshet/sinks"
	"freshet/sinks/jdbc/dialect"
)

// orderedSegments is the number of segments that are applied one by one, in order, after the reduced form of one was
// refused although its operations in order were not (a unique value that moved from row to row, a foreign key).
const orderedSegments = 16

// maxShapes is how many shapes of records a writer knows before it starts anew: decoders make new types of schemas that
// they had forgotten.
const maxShapes = 16_384

// writer applies batches. It is used by one goroutine.
type writer struct {
	opt     *options
	env     sinks.Env
	log     *slog.Logger
	session dialect.Session // the first of sessions: the one for the catalogue, DDL and all that cannot be dealt out
	// sessions are those that lanes write through.
	sessions []dialect.Session
	batch    *sinks.Batch // being written

	format      nameFormat
	placeholder placeholder
	shapes      map[shapeKey]*shape
	lastKey     shapeKey // of lastShape
	lastShape   *shape
	targets     map[dialect.Name]*target
	collections map[string]*target            // the same by collection name
	wrapped     map[*schema.Type]*schema.Type // primitive keys as structs
	headerKeys  map[string]*schema.Type       // by names and kinds of the headers
	skipped     map[string]bool               // what was warned about
	nameBuf     []byte

	segment     *segment
	orderedLeft int
	offsets     *offsets // nil without offsets.table.name
}

var (
	_ sinks.Writer     = (*writer)(nil)
	_ sinks.Limiter    = (*writer)(nil)
	_ sinks.Positioner = (*writer)(nil)
)

func newWriter(opt *options, env sinks.Env, session dialect.Session) *writer {
	w := &writer{
		opt: opt, env: env, log: env.Log, session: session, sessions: []dialect.Session{session},
		format: parseNameFormat(opt.nameFormat), placeholder: newPlaceholder(opt.placeholder),
		shapes: map[shapeKey]*shape{}, targets: map[dialect.Name]*target{}, collections: map[string]*target{}, wrapped: map[*schema.Type]*schema.Type{},
		headerKeys: map[string]*schema.Type{}, skipped: map[string]bool{}, segment: newSegment(opt.insertMode, opt.connections),
	}
	if opt.connections > 1 {
		w.segment.stale = w.isStale
	}
	return w
}

// MaxRecords is batch.size where it is given; else batches may grow.
func (w *writer) MaxRecords() int { return w.opt.batchSize }

// Close ends the sessions.
func (w *writer) Close(ctx context.Context) error {
	var err error
	for _, s := range w.sessions {
		err = errors.Join(err, s.Close(ctx))
	}
	return err
}

// Write applies a batch: each run of records whose tables are known in one transaction, together with the offsets behind
// them. A record of a new schema or table ends the run, because DDL must not meet the run's own locks.
func (w *writer) Write(ctx context.Context, b *sinks.Batch) error {
	applied := 0
	w.batch = b
	w.segment.reset()
	if len(w.shapes) > maxShapes || len(w.headerKeys) > maxShapes {
		if err := w.forget(ctx); err != nil {
			return err
		}
	}
	for i := range b.Records {
		settle := func() error {
			if i == applied {
				return nil
			}
			if err := w.commit(ctx, b, applied, w.offsets.of(b.Records[:i])); err != nil {
				return err
			}
			applied = i
			w.segment.reset()
			return nil
		}
		if err := w.add(ctx, b, i, settle); err != nil {
			return w.recordProblem(b, i, applied, err)
		}
	}
	return w.commit(ctx, b, applied, b.Next)
}

// add puts a record's operation into the segment. settle commits the segment so far; it is called before the catalogue
// is asked or changed. A refusal concerns this record; other errors, RowErrors of settle among them, go up as they are.
func (w *writer) add(ctx context.Context, b *sinks.Batch, i int, settle func() error) error {
	r, data := &b.Records[i], &b.Data
	s := w.shapeOf(r)
	if s.skip != "" {
		return w.skip(r, s.skip)
	}
	value := s.value(data, r)
	what, isNew := s.opOf(data, value)
	switch what {
	case change.Message:
		return w.skip(r, "logical messages are not rows")
	case change.Truncate:
		if !w.opt.truncates {
			return nil
		}
	case change.Delete:
		if !w.opt.deletes {
			return nil
		}
	}
	var named bool
	if w.nameBuf, named = w.format.append(w.nameBuf[:0], r.Topic, data, s.sourceType, field(data, value, s.source)); !named {
		return w.skip(r, "no resolvable table name: collection.name.format needs a source block with the field it names")
	}
	if what == change.Truncate {
		return w.addTruncate(ctx, i, settle)
	}
	keyType, key, err := w.keyOf(data, r)
	if err != nil {
		return err
	}
	p := s.lastPlan
	if p == nil || s.last.key != keyType || s.last.collection != string(w.nameBuf) {
		if p, err = w.rowPlan(ctx, s, r, keyType, settle); err != nil {
			return err
		}
	}
	if what == change.Delete {
		return w.addDelete(ctx, p, b, i, keyType, key, settle)
	}
	return w.addRow(p, data, i, key, s.row(data, value), isNew)
}

// rowPlan finds or makes the plan of a record's rows. Tombstones have none; theirs is nil.
func (w *writer) rowPlan(ctx context.Context, s *shape, r *sinks.Record, keyType *schema.Type, settle func() error) (*rowPlan, error) {
	if s.image == nil && r.Value.IsNull() {
		return nil, nil
	}
	k := planKey{string(w.nameBuf), keyType}
	p := s.plans[k]
	if p == nil {
		if err := settle(); err != nil {
			return nil, err
		}
		var err error
		if p, err = w.planRows(ctx, s, r.Topic, k.collection, keyType); err != nil {
			return nil, err
		}
		s.plans[k] = p
	}
	s.last, s.lastPlan = k, p
	return p, nil
}

func (w *writer) addTruncate(ctx context.Context, i int, settle func() error) error {
	t, err := w.knownTarget(ctx, settle)
	if err != nil || t.table == nil {
		return err
	}
	if t.whole == nil {
		t.whole = &rowPlan{target: t, plan: dialect.NewPlan(t.table, nil, 0)}
	}
	w.segment.truncate(t.whole, i)
	return nil
}

// knownTarget is the target that nameBuf names.
func (w *writer) knownTarget(ctx context.Context, settle func() error) (*target, error) {
	if t := w.collections[string(w.nameBuf)]; t != nil {
		return t, nil
	}
	if err := settle(); err != nil {
		return nil, err
	}
	return w.targetOf(ctx, string(w.nameBuf))
}

// addDelete deletes by record key. rows is the plan of the record's rows, nil for a tombstone.
func (w *writer) addDelete(ctx context.Context, rows *rowPlan, b *sinks.Batch, i int, keyType *schema.Type, key change.Value, settle func() error) error {
	if keyType == nil {
		return refuse(errors.New("a delete needs key columns"), "set primary.key.mode=record_key")
	}
	var t *target
	var err error
	if rows != nil {
		t = rows.target
	} else if t, err = w.knownTarget(ctx, settle); err != nil {
		return err
	}
	p, err := w.planKeys(t, keyType)
	if err != nil || p == nil {
		return err
	}
	r, data := &b.Records[i], &b.Data
	o := op{kind: dialect.Delete, plan: p, record: int32(i)}
	w.addMove(&o, p, r, data, keyType, key)
	return w.addOp(o, data, key, change.Value{})
}

func (w *writer) addRow(p *rowPlan, data *change.Batch, i int, key, row change.Value, isNew bool) error {
	if row.Kind() != change.Struct {
		return refuse(errors.New("the record has no row: its after is null"), "correct the record at the source")
	}
	kind := dialect.Insert
	switch w.opt.insertMode {
	case upsertMode:
		kind = dialect.Upsert
	case updateMode:
		kind = dialect.Update
	}
	return w.addOp(op{kind: kind, plan: p, record: int32(i), fresh: isNew}, data, key, row)
}

func (w *writer) addOp(o op, data *change.Batch, key, row change.Value) error {
	s := w.segment
	o.row = int32(len(s.slab))
	s.slab = o.plan.gather(s.slab, data, key, row)
	values := s.slab[o.row:]
	for n, v := range values {
		o.partial = o.partial || v.Kind() == change.Unavailable
		if n < o.plan.plan.NKeys && (v.IsNull() || v.Kind() == change.Unavailable) && w.opt.insertMode != insertMode {
			// A condition on NULL finds no row: the change would vanish.
			s.slab = s.slab[:o.row]
			return refuse(fmt.Errorf("table %q: null value in key column %q", o.plan.target.shown, o.plan.plan.Fields[n].Column.Name), "choose key columns that are never null")
		}
	}
	s.add(o, data)
	return nil
}

// commit applies the segment in one transaction, with the offsets to go on at. applied is the index of its first record.
func (w *writer) commit(ctx context.Context, b *sinks.Batch, applied int, next positions) error {
	s := w.segment
	s.finish()
	if len(s.ops) == 0 && (w.offsets == nil || len(next) == 0) {
		return nil
	}
	if w.orderedLeft == 0 && !s.mustKeepOrder() {
		err := w.applyReduced(ctx, b, next)
		if err == nil {
			return nil
		}
		if class, _ := w.opt.dialect.Classify(err); class != dialect.Refuse {
			return w.targetProblem(err)
		}
	} else if w.orderedLeft > 0 {
		w.orderedLeft--
	}
	// In order and unreduced the operations either go through, because only their order stood in the way, or the first
	// bad record shows.
	err := w.session.Apply(ctx, w.offsets.withAll(s.inOrder(), &b.Data, next), &b.Data)
	if err == nil {
		if !s.mustKeepOrder() && w.orderedLeft == 0 {
			w.orderedLeft = orderedSegments
		}
		return nil
	}
	class, hint := w.opt.dialect.Classify(err)
	var at *dialect.GroupError
	if class != dialect.Refuse || !errors.As(err, &at) || at.Group >= len(s.ops) {
		return w.targetProblem(err)
	}
	o := &s.ops[at.Group]
	return w.recordProblem(b, int(o.record), applied, refuse(fmt.Errorf("table %q: %w", o.plan.target.shown, at.Err), hint))
}

// applyReduced applies the segment's last operation of each key.
func (w *writer) applyReduced(ctx context.Context, b *sinks.Batch, next positions) error {
	if len(w.sessions) > 1 && w.segment.independent() {
		return w.applyLanes(ctx, b, next)
	}
	return w.session.Apply(ctx, w.offsets.withAll(w.segment.reduced(), &b.Data, next), &b.Data)
}

// forget drops all plans.
func (w *writer) forget(ctx context.Context) error {
	clear(w.shapes)
	clear(w.targets)
	clear(w.collections)
	clear(w.wrapped)
	clear(w.headerKeys)
	w.lastShape = nil
	for _, s := range w.sessions {
		if err := s.Reset(ctx); err != nil {
			return w.targetProblem(err)
		}
	}
	return nil
}

func (w *writer) shapeOf(r *sinks.Record) *shape {
	k := shapeKey{r.Topic, r.KeyType, r.ValueType}
	if w.lastShape != nil && k == w.lastKey {
		return w.lastShape
	}
	s := w.shapes[k]
	if s == nil {
		s = newShape(w, r)
		w.shapes[k] = s
	}
	w.lastKey, w.lastShape = k, s
	return s
}

// skip leaves a record out, and says so once per topic and reason.
func (w *writer) skip(r *sinks.Record, reason string) error {
	if k := r.Topic + "\x00" + reason; !w.skipped[k] {
		w.skipped[k] = true
		w.log.Warn("records are left out", "topic", r.Topic, "reason", reason, "first_partition", r.Partition, "first_offset", r.Offset)
	}
	return nil
}
