// SPDX-License-Identifier: Apache-2.0

package pgserver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"freshet/internal/serverproc"
)

// conf are the settings every server begins with: small, logical, and without waits for the disk.
//
// synchronous_commit stays on: without it logical decoding sees a commit only after the WAL writer's next round, up to
// 0.4 s later, and with fsync off a commit costs next to nothing anyway. wal_sender_timeout is short so that a reader
// that forgets its keep-alives is found out.
var conf = map[string]string{
	"fsync":                   "off",
	"full_page_writes":        "off",
	"synchronous_commit":      "on",
	"wal_level":               "logical",
	"max_wal_senders":         "20",
	"max_replication_slots":   "20",
	"wal_sender_timeout":      "5s",
	"max_wal_size":            "256MB",
	"shared_buffers":          "32MB",
	"max_connections":         "100",
	"timezone":                "UTC",
	"log_timezone":            "UTC",
	"logging_collector":       "off",
	"unix_socket_directories": "",
	"listen_addresses":        "127.0.0.1",
}

// makeData fills the data folder: copied from the template where there is one, else initialised. An existing data
// folder is kept as it is.
func (s *Server) makeData(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(s.DataDir(), "PG_VERSION")); err == nil {
		return nil
	}
	if s.opt.StandbyOf != nil {
		return s.makeStandby(ctx, s.opt.StandbyOf)
	}
	if s.opt.Template == "" {
		return s.initdb(ctx, s.DataDir())
	}
	template, err := s.template(ctx)
	if err != nil {
		return err
	}
	return s.copyData(ctx, "copy the template", template)
}

// copyData fills the data folder from another. The copy is made by the server's own user: the data is closed to others,
// and the copy must be the server's.
func (s *Server) copyData(ctx context.Context, doing, from string) error {
	args := []string{"-a", from, s.DataDir()}
	if sparseCopy {
		args = append([]string{"--reflink=auto", "--sparse=always"}, args...)
	}
	return s.runAsServer(ctx, doing, "cp", args...)
}

// makeStandby copies a primary's files and makes them a standby's. Not by pg_basebackup, which fetched programs lack.
func (s *Server) makeStandby(ctx context.Context, primary *Server) error {
	if err := primary.Stop(Fast); err != nil {
		return err
	}
	if err := s.copyData(ctx, "copy the primary's files", primary.DataDir()); err != nil {
		return err
	}
	if err := primary.Start(ctx); err != nil {
		return err
	}
	return s.writeFile("standby.signal", nil)
}

// template returns the initialised data folder for these programs and this password, and makes it when it is missing.
// Test binaries run at the same time: a file lock lets one of them make it.
func (s *Server) template(ctx context.Context) (string, error) {
	if err := os.MkdirAll(s.opt.Template, 0o755); err != nil {
		return "", fmt.Errorf("create the folder of templates: %w", err)
	}
	if err := giveToServer(s.opt.Template); err != nil {
		return "", err
	}
	version, err := exec.CommandContext(ctx, filepath.Join(s.bin, "postgres"), "--version").Output()
	if err != nil {
		return "", fmt.Errorf("ask postgres for its version: %w", err)
	}
	sum := sha256.Sum256([]byte(s.bin + "\x00" + string(version) + "\x00" + s.opt.Password))
	dir := filepath.Join(s.opt.Template, "data-"+hex.EncodeToString(sum[:8]))
	unlock, err := serverproc.Lock(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	// Made beside and renamed: a template is complete or absent.
	half := dir + ".new"
	if err := os.RemoveAll(half); err != nil {
		return "", fmt.Errorf("remove a half-made template: %w", err)
	}
	if err := s.initdb(ctx, half); err != nil {
		return "", err
	}
	if err := os.Rename(half, dir); err != nil {
		return "", fmt.Errorf("finish the template: %w", err)
	}
	return dir, nil
}

// initdb initialises a data folder. The password goes through a file, since arguments can be seen by everybody.
func (s *Server) initdb(ctx context.Context, dir string) error {
	pw, err := os.CreateTemp(s.dir, "pw-")
	if err != nil {
		return fmt.Errorf("initialise the data folder: %w", err)
	}
	defer func() { _ = os.Remove(pw.Name()) }()
	if _, err := pw.WriteString(s.opt.Password + "\n"); err != nil {
		return fmt.Errorf("initialise the data folder: %w", err)
	}
	if err := pw.Close(); err != nil {
		return fmt.Errorf("initialise the data folder: %w", err)
	}
	if err := giveToServer(pw.Name()); err != nil {
		return err
	}
	return s.runAsServer(ctx, "initialise the data folder", filepath.Join(s.bin, "initdb"),
		"-D", dir, "-U", User, "-A", "scram-sha-256", "--pwfile="+pw.Name(), "-E", "UTF8", "--locale=C", "-N")
}

// writeConf writes all settings anew; the port may have changed.
func (s *Server) writeConf() error {
	all := maps.Clone(conf)
	maps.Copy(all, s.opt.Settings)
	all["port"] = strconv.Itoa(s.port)
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&b, "%s = '%s'\n", name, strings.ReplaceAll(all[name], "'", "''"))
	}
	return s.writeFile("postgresql.conf", b.Bytes())
}

// writeHBA says who must give a password: everybody but User, and User too with PasswordAuth.
func (s *Server) writeHBA() error {
	method := "trust"
	if s.opt.PasswordAuth {
		method = "scram-sha-256"
	}
	var b bytes.Buffer
	for _, db := range []string{"all", "replication"} {
		fmt.Fprintf(&b, "host %s %s 127.0.0.1/32 %s\nhost %s all 127.0.0.1/32 scram-sha-256\n", db, User, method, db)
	}
	return s.writeFile("pg_hba.conf", b.Bytes())
}

func (s *Server) writeFile(name string, text []byte) error {
	path := filepath.Join(s.DataDir(), name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return giveToServer(path)
}

// runAsServer runs a program as the server's user, in a folder that user may be in.
func (s *Server) runAsServer(ctx context.Context, doing, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = s.dir
	attr, err := serverAttr()
	if err != nil {
		return err
	}
	cmd.SysProcAttr = attr
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", doing, err, bytes.TrimSpace(out))
	}
	return nil
}
