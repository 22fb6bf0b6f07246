// SPDX-License-Identifier: Apache-2.0

package protobuf

import (
	"slices"
	"strconv"
	"strings"

	"freshet/schema"
)

// root is a schema as it is registered: a file with one message.
type root struct {
	space   string // the package
	imports []string
	message *message
	fixed   string // the text of a file that is not made here
	path    string // of the message in the file, as it stands in messages
	node    *node
}

type message struct {
	name   string
	fields []field
	oneofs []oneof
	nested []*message
	enums  []enumType
}

type field struct {
	label, typ, name string
	tag              int
	params           []schema.Param
}

type oneof struct {
	name   string
	fields []field
}

type enumType struct {
	name    string
	symbols []schema.Param
}

func (r *root) fullName() string {
	if r.message == nil {
		return r.space
	}
	if r.space == "" {
		return r.message.name
	}
	return r.space + "." + r.message.name
}

func (r *root) use(file string) {
	if !slices.Contains(r.imports, file) {
		r.imports = append(r.imports, file)
	}
}

// text is the file, in the form in which Confluent's registry prints files.
func (r *root) text() string {
	if r.fixed != "" {
		return r.fixed
	}
	var b strings.Builder
	b.WriteString("syntax = \"proto3\";\n")
	if r.space != "" {
		b.WriteString("package " + r.space + ";\n")
	}
	if len(r.imports) > 0 {
		b.WriteString("\n")
		for _, file := range r.imports {
			b.WriteString("import \"" + file + "\";\n")
		}
	}
	b.WriteString("\n")
	r.message.write(&b, "")
	return b.String()
}

func (m *message) write(b *strings.Builder, indent string) {
	b.WriteString(indent + "message " + m.name + " {\n")
	below := indent + "  "
	for i := range m.fields {
		m.fields[i].write(b, below)
	}
	if len(m.oneofs) > 0 {
		b.WriteString("\n")
		for _, o := range m.oneofs {
			b.WriteString(below + "oneof " + o.name + " {\n")
			for i := range o.fields {
				o.fields[i].write(b, below+"  ")
			}
			b.WriteString(below + "}\n")
		}
	}
	if len(m.nested)+len(m.enums) > 0 {
		b.WriteString("\n")
		for _, n := range m.nested {
			n.write(b, below)
		}
		for _, e := range m.enums {
			b.WriteString(below + "enum " + e.name + " {\n")
			for _, s := range e.symbols {
				b.WriteString(below + "  " + s.Name + " = " + s.Value + ";\n")
			}
			b.WriteString(below + "}\n")
		}
	}
	b.WriteString(indent + "}\n")
}

func (f *field) write(b *strings.Builder, indent string) {
	b.WriteString(indent)
	if f.label != "" {
		b.WriteString(f.label + " ")
	}
	b.WriteString(f.typ + " " + f.name + " = " + strconv.Itoa(f.tag))
	if len(f.params) > 0 {
		b.WriteString(" [(confluent.field_meta) = {\n" + indent + "  params: [\n")
		for i, p := range f.params {
			b.WriteString(indent + "    {\n" + indent + "      key: " + strconv.Quote(p.Name) + ",\n" + indent + "      value: " + strconv.Quote(p.Value) + "\n" + indent + "    }")
			if i+1 < len(f.params) {
				b.WriteString(",")
			}
			b.WriteString("\n")
		}
		b.WriteString(indent + "  ]\n" + indent + "}]")
	}
	b.WriteString(";\n")
}
