// SPDX-License-Identifier: Apache-2.0

// Package kafkaserver runs a real Apache Kafka for tests: one broker that is its own controller, from the jars of Maven
// Central.
//
// Find makes sure that Java and the jars are there, New starts a Server on free ports, with a folder of its own. It dies with
// this process. The package knows nothing of tests; internal/testdb has what they call.
package kafkaserver

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"freshet/internal/serverproc"
)

// Options say how a server differs from the default one.
type Options struct {
	Programs Programs
	Settings map[string]string // server.properties
	// Listeners are further security protocols, such as SASL_PLAINTEXT; each has a listener of its name.
	Listeners []string
}

// Server is a broker that runs, or was stopped.
type Server struct {
	*serverproc.Home
	o      Options
	port   int
	others map[string]int // ports of further listeners
}

// New starts a server.
func New(ctx context.Context, o Options) (*Server, error) {
	home, err := serverproc.NewHome("freshet-kafka-")
	if err != nil {
		return nil, err
	}
	s := &Server{Home: home, o: o}
	if err = s.prepare(ctx); err == nil {
		err = s.Start(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start Kafka: %w", err), s.Close())
	}
	return s, nil
}

// prepare writes the configuration and formats the folder.
func (s *Server) prepare(ctx context.Context) error {
	ports, err := serverproc.FreePorts(2 + len(s.o.Listeners))
	if err != nil {
		return err
	}
	s.port, s.others = ports[0], map[string]int{}
	more := ""
	for i, protocol := range s.o.Listeners {
		s.others[protocol] = ports[2+i]
		more += fmt.Sprintf(",%s://127.0.0.1:%d", protocol, ports[2+i])
	}
	settings := map[string]string{
		"process.roles": "broker,controller", "node.id": "1",
		"listeners":                                        fmt.Sprintf("PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d", ports[0], ports[1]) + more,
		"advertised.listeners":                             "PLAINTEXT://127.0.0.1:" + strconv.Itoa(ports[0]) + more,
		"listener.security.protocol.map":                   "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL",
		"controller.listener.names":                        "CONTROLLER",
		"controller.quorum.voters":                         "1@127.0.0.1:" + strconv.Itoa(ports[1]),
		"log.dirs":                                         s.Path("data"),
		"offsets.topic.replication.factor":                 "1",
		"offsets.topic.num.partitions":                     "1",
		"transaction.state.log.replication.factor":         "1",
		"transaction.state.log.min.isr":                    "1",
		"transaction.state.log.num.partitions":             "1",
		"share.coordinator.state.topic.replication.factor": "1",
		"share.coordinator.state.topic.min.isr":            "1",
		"group.initial.rebalance.delay.ms":                 "0",
		"group.min.session.timeout.ms":                     "1000",
		"log.cleaner.dedupe.buffer.size":                   "4194304",
		"log.index.size.max.bytes":                         "65536",
		"num.network.threads":                              "2",
		"num.io.threads":                                   "2",
		"broker.session.timeout.ms":                        "2000",
		"broker.heartbeat.interval.ms":                     "300",
	}
	maps.Copy(settings, s.o.Settings)
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "%s=%s\n", name, settings[name])
	}
	if err := os.WriteFile(s.config(), []byte(text.String()), 0o600); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails
	id[0] &= 0x7f           // Kafka reads an id that begins with '-' as an option
	format := s.o.Programs.Command(ctx, heapMB, "kafka.tools.StorageTool", "format", "-t", base64.RawURLEncoding.EncodeToString(id[:]), "-c", s.config())
	if out, err := format.CombinedOutput(); err != nil {
		return fmt.Errorf("format its folder: %w: %s", err, out[max(0, len(out)-1000):])
	}
	return nil
}

func (s *Server) config() string { return s.Path("server.properties") }

// heapMB is enough for a broker of tests.
const heapMB = 320

// Address is host and port of the broker, the same over stops and starts.
func (s *Server) Address() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

// AddressOf is host and port of a further listener.
func (s *Server) AddressOf(protocol string) string {
	return "127.0.0.1:" + strconv.Itoa(s.others[protocol])
}

// Programs are those that the server was started with.
func (s *Server) Programs() Programs { return s.o.Programs }

// Start starts a stopped server and waits until it answers.
func (s *Server) Start(ctx context.Context) error {
	cmd := s.o.Programs.Command(context.WithoutCancel(ctx), heapMB, "kafka.Kafka", s.config()) // it lives until it is stopped, not as long as a call
	return s.Run(ctx, cmd, s.Address())
}
