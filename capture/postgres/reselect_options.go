// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"fmt"
	"regexp"
	"strings"

	"freshet/config"
)

const (
	reselectClass      = "io.debezium.processors.reselect.ReselectColumnsPostProcessor"
	reselectIncludes   = "reselect.columns.include.list"
	reselectExcludes   = "reselect.columns.exclude.list"
	reselectUnsent     = "reselect.unavailable.values"
	reselectNulls      = "reselect.null.values"
	reselectByEventKey = "reselect.use.event.key"
	reselectErrors     = "reselect.error.handling.mode"
)

// reselectOptions say which columns of changed rows are read again from their tables: Debezium's post-processor
// ReselectColumnsPostProcessor.
type reselectOptions struct {
	Include, Exclude []*regexp.Regexp // against schema.table:column
	Unavailable      bool             // values that the stream does not have
	Nulls            bool
	UseEventKey      bool // the key of the record instead of that of the table
	Fail             bool // a row that cannot be read again ends the task
}

// parseReselect reads the settings of post.processors; nil where there are none.
func parseReselect(v config.Values) (*reselectOptions, error) {
	names := v.List("post.processors")
	if len(names) == 0 {
		return nil, nil
	}
	prefix := names[0] + "."
	on := func(name string) bool { return !strings.EqualFold(v.Get(prefix+name), "false") } // the default is true
	o := &reselectOptions{
		Unavailable: on(reselectUnsent),
		Nulls:       on(reselectNulls),
		UseEventKey: strings.EqualFold(v.Get(prefix+reselectByEventKey), "true"),
		Fail:        strings.EqualFold(v.Get(prefix+reselectErrors), "fail"),
	}
	for name, list := range map[string]*[]*regexp.Regexp{reselectIncludes: &o.Include, reselectExcludes: &o.Exclude} {
		for _, expr := range v.List(prefix + name) {
			re, err := compileFilter(expr)
			if err != nil {
				return nil, fmt.Errorf("property %q: %w", prefix+name, err)
			}
			*list = append(*list, re)
		}
	}
	return o, nil
}

// checkPostProcessors refuses processors that there are not.
func checkPostProcessors(value string, all config.Values) string {
	names := config.SplitList(value)
	for _, name := range names {
		switch class := strings.TrimSpace(all.Get(name + ".type")); {
		case class == "":
			return fmt.Sprintf("the property %q with the class is missing", name+".type")
		case class != reselectClass:
			return fmt.Sprintf("the class %s of %q cannot be loaded here; take %s out, or write %s", class, name+".type", name, reselectClass)
		case len(names) > 1:
			return "there can be one processor, which takes all columns in one list"
		}
	}
	return ""
}

// reselectKeys are the properties of a post-processor, each behind its name.
func reselectKeys() []config.Key {
	of := func(name string) *regexp.Regexp { return regexp.MustCompile(`^.+\.` + regexp.QuoteMeta(name) + `$`) }
	flag := func(name, doc string) config.Key {
		return config.Key{
			Name: "<processor>." + name, Type: config.Boolean, Importance: config.Low, Unlisted: true, Doc: doc, Pattern: of(name),
		}
	}
	list := func(name, doc string) config.Key {
		return config.Key{
			Name: "<processor>." + name, Type: config.List, Importance: config.Low, Unlisted: true, Doc: doc, Pattern: of(name), Check: checkRegexps,
		}
	}
	return []config.Key{
		{
			Name: "<processor>.type", Type: config.Class, Importance: config.Low, Unlisted: true,
			Doc:     "Class of a post-processor; there is `" + reselectClass + "`.",
			Pattern: regexp.MustCompile(`^[^.]+\.type$`),
		},
		list(reselectIncludes, "Columns that are read again, as regular expressions of schema.table:column; all where neither list is given."),
		list(reselectExcludes, "Columns that are not read again; counts where there is no include list."),
		flag(reselectUnsent, "Reads values again that the server does not send because an update did not touch them; true unless it is false."),
		flag(reselectNulls, "Reads nulls again; true unless it is false."),
		flag(reselectByEventKey, "Finds the row by the key of the record instead of that of the table; false by default."),
		{
			Name: "<processor>." + reselectErrors, Type: config.String, Importance: config.Low, Unlisted: true,
			Doc:     "What happens where a row is gone or cannot be read; warn, the default, leaves its values as they came.",
			Pattern: of(reselectErrors), Allowed: []string{"warn", "fail"},
		},
		{
			Name: "<processor>.reselect.cache.<option>", Type: config.String, Importance: config.Low, Unlisted: true,
			Doc:     "A cache of values that were read again.",
			Pattern: regexp.MustCompile(`^.+\.reselect\.cache\.[a-z.]+$`),
			Ignored: "values are read when they are needed",
		},
	}
}
