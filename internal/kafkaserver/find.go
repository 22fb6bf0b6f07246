// SPDX-License-Identifier: Apache-2.0

package kafkaserver

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
)

// Version is that of Apache Kafka.
const Version = "4.1.1"

// Programs are what a broker is started with.
type Programs struct {
	Java string // the program
	Libs string // folder of jars
}

// pom names the jars.
//
//go:embed pom.xml
var pom []byte

// Find makes sure that Java and the jars are there. Where this is root and there is apt-get, what is missing is installed;
// jars are fetched by Maven, once, into the user's cache folder.
func Find(ctx context.Context, log *slog.Logger) (Programs, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return Programs{}, fmt.Errorf("find the cache folder: %w", err)
	}
	p := Programs{Libs: filepath.Join(cache, "freshet", "kafka-"+Version)}
	if p.Java, err = program(ctx, log, "java", "default-jre-headless"); err != nil {
		return Programs{}, err
	}
	if _, err := os.Stat(p.Libs); err == nil {
		return p, nil
	}
	mvn, err := program(ctx, log, "mvn", "maven")
	if err != nil {
		return Programs{}, err
	}
	log.Info("fetching Kafka by Maven", "version", Version)
	return p, fetch(ctx, mvn, p.Libs)
}

// program looks for a program, and installs the package of it where that can be done.
func program(ctx context.Context, log *slog.Logger, name, pkg string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	apt, err := exec.LookPath("apt-get")
	if err != nil || os.Geteuid() != 0 {
		return "", fmt.Errorf("%s is not on PATH: install it (package %s)", name, pkg)
	}
	log.Info("installing by apt-get", "package", pkg)
	for _, args := range [][]string{
		{"-qq", "update"},
		{"-qq", "-y", "-o", "DPkg::Lock::Timeout=300", "--no-install-recommends", "install", pkg},
	} {
		cmd := exec.CommandContext(ctx, apt, args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("install %s: %w: %s", pkg, err, out[max(0, len(out)-1000):])
		}
	}
	return exec.LookPath(name)
}

// fetch fills a folder with the jars: in a folder beside it first, so that it is complete or not there.
func fetch(ctx context.Context, mvn, libs string) error {
	if err := os.MkdirAll(filepath.Dir(libs), 0o755); err != nil {
		return fmt.Errorf("create the folder of Kafka: %w", err)
	}
	work, err := os.MkdirTemp(filepath.Dir(libs), "fetch-")
	if err != nil {
		return fmt.Errorf("create the folder of Kafka: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := os.WriteFile(filepath.Join(work, "pom.xml"), pom, 0o600); err != nil {
		return fmt.Errorf("write the project of Kafka: %w", err)
	}
	cmd := exec.CommandContext(ctx, mvn, "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+filepath.Join(work, "libs"))
	cmd.Dir = work
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("fetch Kafka by Maven: %w: %s", err, out[max(0, len(out)-1000):])
	}
	if err := os.Rename(filepath.Join(work, "libs"), libs); err != nil && !errors.Is(err, os.ErrExist) {
		if _, there := os.Stat(libs); there != nil { // another process was faster
			return fmt.Errorf("keep the jars of Kafka: %w", err)
		}
	}
	return nil
}
