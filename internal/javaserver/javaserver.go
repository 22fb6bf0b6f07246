// SPDX-License-Identifier: Apache-2.0

// Package javaserver finds what servers that are written in Java are run with for tests, from the jars of Maven Central.
//
// Jars are found or fetched once, into the user's cache folder; Command is how a class of them is run. The packages of single
// servers stand on it, such as internal/kafkaserver; internal/serverproc runs their commands.
package javaserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// Programs are what a server is started with.
type Programs struct {
	Java string // the program
	Libs string // folder of jars
}

// Jars are what a server needs, as a project of Maven names it.
type Jars struct {
	Name    string // of the folder, such as kafka-4.1.1
	Project []byte // pom.xml
	// Goals are run in the project's folder; the last one fills target/libs. None copies the dependencies there.
	Goals [][]string
}

// Find makes sure that Java and the jars are there. Where this is root and there is apt-get, what is missing is installed.
func (j Jars) Find(ctx context.Context, log *slog.Logger) (Programs, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return Programs{}, fmt.Errorf("find the cache folder: %w", err)
	}
	p := Programs{Libs: filepath.Join(cache, "freshet", j.Name)}
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
	log.Info("fetching by Maven", "what", j.Name)
	return p, j.fetch(ctx, mvn, p.Libs)
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
			return "", fmt.Errorf("install %s: %w: %s", pkg, err, tail(out))
		}
	}
	return exec.LookPath(name)
}

// fetch fills a folder with the jars: in a folder beside it first, so that it is complete or not there.
func (j Jars) fetch(ctx context.Context, mvn, libs string) error {
	if err := os.MkdirAll(filepath.Dir(libs), 0o755); err != nil {
		return fmt.Errorf("create the folder of %s: %w", j.Name, err)
	}
	work, err := os.MkdirTemp(filepath.Dir(libs), "fetch-")
	if err != nil {
		return fmt.Errorf("create the folder of %s: %w", j.Name, err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	if err := os.WriteFile(filepath.Join(work, "pom.xml"), j.Project, 0o600); err != nil {
		return fmt.Errorf("write the project of %s: %w", j.Name, err)
	}
	goals := j.Goals
	if goals == nil {
		goals = [][]string{{"dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=target/libs"}}
	}
	for _, goal := range goals {
		cmd := exec.CommandContext(ctx, mvn, append([]string{"-q", "-B"}, goal...)...)
		cmd.Dir = work
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("fetch %s by Maven: %w: %s", j.Name, err, tail(out))
		}
	}
	if err := os.Rename(filepath.Join(work, "target", "libs"), libs); err != nil && !errors.Is(err, os.ErrExist) {
		if _, there := os.Stat(libs); there != nil { // another process was faster
			return fmt.Errorf("keep the jars of %s: %w", j.Name, err)
		}
	}
	return nil
}

// Command runs a class of the jars, with at most so many megabytes of heap and a quick start.
func (p Programs) Command(ctx context.Context, heapMB int, args ...string) *exec.Cmd {
	flags := []string{
		"-Xms48m", "-Xmx" + strconv.Itoa(heapMB) + "m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Dlog4j2.level=WARN",
		"-cp", filepath.Join(p.Libs, "*"),
	}
	return exec.CommandContext(ctx, p.Java, append(flags, args...)...)
}

func tail(text []byte) string { return string(text[max(0, len(text)-2000):]) }
