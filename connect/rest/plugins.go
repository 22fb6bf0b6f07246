// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"freshet/config"
	"freshet/config/provider"
	"freshet/connect"
)

// pluginInfo is one entry of GET /connector-plugins.
type pluginInfo struct {
	Class   string `json:"class"`
	Type    string `json:"type"`
	Version string `json:"version,omitempty"`
}

func isConnector(kind string) bool { return kind == "source" || kind == "sink" }

func (a *api) plugins(r *request) (reply, error) {
	given := r.URL.Query().Get("connectorsOnly")
	only := given == "" || strings.EqualFold(given, "true")
	out := []pluginInfo{}
	for _, p := range a.o.Herder.Plugins() {
		if !only || isConnector(p.Kind) {
			out = append(out, pluginInfo{p.Class, p.Kind, p.Version})
		}
	}
	return ok(out)
}

// keyInfo is the declaration of a property, as Kafka Connect shows it.
type keyInfo struct {
	Name          string      `json:"name"`
	Type          config.Type `json:"type"`
	Required      bool        `json:"required"`
	Default       *string     `json:"default_value"`
	Importance    string      `json:"importance"`
	Documentation string      `json:"documentation"`
	Group         *string     `json:"group"`
	Width         string      `json:"width"`
	DisplayName   string      `json:"display_name"`
	Dependents    []string    `json:"dependents"`
	Order         int         `json:"order"`
}

// entry is one line of an answer: a property with its place in its group, or a former name of one.
type entry struct {
	*config.Key
	order  int
	former string // the name, where the entry is that of a former one
	style  config.Style
}

func (e *entry) info() *keyInfo {
	k := e.Key
	info := &keyInfo{
		Name: cmp.Or(e.former, k.Name), Type: k.Type, Required: k.Required && e.style == config.KafkaStyle, Importance: string(cmp.Or(k.Importance, config.Low)),
		Documentation: k.Doc, Width: string(cmp.Or(k.Width, config.WidthNone)), DisplayName: cmp.Or(k.Display, k.Name),
		Dependents: slices.Clone(k.Dependents), Order: e.order,
	}
	if info.Dependents == nil {
		info.Dependents = []string{}
	}
	if k.HasDefault {
		text := k.Default
		if k.Type == config.Password {
			text = "[hidden]"
		}
		info.Default = &text
	}
	if k.Group != "" {
		info.Group, info.Width = &k.Group, string(cmp.Or(k.Width, config.WidthMedium))
	}
	return info
}

// commonOf are Kafka Connect's own properties but for those that the connector declares itself.
func commonOf(p config.Plugin, common config.Def) []entry {
	if !isConnector(p.Kind) {
		return nil
	}
	common.Keys = slices.DeleteFunc(slices.Clone(common.Keys), func(c config.Key) bool {
		k := p.Def.Find(c.Name)
		return k != nil && k.Pattern == nil
	})
	return listed(&common)
}

// listed are the properties of a declaration that answers list.
func listed(def *config.Def) []entry {
	var out []entry
	last := map[string]int{}
	for i := range def.Keys {
		k := &def.Keys[i]
		if k.Unlisted {
			continue
		}
		order := -1
		if k.Group != "" {
			order = max(0, cmp.Or(k.Order, last[k.Group]+1))
			last[k.Group] = order
		}
		out = append(out, entry{Key: k, order: order, style: def.Style})
		if def.Style == config.DebeziumStyle {
			for _, name := range k.Aliases {
				out = append(out, entry{Key: k, order: order, former: name, style: def.Style})
			}
		}
	}
	return out
}

