// SPDX-License-Identifier: Apache-2.0

package worker

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"freshet/capture"
	"freshet/config"
	"freshet/connect"
	"freshet/connect/connecttest"
	"freshet/connect/rest"
	"freshet/internal/store"
	"freshet/internal/testdb"
	"freshet/sinks"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"), testdb.IgnoreKafka())
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name       string
		properties map[string]string
		want       string // of the error, "" for none
		warnings   []string
		check      func(t *testing.T, s settings)
	}{
		{"nothing given", nil, "", nil, func(t *testing.T, s settings) {
			require.Equal(t, "./freshet-data", s.dataDir)
			require.Equal(t, []string{"http://127.0.0.1:8083"}, s.listeners)
			require.Equal(t, 7*24*time.Hour, s.log.RetentionTime)
			require.Equal(t, int64(-1), s.log.RetentionBytes)
			require.Equal(t, int32(1), s.log.DefaultPartitions)
			require.Equal(t, 5*time.Second, s.connect.DrainTimeout)
		}},
		{"everything given", map[string]string{
			"data.dir": "/d", "listeners": "http://127.0.0.1:1,http://127.0.0.1:2", "rest.allowed.hosts": "a,b", "rest.advertised.host.name": "w", "rest.advertised.port": "9",
			"retention.ms": "-1", "retention.bytes": "100", "num.partitions": "3", "task.shutdown.graceful.timeout.ms": "250",
		}, "", nil, func(t *testing.T, s settings) {
			require.Equal(t, "/d", s.dataDir)
			require.Len(t, s.listeners, 2)
			require.Equal(t, []string{"a", "b", "w"}, s.hosts)
			require.Equal(t, "w:9", s.advertise)
			require.Negative(t, s.log.RetentionTime)
			require.Equal(t, int64(100), s.log.RetentionBytes)
			require.Equal(t, int32(3), s.log.DefaultPartitions)
			require.Equal(t, 250*time.Millisecond, s.connect.DrainTimeout)
		}},
		{"of Kafka Connect", map[string]string{
			"key.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter": "org.apache.kafka.connect.json.JsonConverter", "value.converter.schemas.enable": "false",
			"offset.storage.file.filename": "o", "offset.flush.interval.ms": "10000", "plugin.path": "/p", "producer.linger.ms": "5", "fiel": "x",
		}, "", []string{"offset.flush.interval.ms", "plugin.path", "fiel", "producer.linger.ms"}, nil},
		{"Kafka", map[string]string{
			"bootstrap.servers": "http://127.0.0.1:9092,b:9092", "producer.linger.ms": "5", "producer.batch.size": "100000", "producer.acks": "1",
			"consumer.max.poll.records": "10", "admin.client.id": "a", "security.protocol": "PLAINTEXT", "producer.fiel": "x", "request.timeout.ms": "1000",
		}, "", []string{
			"producer.batch.size", "producer.fiel", "producer.acks", "consumer.max.poll.records", "bootstrap.servers",
		}, func(t *testing.T, s settings) {
			require.NotNil(t, s.clients)
			o, err := s.clients.Options(nil, "")
			require.NoError(t, err)
			require.Equal(t, []string{"127.0.0.1:9092", "b:9092"}, o.Brokers)
		}},
		{"Kafka, as it was written", map[string]string{"bootstrap.servers": "b:9092", "security.protocol": "PLAIN"}, "Invalid value PLAIN for configuration security.protocol: String must be one of", nil, nil},
		{"Kafka, with its prefix", map[string]string{"bootstrap.servers": "b:9092", "admin.security.protocol": "PLAIN"}, "Invalid value PLAIN for configuration admin.security.protocol: String must be one of", nil, nil},
		{"Kafka client", map[string]string{"bootstrap.servers": "b:9092", "producer.compression.type": "best"}, "Invalid value best for configuration producer.compression.type: Value must be one of none, gzip", nil, nil},
		{"not a number", map[string]string{"offset.flush.interval.ms": "soon"}, "Invalid value soon for configuration offset.flush.interval.ms: Not a number of type LONG", nil, nil},
		{"converter", map[string]string{"value.converter": "com.example.Nope"}, "Invalid value com.example.Nope for configuration value.converter: Class com.example.Nope could not be found.", nil, nil},
		{"partitions", map[string]string{"num.partitions": "0"}, "Invalid value 0 for configuration num.partitions: Value must be at least 1", nil, nil},
		{"no listener", map[string]string{"listeners": ""}, "listeners is empty", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := parse(c.properties, nil)
			if c.want != "" {
				require.ErrorContains(t, err, c.want)
				return
			}
			require.NoError(t, err)
			var names []string
			for _, p := range s.warnings {
				names = append(names, p.Property)
			}
			require.Equal(t, c.warnings, names)
			if c.check != nil {
				c.check(t, s)
			}
		})
	}
}

