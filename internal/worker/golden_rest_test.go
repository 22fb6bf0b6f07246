// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	filesource "freshet/capture/file"
	"freshet/connect"
	"freshet/connect/connecttest"
	"freshet/internal/loglevel"
	"freshet/internal/testdb"
	"freshet/sinks"
	filesink "freshet/sinks/file"
)

// root is the way to the module's folder, which tests leave.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", ".."))
	require.NoError(t, err)
	return dir
}

// What is wrong with topic.creation.* is told where the configuration is judged, in the words that the recorded worker has for it
// when the connector starts; so nothing is left behind that has failed.
func TestGoldenTopicCreation(t *testing.T) {
	r := connecttest.ReadRecording(t, root(t), "rest/validate-topic-creation")
	t.Chdir(t.TempDir())
	urls := runRecorded(t, "key.converter=org.apache.kafka.connect.json.JsonConverter\nvalue.converter=org.apache.kafka.connect.json.JsonConverter\noffset.storage.file.filename=offsets\n")
	p := connecttest.Replay{Recording: r, Workers: map[int]string{8185: urls[0]}, Own: map[int]connecttest.OwnAnswer{}}
	missing := `Missing required configuration "topic.creation.default.replication.factor" which has no default value.`
	invalid := func(messages ...string) string {
		text, err := json.Marshal(map[string]any{"error_code": 400, "message": connect.InvalidConfig(messages)})
		require.NoError(t, err)
		return string(text)
	}
	factor := func(n string) string {
		return "Invalid value " + n + " for configuration replication.factor: Replication factor must be positive and not larger than the number of brokers in the Kafka cluster, or -1 to use the broker's default"
	}
	for put, answer := range map[int]string{
		1:  invalid(missing),
		4:  invalid(missing, `Missing required configuration "topic.creation.default.partitions" which has no default value.`),
		7:  invalid(factor("0"), "Invalid value 0 for configuration partitions: Number of partitions must be positive, or -1 to use the broker's default"),
		10: invalid(factor("-2"), "Invalid value x for configuration partitions: Not a number of type INT"),
		13: invalid(missing, `Missing required configuration "topic.creation.default.partitions" which has no default value.`),
	} {
		p.Own[put-1] = connecttest.OwnAnswer{Status: 200, Why: "validation tells it"}
		p.Own[put] = connecttest.OwnAnswer{Status: 400, Body: answer, Why: "a configuration that cannot work is refused"}
		p.Own[put+1] = connecttest.OwnAnswer{Status: 404, Why: "nothing was created"}
	}
	p.Own[16] = connecttest.OwnAnswer{Status: 201, Why: "this one is the first that is created"}
	p.Own[21] = connecttest.OwnAnswer{Status: 200, Why: "validation tells what is wrong with group g, too"}
	p.Own[22] = connecttest.OwnAnswer{Status: 400, Why: "the same"}
	p.Normal = func(_ int, body any) { // the recording has only what concerns topic.creation of validations
		object, ok := body.(map[string]any)
		if configs, has := object["configs"].([]any); ok && has {
			var kept []any
			for _, c := range configs {
				if value := c.(map[string]any)["value"].(map[string]any); value["name"] == "topic.creation.groups" {
					c.(map[string]any)["definition"].(map[string]any)["documentation"] = ""
					kept = append(kept, c)
				}
			}
			object["configs"] = kept
		}
	}
	p.Run(t)
}

// What a worker with exactly-once sources was asked, step by step.
func TestGoldenExactlyOnceREST(t *testing.T) {
	broker := testdb.Kafka(t).Address()
	r := connecttest.ReadRecording(t, root(t), "eos/rest")
	for n := range r.Exchanges { // another test has the recorded topics
		e := &r.Exchanges[n]
		e.Request.Body = bytes.ReplaceAll(e.Request.Body, []byte("k1-eos-"), []byte("rest-eos-"))
		e.Response.Body = bytes.ReplaceAll(e.Response.Body, []byte("k1-eos-"), []byte("rest-eos-"))
	}
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("eos1.in", []byte("a\nb\nc\n"), 0o600))
	require.NoError(t, os.WriteFile("eos2.in", []byte("d\ne\n"), 0o600))
	properties := map[string]string{
		"bootstrap.servers": broker, "group.id": "golden-eos", "listeners": "http://127.0.0.1:0", "exactly.once.source.support": "enabled",
		"key.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter",
	}
	for _, kind := range []string{"config", "offset", "status"} {
		properties[kind+".storage.topic"], properties[kind+".storage.replication.factor"] = "golden-eos-"+kind, "1"
	}
	url := runGroup(t, properties)
	p := connecttest.Replay{
		Recording: r, Workers: map[int]string{8185: url},
		Own: map[int]connecttest.OwnAnswer{
			15: {Status: 200, Body: `{"offsets":[{"partition":{"filename":"eos1.in"},"offset":{"position":6}}]}`, Why: "a small batch.size does not hold lines back"},
			17: {Status: 200, Body: `{"message":"The offsets for this connector have been reset successfully"}`, Why: "the recorded worker never gets there"},
			18: {Status: 200, Body: `{"offsets":[]}`, Why: "the reset came through"},
		},
	}
	p.Run(t)
}

// runGroup runs a worker of a group until the test ends, and returns the address of its API once it is in its group.
func runGroup(t *testing.T, properties map[string]string) string {
	t.Helper()
	levels, err := loglevel.New("info")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan Running, 1), make(chan error, 1)
	go func() {
		ended <- RunGroup(ctx, Options{
			Properties: properties, Plugins: connect.NewPlugins([]capture.Connector{filesource.New()}, []sinks.Connector{filesink.New()}), Levels: levels,
			Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Ready: func(r Running) { ready <- r },
		})
	}()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	select {
	case r := <-ready:
		return r.URLs[0]
	case err := <-ended:
		ended <- err
		require.NoError(t, err)
		return ""
	}
}
