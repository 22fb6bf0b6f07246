// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"cmp"
	"slices"
	"strings"

	"freshet/config"
)

// Keys declares the properties of the transforms and predicates that a configuration names, as answers to validation list
// them: those of an alias in a group of its own, with their full names. They are for showing alone: Parse judges values.
func Keys(cfg map[string]string) []config.Key {
	var transforms, predicates []config.Plugin
	for i := range kinds {
		transforms = append(transforms, kinds[i].plugin)
	}
	for i := range predicateKinds {
		predicates = append(predicates, predicateKinds[i].plugin)
	}
	implied := []config.Key{
		{Name: predicateKey, Type: config.String, Importance: config.Medium, Doc: "Alias of the predicate that says whether a record is given to the transform."},
		{Name: negateKey, Type: config.Boolean, Default: "false", HasDefault: true, Importance: config.Medium, Doc: "Whether records are given to the transform for which the predicate does not hold."},
	}
	return append(
		keysOf(cfg, listing{"transforms", "Transforms", "Transformation", transforms, implied}),
		keysOf(cfg, listing{"predicates", "Predicates", "Predicate", predicates, nil})...)
}

// listing is what the answers have for transforms, or for predicates.
type listing struct {
	property, group, noun string
	plugins               []config.Plugin
	implied               []config.Key // that all of them have
}

func keysOf(cfg map[string]string, l listing) []config.Key {
	var classes []string
	for i := range l.plugins {
		classes = append(classes, l.plugins[i].Class)
	}
	slices.Sort(classes)
	var out []config.Key
	aliases := config.SplitList(cfg[l.property])
	for i, alias := range aliases {
		if slices.Index(aliases, alias) != i {
			continue
		}
		prefix, group := l.property+"."+alias+".", l.group+": "+alias
		noun := strings.ToLower(l.noun)
		out = append(out, config.Key{
			Name: prefix + typeKey, Type: config.Class, Required: true, Importance: config.High, Group: group, Order: config.FirstInGroup,
			Width: config.WidthLong, Display: l.noun + " type for " + alias, Recommended: classes, Doc: "Class for the '" + alias + "' " + noun + ".",
		})
		class := strings.TrimSpace(cfg[prefix+typeKey])
		at := slices.IndexFunc(l.plugins, func(p config.Plugin) bool { return class != "" && p.Matches(class) })
		if at < 0 {
			continue
		}
		p := &l.plugins[at]
		out = append(out, config.Key{
			Name: prefix + versionKey, Type: config.String, Default: p.Version, HasDefault: true, Importance: config.High, Group: group,
			Width: config.WidthLong, Display: l.noun + " version for " + alias, Recommended: []string{p.Version},
			Doc: "Version of the '" + alias + "' " + noun + ".",
		})
		own := append(slices.Clone(p.Def.Keys), l.implied...)
		slices.SortFunc(own, inKafkasOrder)
		for _, k := range own {
			k.Display, k.Width = cmp.Or(k.Display, k.Name), config.WidthNone
			k.Name, k.Group, k.Allowed, k.Aliases = prefix+k.Name, group, nil, nil
			out = append(out, k)
		}
	}
	return out
}

// inKafkasOrder puts first what has no default, then what is important.
func inKafkasOrder(x, y config.Key) int {
	rank := func(k *config.Key) int {
		n := slices.Index([]config.Importance{config.High, config.Medium, config.Low}, k.Importance)
		if !k.Required {
			n += 3
		}
		return n
	}
	return cmp.Or(cmp.Compare(rank(&x), rank(&y)), strings.Compare(x.Name, y.Name))
}
