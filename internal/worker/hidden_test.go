// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"context"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/config"
	"freshet/connect/connecttest"
	"freshet/internal/kafkaclient"
)

const (
	hiddenCanary = "canary-4711-hidden"
	hiddenText   = "${file:secrets.properties:canary}"
)

// providing are properties that take a canary from a file in the present folder.
func providing(t *testing.T) map[string]string {
	t.Helper()
	require.NoError(t, os.WriteFile("secrets.properties", []byte("canary="+hiddenCanary+"\nshort=x9\n"), 0o600))
	return map[string]string{"config.providers": "file", "config.providers.file.class": "org.apache.kafka.common.config.provider.FileConfigProvider"}
}

// propertiesOf are the names of all properties that a worker knows, those of clients with each prefix.
func propertiesOf(def config.Def) []string {
	names := map[string]bool{"key.converter.schemas.enable": true, "value.converter.schema.registry.url": true, "listeners.https.ssl.keystore.location": true, "no.such.property": true}
	for _, k := range def.Keys {
		if !strings.Contains(k.Name, "<") && !strings.HasPrefix(k.Name, "config.providers") {
			names[k.Name] = true
		}
	}
	for _, kind := range kafkaclient.Kinds {
		def := kind.Def()
		for _, k := range def.Keys {
			names[string(kind)+"."+k.Name] = true
			names[k.Name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// No mistake in a property of the worker tells what a reference in it stands for: it tells the reference.
func TestReferencesInProblems(t *testing.T) {
	t.Chdir(t.TempDir())
	base := providing(t)
	group := map[string]string{"group.id": "g"}
	for _, kind := range []string{"config", "offset", "status"} {
		group[kind+".storage.topic"] = "t-" + kind
	}
	told := 0
	for _, value := range []string{hiddenText, "a" + hiddenText, hiddenText + ",x", "${file:secrets.properties:short}"} {
		secret := hiddenCanary
		if strings.Contains(value, "short") {
			secret = "x9"
		}
		for _, def := range []config.Def{definition, groupDefinition} {
			for _, name := range propertiesOf(def) {
				properties := maps.Clone(base)
				properties["bootstrap.servers"] = "127.0.0.1:1"
				var err error
				var warnings []config.Problem
				if slices.ContainsFunc(def.Keys, func(k config.Key) bool { return k.Name == "group.id" }) {
					maps.Copy(properties, group)
					properties[name] = value
					var s groupSettings
					s, err = parseGroup(properties, nil)
					warnings = s.warnings
				} else {
					properties[name] = value
					var s settings
					s, err = parse(properties, nil)
					warnings = s.warnings
				}
				text := ""
				if err != nil {
					text = err.Error()
				}
				for _, p := range warnings {
					text += "\n" + p.Message
				}
				require.NotRegexp(t, `(^|[^0-9a-z])`+secret, text, name)
				if strings.Contains(text, "${file:secrets.properties:") {
					told++
				}
			}
		}
	}
	require.Greater(t, told, 100, "mistakes name the reference")
}

// What a worker runs into tells no more.
func TestReferencesInFaults(t *testing.T) {
	for _, c := range []struct {
		property, value string
		until           string // in the log; "" is the end of the worker
	}{
		{"bootstrap.servers", hiddenText + ":9092", "Kafka does not answer yet"},
		{"listeners", "http://" + hiddenText + ":1", ""},
		{"listeners", "http://127.0.0.1:" + hiddenText, ""},
		{"data.dir", "secrets.properties/" + hiddenText, ""},
		{"rest.auth.token.file", hiddenText + "/tokens", ""},
		{"offset.storage.file.filename", "secrets.properties/" + hiddenText, ""},
		{"admin.listeners", "http://" + hiddenText + ":1", ""},
	} {
		t.Run(c.property, func(t *testing.T) {
			t.Chdir(t.TempDir())
			o, logs := options(t, &connecttest.Source{})
			maps.Copy(o.Properties, providing(t))
			o.Properties[c.property] = c.value
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- Run(ctx, o) }()
			var err error
			if c.until == "" {
				err = <-ended
				require.Error(t, err)
				require.Contains(t, err.Error(), hiddenText)
				var start *StartError
				require.ErrorAs(t, err, &start)
				require.NotContains(t, start.Error(), hiddenCanary)
				require.NotContains(t, err.Error(), hiddenCanary)
			} else {
				require.Eventually(t, func() bool { return strings.Contains(logs.String(), c.until) }, 20*time.Second, time.Millisecond)
				cancel()
				require.NoError(t, <-ended)
				require.Contains(t, logs.String(), hiddenText)
			}
			require.NotContains(t, logs.String(), hiddenCanary)
		})
	}
}

// Traces of tasks that fail by what they have of the worker, and answers about them, tell the reference.
func TestReferencesInAnswers(t *testing.T) {
	t.Chdir(t.TempDir())
	o, logs := options(t, &connecttest.Source{})
	maps.Copy(o.Properties, providing(t))
	o.Properties["value.converter"] = "io.confluent.connect.avro.AvroConverter"
	o.Properties["value.converter.schema.registry.url"] = "http://" + hiddenText + ".invalid:1"
	ctx, cancel := context.WithCancel(t.Context())
	ready, ended := make(chan Running, 1), make(chan error, 1)
	o.Ready = func(r Running) { ready <- r }
	require.NoError(t, os.WriteFile("in", []byte("a\n"), 0o600))
	go func() { ended <- Run(ctx, o) }()
	r := <-ready
	in, err := filepath.Abs("in")
	require.NoError(t, err)
	_, _, err = r.Herder.Put(ctx, "c", map[string]string{"connector.class": "FileStreamSource", "file": in, "topic": "t"}, true, "")
	require.NoError(t, err)
	get := func(path string) string {
		resp, err := http.Get(r.URLs[0] + path)
		require.NoError(t, err)
		text, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return string(text)
	}
	require.Eventually(t, func() bool { return strings.Contains(get("/connectors/c/status"), hiddenText) }, 20*time.Second, 5*time.Millisecond)
	for _, path := range []string{"/connectors/c/status", "/connectors?expand=status", "/connectors/c/tasks/0/status", "/freshet/status", "/readyz"} {
		require.NotContains(t, get(path), hiddenCanary, path)
	}
	cancel()
	require.NoError(t, <-ended)
	require.NotContains(t, logs.String(), hiddenCanary)
	require.Contains(t, logs.String(), hiddenText)
}
