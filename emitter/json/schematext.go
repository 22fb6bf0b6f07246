// SPDX-License-Identifier: Apache-2.0

package json

import (
	"strconv"

	"freshet/schema"
)

// appendSchema appends the JSON of a schema, null for none. The order of members is JsonConverter's: type, what it is
// made of, optional, name, version, doc, parameters, default; in the fields of a struct then field.
func appendSchema(dst []byte, t *schema.Type, o Options) ([]byte, error) {
	if t == nil {
		return append(dst, "null"...), nil
	}
	dst, err := appendSchemaOpen(dst, t, o)
	return append(dst, '}'), err
}

// appendSchemaOpen leaves the closing brace out.
func appendSchemaOpen(dst []byte, t *schema.Type, o Options) ([]byte, error) {
	dst = append(append(dst, `{"type":"`...), t.Kind.String()...)
	dst, err := appendParts(append(dst, '"'), t, o)
	if err != nil {
		return dst, err
	}
	dst = strconv.AppendBool(append(dst, `,"optional":`...), t.Optional)
	if t.Name != "" {
		dst = AppendString(append(dst, `,"name":`...), []byte(t.Name))
	}
	if t.Version != 0 {
		dst = strconv.AppendInt(append(dst, `,"version":`...), int64(t.Version), 10)
	}
	if t.Doc != "" {
		dst = AppendString(append(dst, `,"doc":`...), []byte(t.Doc))
	}
	if len(t.Params) > 0 {
		dst = append(dst, `,"parameters":{`...)
		for i, p := range t.Params {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(AppendString(dst, []byte(p.Name)), ':')
			dst = AppendString(dst, []byte(p.Value))
		}
		dst = append(dst, '}')
	}
	if t.Default != nil {
		n, err := compile(t, o)
		if err != nil {
			return dst, err
		}
		text, err := n.literal(t.Default)
		if err != nil {
			return dst, err
		}
		dst = append(append(dst, `,"default":`...), text...)
	}
	return dst, nil
}

// appendParts appends what a container is made of.
func appendParts(dst []byte, t *schema.Type, o Options) ([]byte, error) {
	var err error
	switch t.Kind {
	case schema.Array:
		return appendSchema(append(dst, `,"items":`...), t.Elem, o)
	case schema.Map:
		if dst, err = appendSchema(append(dst, `,"keys":`...), t.Key, o); err != nil {
			return dst, err
		}
		return appendSchema(append(dst, `,"values":`...), t.Elem, o)
	case schema.Struct:
		dst = append(dst, `,"fields":[`...)
		for i, f := range t.Fields {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = appendSchemaOpen(dst, f.Type, o); err != nil {
				return dst, inField(f.Name, err)
			}
			dst = append(AppendString(append(dst, `,"field":`...), []byte(f.Name)), '}')
		}
		dst = append(dst, ']')
	}
	return dst, nil
}
