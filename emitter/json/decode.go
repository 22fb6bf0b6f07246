// SPDX-License-Identifier: Apache-2.0

package json

import (
	"bytes"

	"freshet/change"
	"freshet/emitter/topic"
	"freshet/schema"
	"freshet/sinks"
)

// NewDecoder makes the Decoder of a JsonConverter for keys and one for values.
func NewDecoder(key, value Options) sinks.Decoder {
	return sinks.NewDecoder(NewSide(key), NewSide(value), nil)
}

// known is a schema with its plan. prefix is {"schema":…,"payload": as a record without a Head began with it.
type known struct {
	typ    *schema.Type
	plan   *plan
	prefix []byte
}

// Side decodes keys, or values. Equal schemas give the same *schema.Type. It belongs to one goroutine.
type Side struct {
	options Options
	reader  reader
	// The caches: by Head for records of the local log, by topic (the last schema of its records) and by the schema's
	// text for others. types makes one of equal schemas whose texts differ.
	heads  cache[*topic.Head, *known]
	topics cache[string, *known]
	texts  cache[string, *known]
	types  cache[string, *known]
	// content is what is known of Options.Content once it was needed.
	content *known
}

var _ sinks.Side = (*Side)(nil)

// NewSide makes a Side.
func NewSide(o Options) *Side { return &Side{options: o} }

// keptSchemas is how many schemas each cache keeps at least, beyond the 1000 of Kafka's default: a table costs 10 to 20
// KB, and a task of 2,000 tables must not parse a schema per record.
const keptSchemas = 2048

var noSchema = &known{plan: freePlan, prefix: []byte(`{"schema":null,"payload":`)}

const wantsSchema = `JsonConverter with schemas.enable requires "schema" and "payload" fields and may not contain additional fields. ` +
	`If you are trying to deserialize plain JSON data, set schemas.enable=false in your converter configuration.`

// DecodeData decodes a key or a value. Errors are *DataError inside.
func (s *Side) DecodeData(b *change.Batch, name string, data topic.Data) (*schema.Type, change.Value, error) {
	s.reader.b = b
	s.reader.stack = s.reader.stack[:0]
	switch {
	case data.IsNull():
		return nil, change.Value{}, nil
	case !s.options.SchemasEnable:
		return s.plainValue(data)
	case s.options.Content != "":
		return s.bare(data)
	case data.Head != nil:
		k, err := s.byHead(data.Head)
		if err != nil {
			return nil, change.Value{}, err
		}
		if k != nil {
			s.reader.start(data.Body)
			return s.payload(k)
		}
	}
	return s.wrapped(name, data.Bytes())
}

// plainValue decodes a value without schemas. A record that was written with one is read as the object it is.
func (s *Side) plainValue(data topic.Data) (*schema.Type, change.Value, error) {
	wire := data.Body
	if data.Head != nil {
		wire = data.Bytes()
	}
	if len(wire) == 0 {
		return nil, change.Value{}, nil
	}
	s.reader.start(wire)
	v, err := s.reader.value(freePlan)
	return nil, v, err
}

// bare decodes a payload by the schema of the settings.
func (s *Side) bare(data topic.Data) (*schema.Type, change.Value, error) {
	if s.content == nil {
		k, err := s.byContent(s.options.Content)
		if err != nil {
			return nil, change.Value{}, err
		}
		s.content = k
	}
	wire := data.Bytes()
	if len(wire) == 0 {
		wire = nullText
	}
	s.reader.start(wire)
	v, err := s.reader.value(s.content.plan)
	return s.content.typ, v, err
}

// byContent is what is known of a schema's text that nobody has parsed yet.
func (s *Side) byContent(content string) (*known, error) {
	var sc scanner
	sc.start([]byte(content))
	text, err := sc.skip()
	if err != nil {
		return nil, err
	}
	return s.byText(text)
}

// payload decodes a payload and expects the brace after it.
func (s *Side) payload(k *known) (*schema.Type, change.Value, error) {
	v, err := s.reader.value(k.plan)
	if err != nil {
		return nil, change.Value{}, err
	}
	if c := s.reader.peek(); c == ',' {
		return nil, change.Value{}, refuse(wantsSchema)
	}
	return k.typ, v, s.reader.consume('}')
}

// byHead is what is known of a Head; nil where it does not end right before a payload.
func (s *Side) byHead(h *topic.Head) (*known, error) {
	if k, ok := s.heads.find(h); ok {
		return k, nil
	}
	var sc scanner
	sc.start(h.Bytes)
	text, rest, ok := splitHead(&sc)
	if !ok || len(rest) != 0 {
		return nil, nil
	}
	k, err := s.byText(text)
	if err == nil {
		s.heads.add(h, k)
	}
	return k, err
}

