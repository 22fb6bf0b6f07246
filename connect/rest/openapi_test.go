// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"freshet/connect"
)

// wholeAPI has every route that there is.
func wholeAPI(t *testing.T) *api {
	t.Helper()
	a, _, _ := guardedAPI(t, func(o *Options) {
		o.Tokens, o.Metrics = nil, prometheus.NewRegistry()
		o.Herder = struct {
			connect.Herder
			letterKeeper
		}{}
	})
	return a
}

// Each route is described, and nothing else is.
func TestOpenAPIHasEveryRoute(t *testing.T) {
	a := wholeAPI(t)
	var routes, described []string
	for _, r := range a.routes {
		for _, m := range r.methods {
			routes = append(routes, m.name+" "+r.template())
		}
	}
	for name, o := range operations {
		described = append(described, name)
		require.NotEmpty(t, o.summary, name)
	}
	slices.Sort(routes)
	slices.Sort(described)
	require.Equal(t, routes, described)
}

// The answer is a document whose parts fit: references lead somewhere, variables of paths are declared, ids are unique.
func TestOpenAPIIsWhole(t *testing.T) {
	a := wholeAPI(t)
	w := answerOf(a.guarded(), "GET", "/openapi.json")
	require.Equal(t, 200, w.Code)
	var doc struct {
		OpenAPI string
		Info    struct{ Title, Version string }
		Paths   map[string]map[string]struct {
			OperationID string
			Summary     string
			Parameters  []struct {
				Name, In string
				Required bool
				Schema   map[string]any
			}
			Responses map[string]struct{ Description string }
		}
		Components struct{ Schemas map[string]map[string]any }
	}
	d := json.NewDecoder(strings.NewReader(w.Body.String()))
	require.NoError(t, d.Decode(&doc))
	require.Equal(t, "3.1.0", doc.OpenAPI)
	require.NotEmpty(t, doc.Info.Title)
	require.NotEmpty(t, doc.Info.Version)
	ids := map[string]bool{}
	variable := regexp.MustCompile(`\{([^}]+)\}`)
	for path, item := range doc.Paths {
		for verb, o := range item {
			require.Contains(t, []string{"get", "put", "post", "patch", "delete"}, verb)
			require.False(t, ids[o.OperationID], "%s twice", o.OperationID)
			ids[o.OperationID] = true
			var inPath, declared []string
			for _, m := range variable.FindAllStringSubmatch(path, -1) {
				inPath = append(inPath, m[1])
			}
			for _, p := range o.Parameters {
				require.NotEmpty(t, p.Schema)
				if p.In == "path" {
					require.True(t, p.Required)
					declared = append(declared, p.Name)
				}
			}
			require.Equal(t, inPath, declared, "%s %s", verb, path)
			require.Contains(t, o.Responses, "default")
			require.Len(t, o.Responses, 2)
			for _, r := range o.Responses {
				require.NotEmpty(t, r.Description)
			}
		}
	}
	for _, m := range regexp.MustCompile(`"\$ref":"#/components/schemas/([^"]+)"`).FindAllStringSubmatch(w.Body.String(), -1) {
		require.Contains(t, doc.Components.Schemas, m[1])
	}
	info := doc.Components.Schemas["Info"]
	require.Equal(t, "object", info["type"])
	require.Equal(t, []any{"name", "config", "tasks", "type"}, info["required"])
	require.Equal(t, map[string]any{"type": "array", "items": map[string]any{"$ref": "#/components/schemas/TaskID"}}, info["properties"].(map[string]any)["tasks"])
	require.NotContains(t, doc.Components.Schemas["CreateRequest"], "required")
}

// A worker without some routes does not describe them.
func TestOpenAPIOfAWorker(t *testing.T) {
	_, h, _ := guardedAPI(t, func(o *Options) { o.Tokens, o.Levels, o.Topics = nil, nil, nil })
	body := answerOf(h, "GET", "/openapi.json").Body.String()
	require.NotContains(t, body, "/admin/loggers")
	require.NotContains(t, body, "/freshet/topics")
	require.Contains(t, body, "/connectors/{name}/offsets")
}
