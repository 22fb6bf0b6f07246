// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/internal/testdb"
)

// clientScript drives the API by the library of kafka-connect-py, which has no knowledge of freshet, and prints what it was
// told, a line of JSON each.
const clientScript = `
import json, sys, time
from kafka_connect import KafkaConnect
url, auth, folder = sys.argv[1:4]
c = KafkaConnect(url=url, auth=auth)
def tell(what, value): print(json.dumps([what, value]), flush=True)
def until(state):
    for _ in range(600):
        s = c.get_connector_status("lines")
        if s["connector"]["state"] == state and all(t["state"] == state for t in s["tasks"]):
            return s["connector"]["state"]
        time.sleep(0.05)
    return s
config = {"connector.class": "FileStreamSource", "tasks.max": "1", "file": folder + "/in.txt", "topic": "lines"}
tell("version", c.get_cluster_info()["version"])
tell("plugins", "org.apache.kafka.connect.file.FileStreamSourceConnector" in [p["class"] for p in c.list_connector_plugins()])
tell("errors", c.validate_connector_config("FileStreamSource", {"connector.class": "FileStreamSource"})["error_count"])
tell("created", c.create_connector({"name": "lines", "config": config})["name"])
tell("running", until("RUNNING"))
tell("config", c.get_connector_config("lines")["topic"])
tell("info", c.get_connector("lines")["type"])
tell("tasks", len(c.list_connector_tasks("lines")))
tell("task", c.get_connector_task_status("lines", 0)["state"])
for _ in range(600):
    if c.list_connector_topics("lines")["lines"]["topics"]: break
    time.sleep(0.05)
tell("topics", c.list_connector_topics("lines")["lines"]["topics"])
c.pause_connector("lines"); tell("paused", until("PAUSED"))
tell("list", c.list_connectors(state="PAUSED"))
c.resume_connector("lines"); tell("resumed", until("RUNNING"))
c.restart_connector("lines"); c.restart_connector("lines", include_tasks=True); c.restart_connector_task("lines", 0)
tell("restarted", until("RUNNING"))
tell("updated", c.update_connector("lines", dict(config, topic="other"))["config"]["topic"])
c.reset_connector_topics("lines")
c.stop_connector("lines"); tell("stopped", c.get_connector_status("lines")["connector"]["state"])
tell("expanded", sorted(c.list_connectors(expand="status")["lines"]))
c.delete_connector("lines"); tell("left", c.list_connectors())
`

// A client that nobody here wrote works: its library, and its command line.
func TestKafkaConnectPy(t *testing.T) {
	python := testdb.Python(t, "kafka-connect-py==1.0.0")
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "in.txt"), []byte("one\n"), 0o600))
	tokens := filepath.Join(dir, "tokens")
	require.NoError(t, os.WriteFile(tokens, []byte("a-token-of-24-characters\n"), 0o600))
	properties := filepath.Join(dir, "worker.properties")
	require.NoError(t, os.WriteFile(properties, []byte("listeners=http://127.0.0.1:0\ndata.dir="+filepath.Join(dir, "data")+"\nrest.auth.token.file="+tokens+"\n"), 0o600))
	w := ready(t, start(t, nil, "--log-format", "json", "standalone", properties))

	script := filepath.Join(dir, "client.py")
	require.NoError(t, os.WriteFile(script, []byte(clientScript), 0o600))
	const auth = "anybody:a-token-of-24-characters"
	out, err := exec.CommandContext(t.Context(), python, script, w.url, auth, dir).CombinedOutput()
	require.NoError(t, err, "%s", out)
	want := `["version", "4.1.1"]
["plugins", true]
["errors", 2]
["created", "lines"]
["running", "RUNNING"]
["config", "lines"]
["info", "source"]
["tasks", 1]
["task", "RUNNING"]
["topics", ["lines"]]
["paused", "PAUSED"]
["list", ["lines"]]
["resumed", "RUNNING"]
["restarted", "RUNNING"]
["updated", "other"]
["stopped", "STOPPED"]
["expanded", ["status"]]
["left", []]
`
	require.Equal(t, want, string(out))

	kc := func(args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), python, append([]string{"-c", "from kafka_connect.cli import cli; cli()", "--url", w.url, "--auth", auth}, args...)...)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	text, err := kc("create", "--config-data", `{"name":"by-kc","config":{"connector.class":"FileStreamSource","file":"`+filepath.Join(dir, "in.txt")+`","topic":"t"}}`)
	require.NoError(t, err, text)
	text, err = kc("status", "by-kc")
	require.NoError(t, err, text)
	require.Contains(t, text, "by-kc")
	text, err = kc("list")
	require.NoError(t, err, text)
	var names []string
	require.NoError(t, json.Unmarshal([]byte(text), &names), text)
	require.Equal(t, []string{"by-kc"}, names)
	text, err = kc("delete", "by-kc")
	require.NoError(t, err, text)
	text, _ = kc("get", "by-kc")
	require.Contains(t, text, "404", text)
	w.stop(t)
}
