// SPDX-License-Identifier: Apache-2.0

package protobuf

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"freshet/emitter"
	"freshet/schema/registry"
)

// files are the texts of the imports that every registry knows, beside those that protocompile has.
var files = map[string]string{
	metaFile: `syntax = "proto3"; package confluent; import "google/protobuf/descriptor.proto";
message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; }
extend google.protobuf.FileOptions { Meta file_meta = 1088; }
extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }`,
	"confluent/type/decimal.proto": `syntax = "proto3"; package confluent.type;
message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }`,
	"google/type/date.proto": `syntax = "proto3"; package google.type;
message Date { int32 year = 1; int32 month = 2; int32 day = 3; }`,
	"google/type/timeofday.proto": `syntax = "proto3"; package google.type;
message TimeOfDay { int32 hours = 1; int32 minutes = 2; int32 seconds = 3; int32 nanos = 4; }`,
}

// metaNumber is the number of the option confluent.field_meta.
const metaNumber = 1088

const mainFile = "schema.proto"

// compile makes a descriptor of a schema's text.
func compile(r *registry.Schema) (protoreflect.FileDescriptor, error) {
	texts := map[string]string{mainFile: withMeta(r.Text)}
	maps.Copy(texts, files)
	for _, ref := range r.References {
		texts[ref.Name] = withMeta(ref.Text)
	}
	c := protocompile.Compiler{MaxParallelism: 1, Resolver: protocompile.WithStandardImports(&protocompile.SourceResolver{
		Accessor: protocompile.SourceAccessorFromMap(texts),
	})}
	out, err := c.Compile(context.Background(), mainFile)
	if err != nil {
		return nil, emitter.Refuse("Protobuf schema: " + err.Error())
	}
	return out[0], nil
}

var syntax = regexp.MustCompile(`(?m)^\s*syntax\s*=\s*["'][^"']*["']\s*;`)

// withMeta adds the import of Confluent's options where it is missing, which the original does without.
func withMeta(text string) string {
	if !strings.Contains(text, "confluent.field_meta") && !strings.Contains(text, "confluent.message_meta") || strings.Contains(text, `"`+metaFile+`"`) {
		return text
	}
	line := "\nimport \"" + metaFile + "\";\n"
	if at := syntax.FindStringIndex(text); at != nil {
		return text[:at[1]] + line + text[at[1]:]
	}
	return line + text
}

// maxIndexes bounds the path of a message.
const maxIndexes = 100

// messagePath is the path that begins p; rest is what comes behind.
func messagePath(p []byte) (path []int, rest []byte, err error) {
	short := emitter.Refuse("the message ends before its indexes do")
	next := func() int64 {
		u, n := protowire.ConsumeVarint(p)
		if n < 0 {
			err = short
			return 0
		}
		p = p[n:]
		return protowire.DecodeZigZag(u)
	}
	count := next()
	if count < 0 || count > maxIndexes {
		return nil, nil, emitter.Refuse("Invalid message indexes")
	}
	if count == 0 && err == nil {
		return []int{0}, p, nil
	}
	for range count {
		path = append(path, int(next()))
	}
	return path, p, err
}

// messageAt is the message of a path.
func messageAt(file protoreflect.FileDescriptor, path []int) (protoreflect.MessageDescriptor, error) {
	list := file.Messages()
	var m protoreflect.MessageDescriptor
	for _, i := range path {
		if i < 0 || i >= list.Len() {
			return nil, emitter.Refuse(fmt.Sprintf("the schema has no message of index %v", path))
		}
		m = list.Get(i)
		list = m.Messages()
	}
	return m, nil
}

// fieldMeta are the parameters in a field's option confluent.field_meta.
func fieldMeta(f protoreflect.FieldDescriptor) map[string]string {
	wire, err := proto.Marshal(f.Options())
	if err != nil {
		return nil
	}
	out := map[string]string{}
	eachBytes(wire, metaNumber, func(meta []byte) {
		eachBytes(meta, 2, func(entry []byte) {
			var key, value string
			eachBytes(entry, 1, func(p []byte) { key = string(p) })
			eachBytes(entry, 2, func(p []byte) { value = string(p) })
			out[key] = value
		})
	})
	return out
}

// eachBytes calls f with each value of a field that has a length.
func eachBytes(wire []byte, number protowire.Number, f func([]byte)) {
	for len(wire) > 0 {
		num, typ, n := protowire.ConsumeTag(wire)
		if n < 0 {
			return
		}
		size := protowire.ConsumeFieldValue(num, typ, wire[n:])
		if size < 0 {
			return
		}
		if num == number && typ == protowire.BytesType {
			if p, ok := protowire.ConsumeBytes(wire[n:]); ok >= 0 {
				f(p)
			}
		}
		wire = wire[n+size:]
	}
}

// sameFields says whether the message of a path has the same fields in a registered schema as in the text of ours.
func sameFields(r *registry.Schema, text, path string) (bool, error) {
	indexes, _, err := messagePath([]byte(path))
	if err != nil {
		return false, err
	}
	var shapes [2]string
	for i, s := range []*registry.Schema{r, {Text: text}} {
		file, err := compile(s)
		if err != nil {
			return false, err
		}
		m, err := messageAt(file, indexes)
		if err != nil {
			return false, err
		}
		var out strings.Builder
		shape(&out, m, 0)
		shapes[i] = out.String()
	}
	return shapes[0] == shapes[1], nil
}

// shape tells what of a message decides on its bytes.
func shape(out *strings.Builder, m protoreflect.MessageDescriptor, depth int) {
	var fields []string
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		var below strings.Builder
		if f.Message() != nil && depth < 20 {
			shape(&below, f.Message(), depth+1)
		}
		fields = append(fields, fmt.Sprintf("%d %s %s %t %s{%s}", f.Number(), f.Name(), f.Kind(), f.IsList() || f.IsMap(), "", below.String()))
	}
	slices.Sort(fields)
	out.WriteString(strings.Join(fields, ";"))
}
