// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"regexp"
	"strings"
	"unicode/utf8"

	"freshet/config"
	"freshet/schema"
)

// jdbcSinkVersion is the version of Debezium's JDBC sink, which brings these two transforms.
const jdbcSinkVersion = "3.6.0.Final"

// Styles of names, in the words of Debezium's NamingStyle.
var namingStyles = map[string]func(string) string{
	"default":    func(s string) string { return s },
	"snake_case": snakeCase,
	"camel_case": camelCase,
	"upper_case": strings.ToUpper,
	"lower_case": strings.ToLower,
}

const styleNames = "snake_case, camel_case, UPPER_CASE, lower_case, default"

var namingKinds = []kind{
	{
		plugin: config.Plugin{
			Name: "CollectionNameTransformation", Class: "io.debezium.connector.jdbc.transforms.CollectionNameTransformation",
			Kind: "transformation", Version: jdbcSinkVersion, Def: config.Def{Keys: namingKeys("collection")},
		},
		make: func(v config.Values) (Transform, error) { return &topicNaming{namingOf(v, "collection")}, nil },
	},
	{
		plugin: config.Plugin{
			Name: "FieldNameTransformation", Class: "io.debezium.connector.jdbc.transforms.FieldNameTransformation",
			Kind: "transformation", Version: jdbcSinkVersion, Def: config.Def{Keys: namingKeys("column")},
		},
		make: func(v config.Values) (Transform, error) { return &fieldNaming{naming: namingOf(v, "column")}, nil },
	},
}

func namingKeys(of string) []config.Key {
	return []config.Key{
		{Name: of + ".naming.prefix", Type: config.String, HasDefault: true, Importance: config.Low, Doc: "What is put before the " + of + "'s name."},
		{Name: of + ".naming.suffix", Type: config.String, HasDefault: true, Importance: config.Low, Doc: "What is put behind the " + of + "'s name."},
		{
			Name: of + ".naming.style", Type: config.String, Default: "default", HasDefault: true, Importance: config.Low,
			Doc: "Style of the name: " + styleNames + ", in any case.",
			Check: func(s string, _ config.Values) string {
				if styleOf(s) == nil {
					return "Invalid naming style: " + s + ". Allowed styles are: " + styleNames
				}
				return ""
			},
		},
	}
}

// styleOf is a style by its name in any case; nil for none.
func styleOf(s string) func(string) string { return namingStyles[strings.ToLower(s)] }

// naming makes a name of another one.
type naming struct {
	prefix, suffix string
	style          func(string) string
}

func namingOf(v config.Values, of string) naming {
	return naming{v.Get(of + ".naming.prefix"), v.Get(of + ".naming.suffix"), styleOf(v.Get(of + ".naming.style"))}
}

func (n *naming) name(s string) string { return n.prefix + n.style(s) + n.suffix }

var wordEdges = regexp.MustCompile(`([a-z])([A-Z])|([a-zA-Z])([0-9])|([0-9])([a-zA-Z])|\.`)

// snakeCase parts words where case or kind of ASCII letters changes, and at dots.
func snakeCase(s string) string {
	return strings.ToLower(wordEdges.ReplaceAllString(s, "${1}${3}${5}_${2}${4}${6}"))
}

var wordSeparators = regexp.MustCompile(`[._]+`)

// camelCase joins words that dots and underscores part. A name that begins with one has no word in small letters.
func camelCase(s string) string {
	var out strings.Builder
	for i, word := range wordSeparators.Split(s, -1) {
		if word == "" {
			continue
		}
		word = strings.ToLower(word)
		if i > 0 {
			_, n := utf8.DecodeRuneInString(word)
			word = strings.ToUpper(word[:n]) + word[n:]
		}
		out.WriteString(word)
	}
	return out.String()
}

// topicNaming renames topics as a whole, dots and all.
type topicNaming struct{ naming }

var _ Router = (*topicNaming)(nil)

// Apply renames the record's topic.
func (t *topicNaming) Apply(r *Record) (bool, error) {
	r.Topic = t.Route(r.Topic)
	return true, nil
}

// Route returns the new name.
func (t *topicNaming) Route(topic string) string { return t.name(topic) }

// fieldNaming renames the fields of a struct: in the value, there in both images of an event, and in the key, of tombstones
// too, which Debezium leaves out, so that its sink finds no row for them.
type fieldNaming struct {
	naming
	types cache[*schema.Type] // of keys and flat values
	rows  cache[*schema.Type] // of events
}

// Apply changes types alone: values stay where they are.
func (t *fieldNaming) Apply(r *Record) (bool, error) {
	if err := r.Load(); err != nil {
		return false, err
	}
	if typ := r.ValueType; typ != nil {
		if typ.Kind != schema.Struct {
			return true, nil
		}
		renamed, err := t.value(typ)
		if err != nil {
			return false, err
		}
		r.SetValue(renamed, r.Value)
	}
	if typ := r.KeyType; typ != nil && typ.Kind == schema.Struct {
		renamed, err := t.row(typ)
		if err != nil {
			return false, err
		}
		r.SetKey(renamed, r.Key)
	}
	return true, nil
}

func (t *fieldNaming) value(typ *schema.Type) (*schema.Type, error) {
	if !strings.HasSuffix(typ.Name, ".Envelope") {
		return t.row(typ)
	}
	if out, ok := t.rows.get(typ); ok {
		return out, nil
	}
	out := *typ
	out.Fields = append([]schema.Field(nil), typ.Fields...)
	for i := range out.Fields {
		f := &out.Fields[i]
		if (f.Name == "before" || f.Name == "after") && f.Type.Kind == schema.Struct {
			row, err := t.row(f.Type)
			if err != nil {
				return nil, err
			}
			f.Type = row
		}
	}
	t.rows.put(typ, &out)
	return &out, nil
}

func (t *fieldNaming) row(typ *schema.Type) (*schema.Type, error) {
	if out, ok := t.types.get(typ); ok {
		return out, nil
	}
	out := *typ
	out.Fields = nil
	for _, f := range typ.Fields {
		if err := addField(&out, t.name(f.Name), f.Type); err != nil {
			return nil, err
		}
	}
	t.types.put(typ, &out)
	return &out, nil
}
