// SPDX-License-Identifier: Apache-2.0

package mysqlserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"freshet/internal/serverproc"
)

// fetch downloads a server's package with all it depends on, libc included, and unpacks it into a tree. apt works on
// folders of its own: nothing of the system changes, and it need not be root.
func fetch(ctx context.Context, k Kind, tree string, log *slog.Logger) error {
	mirror, err := debianMirror()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(tree), 0o755); err != nil {
		return fmt.Errorf("create the folder of fetched servers: %w", err)
	}
	unlock, err := serverproc.Lock(tree + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := os.Stat(tree); err == nil {
		return nil // another process was faster
	}
	log.Info("fetching the programs of a server", "server", string(k), "into", tree)
	work := tree + ".new"
	if err := os.RemoveAll(work); err != nil { // left by a process that was killed: we hold the lock
		return fmt.Errorf("remove a half-made tree: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := download(ctx, work, mirror, packages[k].suite, packages[k].pkg); err != nil {
		return err
	}
	if err := unpack(ctx, work); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(work, "tree"), tree); err != nil {
		return fmt.Errorf("finish the tree: %w", err)
	}
	return nil
}

// download fills cache/archives below work with packages.
func download(ctx context.Context, work, mirror, suite, pkg string) error {
	for _, dir := range []string{"lists/partial", "cache/archives/partial", "state", "parts", "tree"} {
		if err := os.MkdirAll(filepath.Join(work, dir), 0o755); err != nil {
			return fmt.Errorf("create the folder of packages: %w", err)
		}
	}
	conf := strings.ReplaceAll(`Dir::State "W/state"; Dir::State::lists "W/lists"; Dir::State::status "W/state/status";
Dir::Cache "W/cache"; Dir::Etc::sourcelist "W/sources.list"; Dir::Etc::sourceparts "W/parts"; Dir::Etc::preferencesparts "W/parts";
Dir::Etc::preferences "/dev/null"; APT::Install-Recommends "false"; Debug::NoLocking "1"; APT::Sandbox::User "root";
Acquire::Languages "none"; Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
`, "W/", work+"/")
	for name, text := range map[string]string{
		"apt.conf": conf, "state/status": "",
		"sources.list": "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] " + mirror + " " + suite + " main\n",
	} {
		if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("configure apt: %w", err)
		}
	}
	for _, args := range [][]string{{"-qq", "update"}, {"-qq", "-y", "--download-only", "install", pkg}} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "APT_CONFIG="+filepath.Join(work, "apt.conf"))
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w: %s", strings.Join(args, " "), err, out[max(0, len(out)-1000):])
		}
	}
	return nil
}

// notNeeded are packages that others depend on for their installation only.
var notNeeded = regexp.MustCompile(`^(debconf|perl|perl-base|perl-modules.*|libperl.*|init-system-helpers|adduser|passwd|login.*|dpkg|tar|` +
	`mariadb-common|mysql-common|sensible-utils|ucf|ssl-cert|openssl|netbase)_`)

func unpack(ctx context.Context, work string) error {
	debs, _ := filepath.Glob(filepath.Join(work, "cache", "archives", "*.deb")) // the only error is a bad pattern
	if len(debs) == 0 {
		return errors.New("apt-get downloaded nothing")
	}
	for _, deb := range debs {
		if notNeeded.MatchString(filepath.Base(deb)) {
			continue
		}
		if out, err := exec.CommandContext(ctx, "dpkg-deb", "-x", deb, filepath.Join(work, "tree")).CombinedOutput(); err != nil {
			return fmt.Errorf("unpack %s: %w: %s", filepath.Base(deb), err, out)
		}
	}
	return nil
}

var (
	deb822 = regexp.MustCompile(`(?m)^URIs:\s*(\S+/debian/?)(?:\s|$)`)
	oneURI = regexp.MustCompile(`(?m)^deb\s+(?:\[[^\]]*\]\s*)?(\S+/debian/?)\s`)
)

// debianMirror is the mirror that the system's apt is set up with.
func debianMirror() (string, error) {
	files, _ := filepath.Glob("/etc/apt/sources.list.d/*.sources")
	for _, path := range append(files, "/etc/apt/sources.list") {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		for _, re := range []*regexp.Regexp{deb822, oneURI} {
			if m := re.FindSubmatch(text); m != nil {
				return string(m[1]), nil
			}
		}
	}
	return "", errors.New("fetch it: this system's apt knows no mirror of Debian")
}
