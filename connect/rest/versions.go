// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"freshet/config"
	"freshet/connect"
)

// wantVersion refuses a question about another version of a plug-in than the one that there is. The query names a version
// or ranges of Maven, such as [4.0,5); latest is any.
func wantVersion(p *config.Plugin, query url.Values) error {
	spec := strings.TrimSpace(query.Get("version"))
	if spec == "" || spec == "latest" {
		return nil
	}
	if !strings.HasPrefix(spec, "[") && !strings.HasPrefix(spec, "(") {
		spec = "[" + spec + "," + spec + "]"
	}
	ranges, ok := parseRanges(spec)
	if !ok {
		return &connect.Error{Code: http.StatusBadRequest, Message: "Invalid version specification: " + strings.TrimSpace(query.Get("version"))}
	}
	for _, r := range ranges {
		if r.holds(p.Version) {
			return nil
		}
	}
	return &connect.Error{Code: http.StatusBadRequest, Message: fmt.Sprintf(
		"Plugin %s not found that matches the version range %s, available versions: [%s]", p.Class, spec, p.Version)}
}

// versionRange is one range; "" is without end.
type versionRange struct {
	low, high         string
	withLow, withHigh bool
}

// parseRanges reads ranges such as [1,2),(3,).
func parseRanges(spec string) (out []versionRange, ok bool) {
	for spec != "" {
		end := strings.IndexAny(spec, "])")
		if end < 0 || spec[0] != '[' && spec[0] != '(' {
			return nil, false
		}
		r := versionRange{withLow: spec[0] == '[', withHigh: spec[end] == ']'}
		low, high, both := strings.Cut(spec[1:end], ",")
		if r.low, r.high = strings.TrimSpace(low), strings.TrimSpace(high); !both {
			r.high = r.low
		}
		single := r.low == r.high && r.low != ""
		if single && !(r.withLow && r.withHigh) || !both && r.low == "" || strings.ContainsAny(r.low+r.high, "[(,") ||
			r.low != "" && r.high != "" && compareVersions(r.low, r.high) > 0 {
			return nil, false
		}
		out = append(out, r)
		spec = strings.TrimPrefix(strings.TrimSpace(spec[end+1:]), ",")
	}
	return out, len(out) > 0
}

func (r versionRange) holds(version string) bool {
	if r.low != "" {
		if c := compareVersions(version, r.low); c < 0 || c == 0 && !r.withLow {
			return false
		}
	}
	if r.high != "" {
		if c := compareVersions(version, r.high); c > 0 || c == 0 && !r.withHigh {
			return false
		}
	}
	return true
}

// compareVersions compares part by part, numbers as numbers; a missing part is 0.
func compareVersions(x, y string) int {
	xs, ys := strings.FieldsFunc(x, separator), strings.FieldsFunc(y, separator)
	for i := range max(len(xs), len(ys)) {
		a, b := part(xs, i), part(ys, i)
		n, aerr := strconv.Atoi(a)
		m, berr := strconv.Atoi(b)
		c := cmp.Compare(n, m)
		if aerr != nil || berr != nil {
			c = strings.Compare(a, b)
		}
		if c != 0 {
			return c
		}
	}
	return 0
}

func separator(r rune) bool { return r == '.' || r == '-' }

func part(parts []string, i int) string {
	if i < len(parts) {
		return parts[i]
	}
	return "0"
}
