// SPDX-License-Identifier: Apache-2.0

// Package connectserver runs real workers of Apache Kafka Connect for tests, with Debezium's connectors as plug-ins.
//
// Find makes sure that Java and the jars are there, New starts a worker of a properties file. It dies with this process.
package connectserver

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"freshet/internal/javaserver"
	"freshet/internal/serverproc"
)

// Version is that of Kafka Connect.
const Version = "4.1.1"

//go:embed pom.xml
var pom []byte

// Find makes sure that Java and the jars are there: found, or fetched.
func Find(ctx context.Context, log *slog.Logger) (javaserver.Programs, error) {
	return javaserver.Jars{Name: "connect-" + Version, Project: pom, Goals: [][]string{
		{"dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=target/libs"},
		{"dependency:unpack", "-DoutputDirectory=target/libs/plugins"},
	}}.Find(ctx, log)
}

// heapMB is enough for a worker with a few connectors.
const heapMB = 768

// Server is a worker that runs, or was stopped.
type Server struct {
	*serverproc.Home
	programs javaserver.Programs
	class    string
	args     []string
	url      string
}

// Distributed starts a worker of a group. The file is its worker.properties, whose listeners is an address of this machine;
// plugin.path is added to it.
func Distributed(ctx context.Context, p javaserver.Programs, file, listener string) (*Server, error) {
	home, err := serverproc.NewHome("freshet-connect-")
	if err != nil {
		return nil, err
	}
	s := &Server{Home: home, programs: p, class: "org.apache.kafka.connect.cli.ConnectDistributed", url: listener}
	text, err := os.ReadFile(file)
	if err == nil {
		own := s.Path("worker.properties")
		s.args = []string{own}
		plugins := "\nplugin.path=" + filepath.Join(p.Libs, "plugins") + "\nplugin.discovery=hybrid_warn\n"
		err = os.WriteFile(own, append(text, plugins...), 0o600)
	}
	if err == nil {
		err = s.Start(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start Kafka Connect: %w", err), s.Close())
	}
	return s, nil
}

// URL is where the worker's REST API is.
func (s *Server) URL() string { return s.url }

// Start starts a stopped worker and waits until its REST API listens.
func (s *Server) Start(ctx context.Context) error {
	u, err := url.Parse(s.url)
	if err != nil {
		return err
	}
	cmd := s.programs.Command(context.WithoutCancel(ctx), heapMB, append([]string{s.class}, s.args...)...)
	return s.Run(ctx, cmd, u.Host)
}

// patience is how long a worker may take to stop its connectors.
const patience = 60 * time.Second

// Stop ends the worker in order.
func (s *Server) Stop() { s.Home.Stop(patience) }

// Log are the lines of the worker's log that have one of the words in them.
func (s *Server) Log(words ...string) string {
	text, err := os.ReadFile(s.LogPath())
	if err != nil {
		return err.Error()
	}
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		for _, w := range words {
			if strings.Contains(line, w) {
				out.WriteString(line)
				break
			}
		}
	}
	return out.String()
}