func (a *api) pluginConfig(r *request) (reply, error) {
	for _, p := range a.o.Herder.Plugins() {
		// Short names are names of connectors and converters, as in Kafka Connect.
		short := p.Kind != "transformation" && p.Kind != "predicate"
		if p.Class != r.args[0] && !(short && p.Matches(r.args[0])) {
			continue
		}
		if err := wantVersion(&p, r.URL.Query()); err != nil {
			return reply{}, err
		}
		out := []*keyInfo{}
		for _, e := range append(listed(&p.Def), commonOf(p, connect.CommonDef(p.Kind, p.Version))...) {
			out = append(out, e.info())
		}
		return ok(out)
	}
	return reply{}, &connect.Error{Code: 404, Message: fmt.Sprintf("Unknown plugin %s.", r.args[0])}
}

// valueInfo is the state of a property in an answer to validate.
type valueInfo struct {
	Name        string   `json:"name"`
	Value       *string  `json:"value"`
	Recommended []string `json:"recommended_values"`
	Errors      []string `json:"errors"`
	Visible     bool     `json:"visible"`
}

type configInfo struct {
	Definition *keyInfo   `json:"definition"`
	Value      *valueInfo `json:"value"`
}

// validation is the answer to validate.
type validation struct {
	Name       string       `json:"name"`
	ErrorCount int          `json:"error_count"`
	Groups     []string     `json:"groups"`
	Configs    []configInfo `json:"configs"`
}

func (a *api) validate(r *request) (reply, error) {
	var cfg properties
	if err := readBody(r, &cfg); err != nil {
		return reply{}, err
	}
	v, err := a.o.Herder.Validate(r.Context(), r.args[0], cfg)
	if err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusOK, body: render(v)}, nil
}

// render shows a validation: problems of properties that are not listed first, then every listed property.
func render(v connect.Validation) validation {
	out := validation{Name: v.Values["connector.class"], Groups: []string{}}
	entries := append(commonOf(v.Plugin, v.Common), listed(&v.Plugin.Def)...)
	shown := connect.Redact(&v.Plugin.Def, v.Values)
	errs := map[string][]string{}
	var loose []string
	for _, p := range config.Errors(v.Problems) {
		if !slices.ContainsFunc(entries, func(e entry) bool { return e.Pattern == nil && e.Name == p.Property }) && errs[p.Property] == nil {
			loose = append(loose, p.Property)
		}
		errs[p.Property] = append(errs[p.Property], connect.RedactText(p.Message))
		out.ErrorCount++
	}
	for _, name := range loose {
		value := newValue(name, errs[name])
		if text, given := shown[name]; given {
			value.Value = &text
		}
		out.Configs = append(out.Configs, configInfo{nil, value})
	}
	for _, e := range entries {
		if e.Group != "" && !slices.Contains(out.Groups, e.Group) {
			out.Groups = append(out.Groups, e.Group)
		}
		c := configInfo{Definition: e.info()}
		if e.former == "" {
			c.Value = newValue(e.Name, errs[e.Name])
			c.Value.describe(e.Key)
			if e.style == config.KafkaStyle {
				c.Value.tell(e.Key, shown)
			}
		}
		out.Configs = append(out.Configs, c)
	}
	return out
}

func newValue(name string, errs []string) *valueInfo {
	if errs == nil {
		errs = []string{}
	}
	return &valueInfo{Name: name, Recommended: []string{}, Errors: errs, Visible: true}
}

// describe adds what the declaration says of values.
func (v *valueInfo) describe(k *config.Key) {
	v.Visible = !k.Hidden
	switch {
	case len(k.Allowed) > 0:
		v.Recommended = k.Allowed
	case len(k.Recommended) > 0:
		v.Recommended = k.Recommended
	}
}

// tell adds the value: the given one unless it is of another type, or the default.
func (v *valueInfo) tell(k *config.Key, shown map[string]string) {
	text, given := shown[k.Name]
	switch {
	case given && !k.Type.Accepts(strings.TrimSpace(text)) && !provider.Refers(text):
		return
	case given && k.Type == config.Password:
		text = "[hidden]"
	case given:
	case k.HasDefault:
		text, given = k.Default, true
	}
	if given {
		v.Value = &text
	}
}
