// SPDX-License-Identifier: Apache-2.0

package mysqlserver

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"freshet/internal/serverproc"
)

// createUser are the statements that make User, and Database.
const createUser = "create database " + Database + " character set utf8mb4;\ncreate user '" + User + "'@'127.0.0.1' identified by '" + Password + "';\n" +
	"grant all on *.* to '" + User + "'@'127.0.0.1' with grant option;\n"

// makeData copies the data folder from the template of these programs. Without its auto.cnf each copy gets an id of its
// own.
func (s *Server) makeData(ctx context.Context) error {
	template, err := s.opt.Programs.template(ctx)
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, "cp", "-a", "--reflink=auto", "--sparse=always", template, s.dataDir()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("copy the template: %w: %s", err, out)
	}
	if err := os.Remove(filepath.Join(s.dataDir(), "auto.cnf")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("copy the template: %w", err)
	}
	return nil
}

// template returns the initialised data folder of these programs, and makes it when it is missing. Test binaries run at
// the same time: a file lock lets one of them make it.
func (p Programs) template(ctx context.Context) (string, error) {
	base := filepath.Join(os.TempDir(), "freshet-mysql-"+strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(base, 0o700); err != nil {
		return "", fmt.Errorf("create the folder of templates: %w", err)
	}
	sum := sha256.Sum256([]byte(p.server + "\x00" + p.Version + "\x00" + createUser))
	dir := filepath.Join(base, string(p.Kind)+"-"+hex.EncodeToString(sum[:8]))
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
	initialise := p.initMySQL
	if p.Kind == MariaDB {
		initialise = p.initMariaDB
	}
	if err := initialise(ctx, half, base); err != nil {
		return "", err
	}
	if err := os.Rename(half, dir); err != nil {
		return "", fmt.Errorf("finish the template: %w", err)
	}
	return dir, nil
}

// initMySQL has the server make its tables.
func (p Programs) initMySQL(ctx context.Context, dir, tmp string) error {
	users := dir + ".sql"
	if err := os.WriteFile(users, []byte(createUser), 0o600); err != nil {
		return fmt.Errorf("initialise the data folder: %w", err)
	}
	defer func() { _ = os.Remove(users) }()
	return run(p.command(ctx, append(p.base(dir, tmp), "--initialize-insecure", "--init-file="+users, "--innodb-redo-log-capacity=64M")...))
}

// initMariaDB runs the scripts that come with the server: each statement on a line of its own.
func (p Programs) initMariaDB(ctx context.Context, dir, tmp string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("initialise the data folder: %w", err)
	}
	var sql bytes.Buffer
	sql.WriteString("create database mysql;\nuse mysql;\nset @auth_root_socket=NULL;\nset @skip_auth_anonymous=1;\nset @current_hostname='localhost';\n")
	prefix := filepath.Base(p.share())
	if _, err := os.Stat(filepath.Join(p.share(), "mysql_system_tables.sql")); err == nil {
		prefix = "mysql"
	}
	for _, name := range []string{"_system_tables.sql", "_performance_tables.sql", "_system_tables_data.sql"} {
		text, err := os.ReadFile(filepath.Join(p.share(), prefix+name))
		if err != nil {
			return fmt.Errorf("initialise the data folder: %w", err)
		}
		sql.Write(text)
	}
	sql.WriteString("\nflush privileges;\n" + createUser)
	cmd := p.command(ctx, append(p.base(dir, tmp), "--bootstrap", "--log-warnings=0", "--enforce-storage-engine=", "--innodb-log-file-size=64M")...)
	cmd.Stdin = &sql
	return run(cmd)
}

func run(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initialise the data folder: %w: %s", err, strings.TrimSpace(string(out[max(0, len(out)-2000):])))
	}
	return nil
}
