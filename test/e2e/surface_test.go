// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A worker without a file takes the environment of the image debezium/connect, and asks for tokens as it says.
func TestWorkerOfTheEnvironment(t *testing.T) {
	dir := t.TempDir()
	tokens, secrets := filepath.Join(dir, "tokens"), filepath.Join(dir, "secrets.properties")
	require.NoError(t, os.WriteFile(tokens, []byte("anne a-token-of-24-characters\n"), 0o600))
	require.NoError(t, os.WriteFile(secrets, []byte("topic=t\npassword=canary-4711\n"), 0o600))
	for name, value := range map[string]string{
		"CONNECT_DATA_DIR": filepath.Join(dir, "data"), "CONNECT_LISTENERS": "http://127.0.0.1:0", "CONNECT_REST_AUTH_TOKEN_FILE": tokens,
		"CONNECT_CONFIG_PROVIDERS": "file", "CONNECT_CONFIG_PROVIDERS_FILE_CLASS": "org.apache.kafka.common.config.provider.FileConfigProvider",
		"CONNECT_LOG4J_LOGGER_ORG_APACHE_KAFKA_CONNECT_RUNTIME_REST": "DEBUG", "SHUTDOWN_TIMEOUT": "3000", "HEAP_OPTS": "-Xmx1G",
	} {
		t.Setenv(name, value)
	}
	w := ready(t, start(t, nil, "--log-format", "json", "standalone"))
	require.Len(t, w.logged("variable of the environment has no effect here: it is about a JVM or its plug-ins"), 1)

	status, body := w.ask(t, "GET", "/connectors", nil)
	require.Equal(t, 401, status, body)
	p := start(t, nil, "status", "--worker", w.url)
	require.Equal(t, 1, p.wait(t))
	require.Contains(t, p.err.String(), "--token-file or FRESHET_TOKEN_FILE")
	p = start(t, nil, "status", "--worker", w.url, "--token-file", tokens)
	require.Equal(t, 0, p.wait(t), p.err.String())
	t.Setenv("FRESHET_TOKEN_FILE", tokens)
	t.Setenv("FRESHET_WORKER", w.url)
	p = start(t, nil, "health")
	require.Equal(t, 0, p.wait(t), p.err.String())
	require.NotEmpty(t, w.logged("request"), "questions are logged at DEBUG, by the logger that the environment names")
	require.NotContains(t, w.err.String(), "a-token-of-24-characters")
	w.stop(t)
}
