// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"freshet/change"
	"freshet/change/java"
	"freshet/config"
	"freshet/emitter/transform/dateformat"
	"freshet/schema"
)

var timestampConverterKinds = bothSides(config.Plugin{
	Name: "TimestampConverter", Class: "org.apache.kafka.connect.transforms.TimestampConverter", Kind: "transformation", Version: Version,
	Def: config.Def{Keys: []config.Key{
		{
			Name: "field", Type: config.String, HasDefault: true, Importance: config.High,
			Doc: "Field with the time; empty where the whole is one.",
		},
		{
			Name: "target.type", Type: config.String, Required: true, Importance: config.High,
			Allowed: []string{"string", "unix", "Date", "Time", "Timestamp"},
			Doc:     "What the time is to become.",
		},
		{
			Name: "format", Type: config.String, HasDefault: true, Importance: config.Medium,
			Doc: "How a text is written and read, as java.text.SimpleDateFormat has it, in UTC. Needed for texts.",
		},
		{
			Name: "unix.precision", Type: config.String, Default: "milliseconds", HasDefault: true, Importance: config.Low,
			Allowed: []string{"nanoseconds", "microseconds", "milliseconds", "seconds"},
			Doc:     "Unit of whole numbers, which count from 1970. What is less than a millisecond is cut off.",
		},
		replaceNullsKey,
	}},
}, newTimestampConverter)

func newTimestampConverter(s side, v config.Values) (Transform, error) {
	t := &timestampConverter{side: s, nulls: nullsOf(v), field: v.Get("field"), target: v.Get("target.type"), precision: v.Get("unix.precision")}
	pattern := v.Get("format")
	if strings.TrimSpace(pattern) == "" {
		if t.target == "string" {
			return nil, errors.New("TimestampConverter requires format option to be specified when using string timestamps")
		}
		return t, nil
	}
	var err error
	if t.format, err = dateformat.Compile(pattern); err != nil {
		return nil, fmt.Errorf("Invalid value java.lang.IllegalArgumentException: %w for configuration "+ //nolint:staticcheck // Kafka's words
			"TimestampConverter requires a SimpleDateFormat-compatible pattern for string timestamps: %s", err, pattern)
	}
	return t, nil
}

// timestampConverter gives a time another form.
type timestampConverter struct {
	side      side
	nulls     nulls
	field     string // "" for the whole
	target    string
	format    *dateformat.Format // nil where there is none
	precision string
	types     cache[*timeShape]
	object    object
}

// timeShape is a type with the converted time, and the form that it has now.
type timeShape struct {
	out  *schema.Type
	at   int // of the field; -1 where there is no such field
	form timeForm
}

// timeForm is a form of times.
type timeForm uint8

const (
	timeText   timeForm = iota
	timeUnix            // a number of unix.precision
	timeDays            // a Date with a schema
	timeMillis          // a Time or Timestamp with a schema, a java.util.Date without
)

const timePurpose = "converting timestamp formats"

// Apply converts. A field that is not there is left alone; in a map it becomes null, as in Kafka Connect.
func (t *timestampConverter) Apply(r *Record) (bool, error) {
	typ, v, err := t.side.get(r)
	if err != nil {
		return false, err
	}
	if typ == nil {
		return true, t.applyFree(r, v)
	}
	if t.field != "" && !v.IsNull() {
		if err := requireStruct(typ, v, timePurpose); err != nil {
			return false, err
		}
	}
	s, ok := t.types.get(typ)
	if !ok {
		if s, err = t.shape(typ); err != nil {
			return false, err
		}
		t.types.put(typ, s)
	}
	if t.field == "" {
		v, err = t.convert(r.Data, s.form, v, true)
	} else if !v.IsNull() {
		v, err = t.convertField(r.Data, s, typ, v)
	}
	if err == nil {
		t.side.set(r, s.out, v)
	}
	return err == nil, err
}

func (t *timestampConverter) convertField(b *change.Batch, s *timeShape, typ *schema.Type, v change.Value) (change.Value, error) {
	to := b.NewRow(len(typ.Fields))
	t.nulls.copyFields(b, typ, b.RowOf(v), to)
	if s.at >= 0 {
		x, err := t.convert(b, s.form, b.At(to, s.at), true)
		if err != nil {
			return v, err
		}
		b.Set(to, s.at, x)
	}
	return b.Run(change.Struct, to), nil
}

// applyFree converts what has no schema: its kind tells the form.
func (t *timestampConverter) applyFree(r *Record, v change.Value) error {
	if t.field == "" || v.IsNull() {
		v, err := t.convertFree(r.Data, v)
		if err == nil && !v.IsNull() {
			t.side.set(r, nil, v)
		}
		return err
	}
	if err := requireMap(v, timePurpose); err != nil {
		return err
	}
	t.object.reset(r.Data, v)
	x, err := t.convertFree(r.Data, t.object.value(r.Data, t.field))
	if err != nil {
		return err
	}
	t.object.put(r.Data, t.field, x)
	t.side.set(r, nil, t.object.done(r.Data))
	return nil
}

