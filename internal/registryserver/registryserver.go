// SPDX-License-Identifier: Apache-2.0

// Package registryserver runs a real schema registry for tests: Apicurio Registry, which speaks Confluent's API, from Maven
// Central.
//
// Find makes sure that Java and the program are there, New starts a Server on a free port. It keeps what it is told in memory,
// and dies with this process. The package knows nothing of tests; internal/testdb has what they call.
package registryserver

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"freshet/internal/javaserver"
	"freshet/internal/serverproc"
)

// Version is that of Apicurio Registry.
const Version = "3.0.9"

// Programs are what a registry is started with.
type Programs = javaserver.Programs

//go:embed pom.xml
var pom []byte

// Find makes sure that Java and the program are there: found, or fetched.
func Find(ctx context.Context, log *slog.Logger) (Programs, error) {
	return javaserver.Jars{Name: "apicurio-registry-" + Version, Project: pom, Goals: [][]string{{
		"dependency:unpack", "-Dartifact=io.apicurio:apicurio-registry-app:" + Version + ":tar.gz:all", "-DoutputDirectory=target/libs",
	}}}.Find(ctx, log)
}

// Server is a registry that runs.
type Server struct {
	*serverproc.Home
	port int
}

// heap bounds the memory of a registry of tests.
const heap = "-Xmx256m"

// New starts a server and waits until it answers.
func New(ctx context.Context, p Programs) (*Server, error) {
	home, err := serverproc.NewHome("freshet-registry-")
	if err != nil {
		return nil, err
	}
	s := &Server{Home: home}
	ports, err := serverproc.FreePorts(1)
	if err == nil {
		s.port = ports[0]
		cmd := exec.CommandContext(context.WithoutCancel(ctx), p.Java, heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", // it lives until it is closed
			"-Dquarkus.http.host=127.0.0.1", "-Dquarkus.http.port="+strconv.Itoa(s.port),
			"-jar", filepath.Join(p.Libs, "apicurio-registry-app-"+Version+"-runner.jar"))
		err = s.Run(ctx, cmd, "127.0.0.1:"+strconv.Itoa(s.port))
	}
	if err == nil {
		err = s.ready(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the schema registry: %w", err), s.Close())
	}
	return s, nil
}

// ready waits until the API answers: the port is open before.
func (s *Server) ready(ctx context.Context) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		q, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+"/subjects", nil)
		if err != nil {
			return fmt.Errorf("ask the registry: %w", err)
		}
		answer, err := http.DefaultClient.Do(q)
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the registry does not answer: %w: %s", ctx.Err(), s.Tail())
		}
	}
}

// URL is the root of Confluent's API.
func (s *Server) URL() string { return "http://127.0.0.1:" + strconv.Itoa(s.port) + "/apis/ccompat/v7" }
