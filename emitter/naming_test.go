// SPDX-License-Identifier: Apache-2.0

package emitter

import (
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/emitter/transform"
	"freshet/schema"
)

func TestNamingStrategies(t *testing.T) {
	id := schema.ID{Catalog: "db", Schema: "Ünï_x", Name: "t 1"}
	rewrite := func(regex, by string) func(string) string {
		f, err := transform.Rewriter(regex, by)
		require.NoError(t, err)
		return f
	}
	for _, c := range []struct {
		names TopicNames
		want  string
	}{
		{TopicNames{Prefix: "p"}, "p._n__x.t_1"},
		{TopicNames{Prefix: "p", Delimiter: "-"}, "p-_n__x-t_1"},
		{TopicNames{Prefix: "p", ByCatalog: true}, "p.t_1"},
		{TopicNames{Prefix: "p", Unicode: true}, "p._u00dcn_u00ef_u005fx.t_u00201"},
		{TopicNames{Prefix: "p", Route: rewrite(`(.*)\._n__x\.(.*)`, "$1.all")}, "p.all"},
		{TopicNames{Prefix: "p", Route: rewrite(`nothing`, "x")}, "p._n__x.t_1"},
	} {
		require.Equal(t, c.want, c.names.Data(id), "%+v", c.names)
	}
	require.Equal(t, "p.message", TopicNames{Prefix: "p", Delimiter: "-"}.Messages())
	require.Equal(t, "p-transaction", TopicNames{Prefix: "p", Delimiter: "-"}.Transactions())
	require.Equal(t, "__debezium-heartbeat-p", TopicNames{Prefix: "p", Delimiter: "-"}.Heartbeats())
	require.Equal(t, "h", TopicNames{Prefix: "p", HeartbeatName: "h"}.Heartbeats())
}