func (t *timestampConverter) convertFree(b *change.Batch, v change.Value) (change.Value, error) {
	switch v.Kind() {
	case change.Null, change.Text:
		return t.convert(b, timeText, v, false)
	case change.Int:
		return t.convert(b, timeUnix, v, false)
	case change.Date:
		return t.convert(b, timeMillis, v, false)
	}
	return v, refuse("TimestampConverter does not support class %s objects as timestamps", java.Class(nil, v))
}

// shape makes the type. The time keeps its optional flag and loses its default; the struct keeps both.
func (t *timestampConverter) shape(typ *schema.Type) (*timeShape, error) {
	var err error
	s := &timeShape{at: -1}
	if t.field == "" {
		s.out = targetTypes[t.target].AsOptional(typ.Optional)
		s.form, err = timeFormOf(typ)
		return s, err
	}
	if typ.Kind != schema.Struct {
		return nil, refuse("Cannot list fields on non-struct type")
	}
	s.out = basics(typ)
	s.out.Optional = typ.Optional
	for i, f := range typ.Fields {
		if f.Name == t.field {
			if s.form, err = timeFormOf(f.Type); err != nil {
				return nil, err
			}
			s.at, f.Type = i, targetTypes[t.target].AsOptional(f.Type.Optional)
		}
		s.out.Fields = append(s.out.Fields, f)
	}
	if typ.Default != nil {
		var b change.Batch
		v, err := t.convertField(&b, s, typ, b.AppendLiteral(typ.Default, typ))
		if err != nil {
			return nil, err
		}
		s.out.Default = b.Literal(v)
	}
	return s, nil
}

var targetTypes = map[string]*schema.Type{
	"string":    {Kind: schema.String},
	"unix":      {Kind: schema.Int64},
	"Date":      {Kind: schema.Int32, Name: schema.ConnectDate, Version: 1},
	"Time":      {Kind: schema.Int32, Name: schema.ConnectTime, Version: 1},
	"Timestamp": {Kind: schema.Int64, Name: schema.ConnectTimestamp, Version: 1},
}

// timeFormOf is the form of a type's values.
func timeFormOf(typ *schema.Type) (timeForm, error) {
	switch {
	case typ.Name == schema.ConnectDate:
		return timeDays, nil
	case typ.Name == schema.ConnectTime, typ.Name == schema.ConnectTimestamp:
		return timeMillis, nil
	case typ.Kind == schema.String:
		return timeText, nil
	case typ.Kind == schema.Int64:
		return timeUnix, nil
	}
	name := upper(typ.Kind)
	if typ.Name != "" {
		name = typ.Name + ":" + name
	}
	return 0, &Error{Thrown: connectException, Message: "Schema Schema{" + name + "} does not correspond to a known timestamp type format"}
}

const dayMillis = 24 * 60 * 60 * 1000

// convert gives a time the target's form. typed says that it has a schema.
func (t *timestampConverter) convert(b *change.Batch, form timeForm, v change.Value, typed bool) (change.Value, error) {
	if v.IsNull() {
		return v, nil
	}
	ms := v.Int()
	switch form {
	case timeText:
		if t.format == nil {
			return v, refuse("TimestampConverter requires format option to be specified when using string timestamps")
		}
		var ok bool
		if ms, ok = t.format.Parse(b.String(v)); !ok {
			return v, refuse("Could not parse timestamp: value (%s) does not match pattern (%s)", b.String(v), t.format)
		}
	case timeUnix:
		ms = t.millisOf(ms)
	case timeDays:
		ms *= dayMillis
	}
	day := ms / dayMillis
	if ms%dayMillis < 0 {
		day--
	}
	switch t.target {
	case "string":
		mark := len(b.Arena)
		b.Arena = t.format.Append(b.Arena, ms)
		return b.TextFrom(mark), nil
	case "unix":
		return change.IntValue(t.unix(ms)), nil
	case "Date":
		if typed {
			return change.IntValue(day), nil
		}
		ms = day * dayMillis
	case "Time":
		ms -= day * dayMillis
	}
	if typed {
		return change.IntValue(ms), nil
	}
	return change.DateValue(ms), nil
}

// millisOf makes ms of a whole number, as TimeUnit does: it cuts off, and saturates.
func (t *timestampConverter) millisOf(n int64) int64 {
	switch t.precision {
	case "seconds":
		return times(n, 1000)
	case "microseconds":
		return n / 1e3
	case "nanoseconds":
		return n / 1e6
	}
	return n
}

// unix is the inverse.
func (t *timestampConverter) unix(ms int64) int64 {
	switch t.precision {
	case "seconds":
		return ms / 1000
	case "microseconds":
		return times(ms, 1e3)
	case "nanoseconds":
		return times(ms, 1e6)
	}
	return ms
}

// times multiplies within the range of int64.
func times(n, by int64) int64 {
	switch {
	case n > math.MaxInt64/by:
		return math.MaxInt64
	case n < math.MinInt64/by:
		return math.MinInt64
	}
	return n * by
}
