// SPDX-License-Identifier: Apache-2.0

// Package mysqlserver finds, fetches and runs real MySQL and MariaDB servers for tests: on a free port, in a folder of
// their own, with a row-based binary log, and gone when the process that started them is gone.
//
// Find makes sure that a server's programs are there, New starts a Server. The package knows nothing of tests;
// internal/testdb has what they call.
package mysqlserver

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"freshet/internal/serverproc"
)

// Kind is which of the two servers.
type Kind string

// The kinds.
const (
	MySQL   Kind = "mysql"
	MariaDB Kind = "mariadb"
)

// User may do everything on every server, with Password. The password guards nothing but a test's folder.
const (
	User     = "freshet"
	Password = "Canary-4711"
	Database = "test" // an empty one that every server has
)

// Options say which server to start.
type Options struct {
	Programs Programs
	Settings map[string]string // options of the server without their dashes, over the defaults
}

// Server is a server that runs, or was killed. Its methods are for one goroutine at a time.
type Server struct {
	*serverproc.Home // its folder holds data/ and server.log
	opt              Options
	port             int
}

// defaults are the options every server begins with: small, with a whole binary log, and without waits for the disk.
var defaults = map[string]string{
	"bind-address": "127.0.0.1", "skip-name-resolve": "ON", "server-id": "1", "log-bin": "binlog",
	"binlog-row-image": "FULL", "binlog-row-metadata": "FULL", "sync-binlog": "0", "innodb-flush-log-at-trx-commit": "2",
	"innodb-flush-method": "nosync", "innodb-buffer-pool-size": "64M", "performance-schema": "OFF", "local-infile": "ON",
	"innodb-doublewrite": "OFF",
}

// own are the options that only one of the kinds has.
var own = map[Kind]map[string]string{
	MySQL: {
		"mysqlx": "OFF", "gtid-mode": "ON", "enforce-gtid-consistency": "ON", "log-replica-updates": "ON",
		"binlog-rows-query-log-events": "ON", "innodb-redo-log-capacity": "64M",
	},
	MariaDB: {
		"binlog-format": "ROW", "gtid-strict-mode": "ON", "gtid-domain-id": "0", "log-slave-updates": "ON",
		"binlog-annotate-row-events": "ON", "innodb-log-file-size": "64M",
	},
}

// New makes a server's folder and starts the server.
func New(ctx context.Context, o Options) (*Server, error) {
	home, err := serverproc.NewHome("freshet-" + string(o.Programs.Kind) + "-")
	if err != nil {
		return nil, err
	}
	s := &Server{Home: home, opt: o}
	if err = s.makeData(ctx); err == nil {
		err = s.firstStart(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", o.Programs.Kind, err), s.Close())
	}
	return s, nil
}

// firstStart picks the port. Between picking and binding somebody else may take it: then with another one.
func (s *Server) firstStart(ctx context.Context) error {
	const attempts = 5
	for n := 1; ; n++ {
		ports, err := serverproc.FreePorts(1)
		if err != nil {
			return err
		}
		s.port = ports[0]
		if err = s.Start(ctx); err == nil || n == attempts || !strings.Contains(err.Error(), "Address already in use") {
			return err
		}
	}
}

// Start starts a killed server on the port it had, and waits until it accepts connections.
func (s *Server) Start(ctx context.Context) error {
	settings := maps.Clone(defaults)
	maps.Copy(settings, own[s.opt.Programs.Kind])
	maps.Copy(settings, s.opt.Settings)
	settings["port"] = strconv.Itoa(s.port)
	settings["socket"] = s.Path("s.sock")
	settings["pid-file"] = s.Path("pid")
	args := s.opt.Programs.base(s.dataDir(), s.Dir)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "--"+name+"="+settings[name])
	}
	// The server lives until it is killed, not as long as this call.
	cmd := s.opt.Programs.command(context.WithoutCancel(ctx), args...)
	return s.Run(ctx, cmd, "127.0.0.1:"+strconv.Itoa(s.port))
}

// Host is the address the server listens on.
func (s *Server) Host() string { return "127.0.0.1" }

// Port is the same over restarts.
func (s *Server) Port() int { return s.port }

func (s *Server) dataDir() string { return s.Path("data") }
