// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"freshet/config"
)

const generated = "<!-- Written by make docs from the declarations in the code; changes here are overwritten. -->\n"

// group is what one page describes.
type group struct {
	file, title string
	about       string // what sums it up; "" for the classes of the plug-ins
	plugins     []config.Plugin
}

// groups puts each connector on a page of its own, and the other kinds of plug-ins on one page each, in the given order.
func groups(list []config.Plugin) []*group {
	var out []*group
	byFile := map[string]*group{}
	for _, p := range list {
		file, title := p.Kind+"s.md", strings.ReplaceAll(p.Kind, "_", " ")+"s"
		if p.Kind == "source" || p.Kind == "sink" {
			file, title = p.Kind+"-"+p.Name+".md", p.Name+" "+p.Kind
		}
		g := byFile[file]
		if g == nil {
			g = &group{file: file, title: title}
			byFile[file] = g
			out = append(out, g)
		}
		g.plugins = append(g.plugins, p)
	}
	return out
}

// what sums a page up for the index.
func (g *group) what() string {
	if g.about != "" {
		return g.about
	}
	classes := make([]string, len(g.plugins))
	for i, p := range g.plugins {
		classes[i] = "`" + p.Class + "`"
	}
	return strings.Join(classes, ", ")
}

func (g *group) page() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\n%s", capital(g.title), generated)
	if g.about != "" {
		fmt.Fprintf(&b, "\n%s.\n", capital(g.about))
	}
	for _, p := range g.plugins {
		writePlugin(&b, &p, len(g.plugins) > 1)
	}
	return b.Bytes()
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// writePlugin describes a plug-in, or a set of properties without a class.
func writePlugin(b *bytes.Buffer, p *config.Plugin, heading bool) {
	switch {
	case heading && p.Class == "":
		fmt.Fprintf(b, "\n## %s\n", capital(p.Name))
	case heading:
		fmt.Fprintf(b, "\n## %s\n", p.Class[strings.LastIndexByte(p.Class, '.')+1:])
	}
	if p.Class != "" {
		writeClass(b, p)
	}
	var served, later, ignored []config.Key
	for _, k := range p.Def.Keys {
		switch {
		case k.Ignored != "":
			ignored = append(ignored, k)
		case k.Later != "" && len(k.Served) == 0:
			later = append(later, k)
		default:
			served = append(served, k)
		}
	}
	writeServed(b, served)
	writeReasons(b, "Not served yet", "A value other than the default is refused at validation.", later,
		func(k *config.Key) string { return k.Later })
	writeReasons(b, "Without effect here", "A value other than the default is warned of.", ignored,
		func(k *config.Key) string { return k.Ignored })
}

func writeClass(b *bytes.Buffer, p *config.Plugin) {
	fmt.Fprintf(b, "\nClass `%s`, version %s", p.Class, p.Version)
	names := append([]string{}, p.Aliases...)
	if p.Name != "" {
		names = append([]string{p.Name}, names...)
	}
	if len(names) > 0 {
		fmt.Fprintf(b, "; also `%s`", strings.Join(names, "`, `"))
	}
	b.WriteString(".\n")
}

func writeServed(b *bytes.Buffer, keys []config.Key) {
	if len(keys) == 0 {
		return
	}
	b.WriteString("\n| property | type | default | what it does |\n|---|---|---|---|\n")
	for _, k := range keys {
		fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", cell(k.Name), strings.ToLower(string(k.Type)), defaultOf(&k), cell(describe(&k)))
	}
}

func writeReasons(b *bytes.Buffer, title, rule string, keys []config.Key, reason func(*config.Key) string) {
	if len(keys) == 0 {
		return
	}
	fmt.Fprintf(b, "\n**%s.** %s\n\n| property | default | why |\n|---|---|---|\n", title, rule)
	for _, k := range keys {
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", cell(k.Name), defaultOf(&k), cell(reason(&k)))
	}
}

// describe is the documentation of a property with what may be given.
func describe(k *config.Key) string {
	parts := []string{strings.TrimSpace(k.Doc)}
	if len(k.Allowed) > 0 {
		parts = append(parts, "One of "+quoted(k.Allowed)+".")
	}
	if k.Later != "" {
		parts = append(parts, "Served: "+quoted(k.Served)+"; otherwise: "+k.Later+".")
	}
	for _, former := range slices.Sorted(maps.Keys(k.Former)) {
		parts = append(parts, fmt.Sprintf("The former `%s` is taken for `%s`.", former, k.Former[former]))
	}
	if len(k.Aliases) > 0 {
		parts = append(parts, "Formerly "+quoted(k.Aliases)+".")
	}
	return strings.TrimSpace(strings.Join(parts, " "))
}

func quoted(items []string) string { return "`" + strings.Join(items, "`, `") + "`" }

func defaultOf(k *config.Key) string {
	switch {
	case k.Required:
		return "required"
	case k.Default == "":
		return "–"
	case k.Type == config.Password:
		return "****"
	default:
		return "`" + cell(k.Default) + "`"
	}
}

// cell is a text that may stand in a cell of a table.
func cell(s string) string {
	s = strings.ReplaceAll(s, "|", `\|`)
	return strings.Join(strings.Fields(s), " ")
}
