// SPDX-License-Identifier: Apache-2.0

package doctor_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/config"
	"freshet/connect/connecttest"
	"freshet/internal/doctor"
)

var findings = []capture.Finding{
	{Level: capture.OK, Subject: "server version", Seen: "15.4", Detail: "not told where all is well"},
	{Level: capture.Warn, Subject: "max_slot_wal_keep_size", Seen: "-1", Detail: "the log can fill\nthe disk", Fix: "ALTER SYSTEM SET max_slot_wal_keep_size = '50GB';\nSELECT pg_reload_conf();"},
	{Level: capture.Fail, Subject: "wal_level", Seen: "replica", Fix: "ALTER SYSTEM SET wal_level = 'logical'; -- then restart", Property: "database.hostname"},
}

func TestReport(t *testing.T) {
	r := doctor.Report{Connector: "src", Findings: findings}
	require.True(t, r.Failed())
	require.False(t, doctor.Report{Findings: findings[:2]}.Failed())

	var table strings.Builder
	require.NoError(t, r.WriteTable(&table))
	require.Equal(t, `OK    server version          15.4
WARN  max_slot_wal_keep_size  -1
      the log can fill the disk
      fix: ALTER SYSTEM SET max_slot_wal_keep_size = '50GB';
           SELECT pg_reload_conf();
FAIL  wal_level               replica
      fix: ALTER SYSTEM SET wal_level = 'logical'; -- then restart
1 ok, 1 warning(s), 1 fault(s)
`, table.String())

	var text strings.Builder
	require.NoError(t, r.WriteJSON(&text))
	require.JSONEq(t, `{"connector":"src","ok":false,"findings":[
		{"level":"OK","subject":"server version","seen":"15.4","detail":"not told where all is well"},
		{"level":"WARN","subject":"max_slot_wal_keep_size","seen":"-1","detail":"the log can fill\nthe disk","fix":"ALTER SYSTEM SET max_slot_wal_keep_size = '50GB';\nSELECT pg_reload_conf();"},
		{"level":"FAIL","subject":"wal_level","seen":"replica","fix":"ALTER SYSTEM SET wal_level = 'logical'; -- then restart","property":"database.hostname"}]}`, text.String())
}

func TestCheck(t *testing.T) {
	_, log := connecttest.NewLog(t)
	source := &connecttest.Source{OnCheck: func(config.Values) ([]capture.Finding, error) { return findings, nil }}
	w := connecttest.NewWorker(t, log, source, nil, nil)
	r, err := doctor.Check(t.Context(), w, "src", map[string]string{"name": "src", "connector.class": "FileStreamSource", "topic": "t"})
	require.NoError(t, err)
	require.Equal(t, doctor.Report{Connector: "src", Findings: findings}, r)
	require.Zero(t, source.Opened(), "nothing is started")
	_, err = doctor.Check(t.Context(), w, "src", map[string]string{"name": "src", "connector.class": "FileStreamSource"})
	require.ErrorContains(t, err, `Missing required configuration "topic"`)
}