func options(t *testing.T, source *connecttest.Source) (Options, *connecttest.Logs) {
	t.Helper()
	logs := &connecttest.Logs{}
	return Options{
		Properties: map[string]string{"data.dir": filepath.Join(t.TempDir(), "data"), "listeners": "http://127.0.0.1:0"},
		Plugins:    connect.NewPlugins([]capture.Connector{source}, []sinks.Connector{&connecttest.Sink{}}),
		Log:        slog.New(slog.NewTextHandler(logs, nil)),
	}, logs
}

var file = config.File{Name: "c", Config: map[string]string{"name": "c", "connector.class": "FileStreamSource", "topic": "t", "file": "x", "database.password": "canary-4711"}}

// A worker serves its API, ends with its context, closes its readers, and leaves a folder that another can open.
func TestRun(t *testing.T) {
	closed := 0
	o, logs := options(t, &connecttest.Source{OnClose: func() { closed++ }})
	o.Connectors = []config.File{file}
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		ready := make(chan Running, 1)
		o.Ready = func(r Running) { ready <- r }
		ended := make(chan error, 1)
		go func() { ended <- Run(ctx, o) }()
		r := <-ready
		c, err := rest.NewClient(r.URLs[0], rest.ClientOptions{})
		require.NoError(t, err)
		_, err = c.Ping(ctx, 5*time.Second)
		require.NoError(t, err)
		deadline := time.Now().Add(10 * time.Second)
		for {
			s, err := r.Herder.Status(ctx, "c")
			require.NoError(t, err)
			require.Equal(t, r.URLs[0], "http://"+s.Connector.WorkerID)
			if s.Tasks[0].State == connect.Running {
				break
			}
			require.False(t, time.Now().After(deadline))
			<-time.After(time.Millisecond)
		}
		cancel()
		require.NoError(t, <-ended)
	}
	require.Equal(t, 2, closed)
	require.Contains(t, logs.String(), "worker is ready")
	require.NotContains(t, logs.String(), "canary-4711")
}

func TestRunDoesNotStart(t *testing.T) {
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	for _, c := range []struct {
		name   string
		change func(t *testing.T, o *Options)
		want   string
	}{
		{"property", func(_ *testing.T, o *Options) { o.Properties["retention.ms"] = "x" }, "configuration retention.ms: Not a number"},
		{"port", func(_ *testing.T, o *Options) { o.Properties["listeners"] = "http://" + taken.Addr().String() }, "another process has port"},
		{"open to all", func(_ *testing.T, o *Options) { o.Properties["listeners"] = "http://0.0.0.0:0" }, "--insecure"},
		{"folder in use", func(t *testing.T, o *Options) {
			db, err := store.Open(o.Properties["data.dir"], store.Options{})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
		}, "data folder"},
		{"folder below a file", func(_ *testing.T, o *Options) { o.Properties["data.dir"] = "/dev/null/data" }, `data folder "/dev/null/data"`},
		{"unknown class", func(_ *testing.T, o *Options) {
			o.Connectors = []config.File{{Name: "c", Config: map[string]string{"name": "c", "connector.class": "nope"}}}
		}, `connector "c": Failed to find any class that implements Connector and which name matches nope`},
		{"two of a name", func(_ *testing.T, o *Options) { o.Connectors = []config.File{file, file} }, `connector "c": Connector c already exists`},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, _ := options(t, &connecttest.Source{})
			c.change(t, &o)
			err := Run(t.Context(), o)
			var start *StartError
			require.ErrorAs(t, err, &start)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestClusterID(t *testing.T) {
	require.Len(t, clusterID("/a"), 22)
	require.Equal(t, clusterID("/a"), clusterID("/a/."))
	require.NotEqual(t, clusterID("/a"), clusterID("/b"))
}
