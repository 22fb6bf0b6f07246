// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"

	"freshet/connect"
)

// right is what an operation asks of whoever wants it. Each role has those of the roles before it. The zero right is nobody's:
// an operation without a right is refused.
type right uint8

const (
	anyone   right = iota + 1 // whoever is let in at all
	viewer                    // looks at connectors, states and topics
	operator                  // starts and stops what there is
	admin                     // changes configurations, positions and records
	// contents are the values of records. They take this right, or the role admin, beside the role viewer.
	contents
)

var roleNames = map[right]string{viewer: "viewer", operator: "operator", admin: "admin"}

// grant is what a token lets its owner do.
type grant struct {
	name     string // whose token it is, "" where nobody says
	role     right
	contents bool
	// connectors are patterns of path.Match for the names of those that it is about; none is all, and the worker itself too.
	connectors []string
}

// parseGrant reads what stands behind a token: a role, and then contents and connectors=PATTERN,...
func parseGrant(name string, fields []string) (grant, error) {
	g := grant{name: name, role: admin}
	if len(fields) == 0 {
		return g, nil
	}
	g.role = 0
	for role, text := range roleNames {
		if fields[0] == text {
			g.role = role
		}
	}
	if g.role == 0 {
		return g, fmt.Errorf("%q is none of the roles viewer, operator and admin", fields[0])
	}
	for _, field := range fields[1:] {
		list, scoped := strings.CutPrefix(field, "connectors=")
		switch {
		case field == "contents":
			g.contents = true
		case scoped && list != "":
			for pattern := range strings.SplitSeq(list, ",") {
				if _, err := path.Match(pattern, ""); err != nil || pattern == "" {
					return g, fmt.Errorf("%q is no pattern of connectors' names: write such as orders-*", pattern)
				}
				g.connectors = append(g.connectors, pattern)
			}
		default:
			return g, fmt.Errorf("%q is neither the word contents nor a list connectors=PATTERN,PATTERN", field)
		}
	}
	return g, nil
}

// whole says whether a grant is about everything.
func (g *grant) whole() bool { return g.role == admin && len(g.connectors) == 0 }

// covers says whether a grant is about a connector.
func (g *grant) covers(connector string) bool {
	return len(g.connectors) == 0 || slices.ContainsFunc(g.connectors, func(pattern string) bool {
		ok, _ := path.Match(pattern, connector) // the pattern was tried when it was read
		return ok
	})
}

// has says whether a grant includes a right.
func (g *grant) has(need right) bool {
	switch need {
	case 0:
		return false
	case contents:
		return g.contents || g.role == admin
	}
	return g.role >= need
}

// granted is the key of a request's context for the grant of its token.
type granted struct{}

// grantOf is the grant that a request came with; nil where the worker asks for no tokens: then all is allowed.
func grantOf(ctx context.Context) *grant {
	g, _ := ctx.Value(granted{}).(*grant)
	return g
}

// permit refuses an operation that the request's token does not let its owner do.
func permit(r *http.Request, m *route, args []string) error {
	g := grantOf(r.Context())
	if g == nil {
		return nil
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	what := method + " " + m.template()
	need := operations[what].need
	if !g.has(need) {
		return forbidden(g, "%s takes %s", what, need)
	}
	if len(g.connectors) == 0 || need == anyone {
		return nil
	}
	switch m.path[0] {
	case "connector-plugins":
	case "connectors":
		if len(args) > 0 { // the list of all, and a new one, are judged by their names
			return permitConnector(g, args[0])
		}
	default:
		return forbidden(g, "%s is about all connectors", what)
	}
	return nil
}

// permitConnector refuses what is about another connector than those of a grant.
func permitConnector(g *grant, name string) error {
	if g == nil || g.covers(name) {
		return nil
	}
	return forbidden(g, "connector %s is none of those", name)
}

// forbidden is the answer to who may not do what was asked for.
func forbidden(g *grant, format string, args ...any) error {
	whose := "The token"
	if g.name != "" {
		whose += " of " + g.name
	}
	about := ""
	if len(g.connectors) > 0 {
		about = " for connectors " + strings.Join(g.connectors, ", ")
	}
	return &connect.Error{Code: http.StatusForbidden, Message: fmt.Sprintf("%s has the role %s%s: %s. See rest.auth.token.file of the worker.", whose, roleNames[g.role], about, fmt.Sprintf(format, args...))}
}

// String is the right in messages and in the description of the API.
func (n right) String() string {
	switch n {
	case anyone:
		return "any role"
	case contents:
		return "the right contents, or the role admin"
	}
	return "the role " + roleNames[n]
}
