// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"freshet/config"
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

func infoOf(k *config.Key, order int) keyInfo {
	info := keyInfo{
		Name: k.Name, Type: k.Type, Required: k.Required, Importance: string(k.Importance), Documentation: k.Doc,
		Width: "NONE", DisplayName: k.Name, Dependents: []string{}, Order: order,
	}
	if info.Importance == "" {
		info.Importance = string(config.Low)
	}
	if k.HasDefault {
		text := k.Default
		if k.Type == config.Password {
			text = "[hidden]"
		}
		info.Default = &text
	}
	if k.Group != "" {
		info.Group, info.Width = &k.Group, "MEDIUM"
	}
	return info
}

// keysOf are the declarations of a connector: common properties first, unless the connector declares them itself, each
// with its place in its group.
func keysOf(p config.Plugin) []*config.Key {
	var keys []*config.Key
	if isConnector(p.Kind) {
		common := connect.CommonDef(p.Kind)
		for i := range common.Keys {
			if k := p.Def.Find(common.Keys[i].Name); k == nil || k.Pattern != nil {
				keys = append(keys, &common.Keys[i])
			}
		}
	}
	for i := range p.Def.Keys {
		keys = append(keys, &p.Def.Keys[i])
	}
	return keys
}

// orders counts the properties of each group; one without a group has no place.
func orders(keys []*config.Key) []int {
	seen := map[string]int{}
	out := make([]int, len(keys))
	for i, k := range keys {
		if out[i] = -1; k.Group != "" {
			seen[k.Group]++
			out[i] = seen[k.Group]
		}
	}
	return out
}

func (a *api) pluginConfig(r *request) (reply, error) {
	for _, p := range a.o.Herder.Plugins() {
		if !p.Matches(r.args[0]) {
			continue
		}
		keys := keysOf(p)
		at := orders(keys)
		out := make([]keyInfo, 0, len(keys))
		for i, k := range keys {
			out = append(out, infoOf(k, at[i]))
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
	Definition *keyInfo  `json:"definition"`
	Value      valueInfo `json:"value"`
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

// render shows a validation: problems of properties without a declaration first, then every declared property.
func render(v connect.Validation) validation {
	out := validation{Name: v.Values["connector.class"], Groups: []string{}}
	keys := keysOf(v.Plugin)
	at := orders(keys)
	shown := connect.Redact(&v.Plugin.Def, v.Values)
	errs := map[string][]string{}
	var loose []string
	for _, p := range config.Errors(v.Problems) {
		if !slices.ContainsFunc(keys, func(k *config.Key) bool { return k.Pattern == nil && k.Name == p.Property }) && errs[p.Property] == nil {
			loose = append(loose, p.Property)
		}
		errs[p.Property] = append(errs[p.Property], connect.RedactText(p.Message))
		out.ErrorCount++
	}
	for _, name := range loose {
		out.Configs = append(out.Configs, configInfo{nil, valueOf(name, nil, shown, errs[name])})
	}
	for i, k := range keys {
		if k.Pattern != nil {
			continue
		}
		if k.Group != "" && !slices.Contains(out.Groups, k.Group) {
			out.Groups = append(out.Groups, k.Group)
		}
		info := infoOf(k, at[i])
		out.Configs = append(out.Configs, configInfo{&info, valueOf(k.Name, k, shown, errs[k.Name])})
	}
	return out
}

func valueOf(name string, k *config.Key, shown map[string]string, errs []string) valueInfo {
	v := valueInfo{Name: name, Recommended: []string{}, Errors: []string{}, Visible: true}
	if len(errs) > 0 {
		v.Errors = errs
	}
	text, given := shown[name]
	switch {
	case given && k != nil && k.Type == config.Password:
		text = "[hidden]"
	case given:
	case k != nil && k.HasDefault:
		text, given = k.Default, true
	}
	if given {
		v.Value = &text
	}
	if k != nil && len(k.Recommended) > 0 {
		v.Recommended = k.Recommended
	}
	if k != nil && len(k.Allowed) > 0 {
		v.Recommended = k.Allowed
	}
	return v
}