// splitHead reads {"schema":TEXT,"payload": and says what comes after. Only this order, without blanks, is a head.
func splitHead(sc *scanner) (text, rest []byte, ok bool) {
	const before, between = `{"schema":`, `,"payload":`
	if !bytes.HasPrefix(sc.p[sc.i:], []byte(before)) {
		return nil, nil, false
	}
	sc.i += len(before)
	text, err := sc.skip()
	if err != nil || !bytes.HasPrefix(sc.p[sc.i:], []byte(between)) {
		return nil, nil, false
	}
	return text, sc.p[sc.i+len(between):], true
}

// wrapped decodes a whole {"schema":…,"payload":…}. Records of a topic mostly repeat the schema of the one before, so
// that comparing their beginnings saves looking for the schema's end.
func (s *Side) wrapped(name string, wire []byte) (*schema.Type, change.Value, error) {
	if k, ok := s.topics.find(name); ok && bytes.HasPrefix(wire, k.prefix) {
		s.reader.start(wire)
		s.reader.i, s.reader.depth = len(k.prefix), 1
		return s.payload(k)
	}
	s.reader.start(wire)
	if text, rest, ok := splitHead(&s.reader.scanner); ok {
		k, err := s.byText(text)
		if err != nil {
			return nil, change.Value{}, err
		}
		if prefix := wire[:len(wire)-len(rest)]; !bytes.Equal(k.prefix, prefix) {
			k = &known{k.typ, k.plan, bytes.Clone(prefix)}
			s.texts.add(string(text), k)
		}
		s.topics.add(name, k)
		s.reader.start(rest)
		s.reader.depth = 1
		return s.payload(k)
	}
	return s.anyOrder(wire)
}

// anyOrder decodes {"schema":…,"payload":…} with members in any order, blanks and repetitions.
func (s *Side) anyOrder(wire []byte) (*schema.Type, change.Value, error) {
	s.reader.start(wire)
	text, payload, err := s.split()
	if err != nil {
		return nil, change.Value{}, err
	}
	k, err := s.byText(text)
	if err != nil {
		return nil, change.Value{}, err
	}
	s.reader.start(payload)
	v, err := s.reader.value(k.plan)
	return k.typ, v, err
}

// split finds schema and payload; of repeated members the last counts.
func (s *Side) split() (text, payload []byte, err error) {
	r := &s.reader
	if len(r.p) == 0 {
		return nil, nil, refuse(wantsSchema)
	}
	if r.peek() != '{' {
		if _, err = r.skip(); err != nil {
			return nil, nil, err
		}
		return nil, nil, refuse(wantsSchema)
	}
	if err = r.enter(); err != nil {
		return nil, nil, err
	}
	extra := false
	for first := true; ; first = false {
		more, err := r.next('}', first)
		if err != nil {
			return nil, nil, err
		}
		if !more {
			break
		}
		name, _, err := r.text()
		if err != nil {
			return nil, nil, err
		}
		if err = r.consume(':'); err != nil {
			return nil, nil, err
		}
		value, err := r.skip()
		if err != nil {
			return nil, nil, err
		}
		switch string(name) {
		case "schema":
			text = value
		case "payload":
			payload = value
		default:
			extra = true
		}
	}
	if extra || text == nil || payload == nil {
		return nil, nil, refuse(wantsSchema)
	}
	return text, payload, nil
}

// byText is what is known of a schema's text.
func (s *Side) byText(text []byte) (*known, error) {
	if isNull(text) {
		return noSchema, nil
	}
	if k, ok := s.texts.find(asString(text)); ok {
		return k, nil
	}
	t, err := parseSchema(text, s.options)
	if err != nil {
		return nil, err
	}
	canonical, err := appendSchema(nil, t, Options{})
	if err != nil {
		return nil, err
	}
	k, ok := s.types.find(asString(canonical))
	if !ok {
		k = &known{typ: t, plan: compilePlan(t, s.options, false)}
		s.types.add(string(canonical), k)
	}
	s.texts.add(string(text), k)
	return k, nil
}

// cache keeps the keptSchemas entries added last, and up to as many before them: once young is full it becomes old.
type cache[K comparable, V any] struct{ young, old map[K]V }

// find does not keep k, which may alias a record's bytes.
func (c *cache[K, V]) find(k K) (V, bool) {
	v, ok := c.young[k]
	if !ok {
		v, ok = c.old[k]
	}
	return v, ok
}

func (c *cache[K, V]) add(k K, v V) {
	if c.young == nil || len(c.young) >= keptSchemas {
		c.old, c.young = c.young, make(map[K]V)
	}
	c.young[k] = v
}
