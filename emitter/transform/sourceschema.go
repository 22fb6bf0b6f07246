// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"fmt"
	"slices"
	"strconv"

	"freshet/change"
	"freshet/config"
	"freshet/schema"
)

var sourceSchemaKind = kind{
	plugin: config.Plugin{
		Name: "ExtractSchemaToNewRecord", Class: "io.debezium.transforms.ExtractSchemaToNewRecord", Kind: "transformation", Version: debeziumVersion,
		Def: config.Def{Keys: []config.Key{{
			Name: "schema.name.adjustment.mode", Type: config.String, Default: schema.AdjustNone, HasDefault: true, Importance: config.Low, Unlisted: true,
			Doc: "What becomes of characters of schema names that Avro does not allow. The names of this transform have none.", Allowed: []string{schema.AdjustNone, schema.AdjustAvro, schema.AdjustAvroUnicode},
		}}},
	},
	make: func(config.Values) (Transform, error) { return &sourceSchema{}, nil },
}

// sourceSchema is ExtractSchemaToNewRecord: it adds to events what the columns of their table are, which
// column.propagate.source.type puts into schemas.
type sourceSchema struct{ plans cache[*sourceSchemaPlan] }

type sourceSchemaPlan struct {
	envelope
	out     *schema.Type
	columns []any // literals of the columns' structs
}

var (
	columnType = &schema.Type{Kind: schema.Struct, Name: "io.debezium.connector.source.schema.Column", Version: 1, Fields: []schema.Field{
		{Name: "name", Type: stringType},
		{Name: "typeName", Type: stringType},
		{Name: "length", Type: &schema.Type{Kind: schema.Int32, Optional: true}},
		{Name: "scale", Type: &schema.Type{Kind: schema.Int32, Optional: true}},
		{Name: "comment", Type: &schema.Type{Kind: schema.String, Optional: true}},
	}}
	columnsType     = &schema.Type{Kind: schema.Array, Elem: columnType}
	sourceTableType = &schema.Type{
		Kind: schema.Struct, Name: "io.debezium.connector.source.schema.Table", Version: 1,
		Fields: []schema.Field{{Name: "columns", Type: columnsType}},
	}
	sourceSchemaType = &schema.Type{
		Kind: schema.Struct, Name: "io.debezium.connector.source.Schema", Version: 1,
		Fields: []schema.Field{{Name: "id", Type: stringType}, {Name: "table", Type: sourceTableType}},
	}
)

// Apply adds the block to events of rows.
func (t *sourceSchema) Apply(r *Record) (bool, error) {
	env, ok, err := r.event()
	if err != nil || !ok {
		return err == nil, err
	}
	e := envelopeOf(r.ValueType)
	if part(r.Data, env, e.before).IsNull() && part(r.Data, env, e.after).IsNull() {
		return true, nil
	}
	plan, ok := t.plans.get(r.ValueType)
	if !ok {
		if plan, err = newSourceSchemaPlan(e, r.ValueType); err != nil {
			return false, err
		}
		t.plans.put(r.ValueType, plan)
	}
	table := plan.table(r.ValueType, r.Data, env)
	block, inner := r.Data.NewRow(2), r.Data.NewRow(1)
	r.Data.Set(inner, 0, r.Data.AppendLiteral(plan.columns, columnsType))
	r.Data.Set(block, 0, r.Data.Text(table))
	r.Data.Set(block, 1, r.Data.Run(change.Struct, inner))
	out := copyRow(r.Data, env, env.Len()+1)
	r.Data.Set(out, env.Len(), r.Data.Run(change.Struct, block))
	r.SetValue(plan.out, r.Data.Run(change.Struct, out))
	return true, nil
}

func newSourceSchemaPlan(e envelope, env *schema.Type) (*sourceSchemaPlan, error) {
	for _, name := range []string{"after", "source"} {
		if _, err := fieldOf(env, name); err != nil {
			return nil, err
		}
	}
	out := *env
	out.Fields = slices.Clone(env.Fields)
	if err := addField(&out, "sourceSchema", sourceSchemaType); err != nil {
		return nil, err
	}
	p := &sourceSchemaPlan{envelope: e, out: &out, columns: []any{}}
	for _, f := range env.Fields[e.after].Type.Fields {
		column, err := columnLiteral(f.Type)
		if err != nil {
			return nil, err
		}
		p.columns = append(p.columns, column)
	}
	return p, nil
}

func columnLiteral(t *schema.Type) (any, error) {
	const prefix = "__debezium.source.column."
	name, named := t.Param(prefix + "name")
	typ, typed := t.Param(prefix + "type")
	if !named || !typed {
		return nil, &Error{Thrown: debeziumException, Message: `Ensure that enable configurations "column.propagate.source.type" or "datatype.propagate.source.type" and the value is set to ".*"`}
	}
	column := []any{name, typ, nil, nil, nil}
	for i, param := range []string{"length", "scale"} {
		s, ok := t.Param(prefix + param)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil {
			return nil, &Error{Thrown: "java.lang.NumberFormatException", Message: fmt.Sprintf("For input string: %q", s)}
		}
		column[2+i] = n
	}
	if s, ok := t.Param(prefix + "comment"); ok {
		column[4] = s
	}
	return column, nil
}
