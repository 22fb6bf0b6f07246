// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/emitter/topic"
)

const roleTokens = `worker   0123456789abcdef-worker
alice    0123456789abcdef-alice   admin
oscar    0123456789abcdef-oscar   operator
victor   0123456789abcdef-victor  viewer
vera     0123456789abcdef-vera    viewer contents
orders   0123456789abcdef-orders  admin connectors=orders-*,one
`

// roleAPI has every route, and a token for each role.
func roleAPI(t *testing.T) (*api, http.Handler) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tokens")
	require.NoError(t, os.WriteFile(path, []byte(roleTokens), 0o600))
	a, h, _ := guardedAPI(t, func(o *Options) {
		tokens, _, err := OpenTokens(path, o.Log)
		require.NoError(t, err)
		o.Tokens, o.Metrics = tokens, prometheus.NewRegistry()
		o.Topics = struct{ topic.Log }{}
		o.Herder = struct {
			connect.Herder
			letterKeeper
		}{}
	})
	return a, h
}

// statusFor is the status of an answer to the owner of a token; 0 is one that came through to the herder, which there is not.
func statusFor(h http.Handler, who, method, path string) (status int, body string) {
	defer func() { _ = recover() }()
	w := answerOf(h, method, path, "Authorization", "Bearer 0123456789abcdef-"+who)
	return w.Code, w.Body.String()
}

// Every role is asked for at every route. Who may do what stands in the table of operations; here stands what that comes to.
func TestRolesAtEveryRoute(t *testing.T) {
	a, h := roleAPI(t)
	counts := map[string]int{}
	for _, r := range a.routes {
		for _, m := range r.methods {
			need := operations[m.name+" "+r.template()].need
			require.NotZero(t, need, "%s %s has no right", m.name, r.template())
			path := strings.NewReplacer("{name}", "orders-1", "{connector}", "orders-1", "{task}", "1", "{plugin}", "x", "{id}", "x", "{logger}", "root", "{topic}", "t").Replace(r.template())
			for who, may := range map[string][]right{
				"worker": {anyone, viewer, operator, admin, contents},
				"alice":  {anyone, viewer, operator, admin, contents},
				"oscar":  {anyone, viewer, operator},
				"victor": {anyone, viewer},
				"vera":   {anyone, viewer, contents},
				"orders": {anyone, viewer, operator, admin, contents},
			} {
				allowed := false
				for _, n := range may {
					allowed = allowed || n == need
				}
				if who == "orders" && need != anyone {
					allowed = strings.HasPrefix(path, "/connectors") || strings.HasPrefix(path, "/connector-plugins")
				}
				status, body := statusFor(h, who, m.name, path)
				require.NotEqual(t, 401, status)
				if allowed {
					require.NotEqual(t, 403, status, "%s: %s %s: %s", who, m.name, path, body)
					continue
				}
				counts[who]++
				require.Equal(t, 403, status, "%s: %s %s", who, m.name, path)
				require.Contains(t, body, "The token of "+who+" has the role ")
			}
		}
	}
	require.Zero(t, counts["alice"])
	require.Greater(t, counts["oscar"], 8)
	require.Greater(t, counts["victor"], 20)
	require.Equal(t, counts["victor"]-2, counts["vera"], "two routes show values of records")
}

// A changing method is never a viewer's, and what shows records or changes configurations is never an operator's.
func TestRightsMakeSense(t *testing.T) {
	for what, o := range operations {
		if !strings.HasPrefix(what, "GET ") {
			require.Contains(t, []right{operator, admin}, o.need, what)
		}
		if strings.Contains(what, "/config") && !strings.HasPrefix(what, "GET ") && !strings.HasSuffix(what, "/validate") || strings.HasSuffix(what, "/offsets") && !strings.HasPrefix(what, "GET ") {
			require.Equal(t, admin, o.need, what)
		}
	}
}

func TestScopeOfATokenOverConnectors(t *testing.T) {
	_, h := roleAPI(t)
	for path, want := range map[string]int{
		"/connectors/orders-1/status": 0, "/connectors/one/status": 0, "/connectors/ORDERS-1/status": 403, "/connectors/orders/status": 403,
		"/connectors/two/status": 403, "/connectors/orders-%2F/status": 403, "/metrics": 403, "/freshet/status": 403, "/freshet/topics": 403, "/admin/loggers": 403, "/": 200,
	} {
		status, body := statusFor(h, "orders", "GET", path)
		require.Equal(t, want, status, "%s: %s", path, body)
	}
	_, body := statusFor(h, "orders", "GET", "/connectors/two/status")
	require.Contains(t, body, "The token of orders has the role admin for connectors orders-*, one: connector two is none of those.")
	_, body = statusFor(h, "oscar", "DELETE", "/connectors/two")
	require.Contains(t, body, "The token of oscar has the role operator: DELETE /connectors/{name} takes the role admin. See rest.auth.token.file of the worker.")
}
