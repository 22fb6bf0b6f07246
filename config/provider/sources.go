// SPDX-License-Identifier: Apache-2.0

package provider

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"freshet/config"
)

// maxFile is the largest file that is read for a value.
const maxFile = 1 << 20

// roots confine a provider to folders and files; none allows every path. Links are followed before the comparison, so
// that one which leads out of a root is refused, and those that Kubernetes makes inside a mounted secret work.
type roots struct{ allowed []string }

func newRoots(params string, properties map[string]string) (roots, []config.Problem) {
	var r roots
	property := params + "allowed.paths"
	var problems []config.Problem
	refuse := func(path, why string) {
		problems = append(problems, config.Problem{Property: property, Message: fmt.Sprintf("Invalid value %s for configuration %s: Path %s %s", properties[property], property, path, why)})
	}
	for _, path := range config.SplitList(properties[property]) {
		if !filepath.IsAbs(path) {
			refuse(path, "is not absolute")
			continue
		}
		target, err := filepath.EvalSymlinks(path)
		if err != nil {
			refuse(path, "does not exist")
			continue
		}
		r.allowed = append(r.allowed, target)
	}
	if len(r.allowed) == 0 && len(problems) == 0 {
		problems = append(problems, config.Problem{Property: property, Warning: true, Message: fmt.Sprintf(
			"%s is not set: whoever may create connectors may have every file read that this process can read; name the folder of the secrets", property)})
	}
	return r, problems
}

// open finds the file or folder behind a path; false is one that is not allowed. As in Kafka that is no error: the
// reference stays unresolved.
func (r roots) open(path string) (string, bool) {
	if len(r.allowed) == 0 {
		return path, true
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", false
	}
	if target, err := filepath.EvalSymlinks(abs); err == nil {
		abs = target
	}
	return abs, slices.ContainsFunc(r.allowed, func(root string) bool {
		rest, err := filepath.Rel(root, abs)
		return err == nil && rest != ".." && !strings.HasPrefix(rest, ".."+string(filepath.Separator))
	})
}

// files is FileConfigProvider: a path is a file of Java properties.
type files struct{ roots }

func (f files) get(path string, keys []string) (map[string]string, error) {
	if path == "" {
		return nil, nil
	}
	file, ok := f.open(path)
	if !ok {
		return nil, nil
	}
	text, err := read(file)
	if err != nil {
		return nil, fmt.Errorf("Could not read properties from file %s: %w", path, cause(err)) //nolint:staticcheck // Kafka's words
	}
	all, err := config.ParseProperties(text)
	if err != nil {
		return nil, fmt.Errorf("Could not read properties from file %s: %w", path, err) //nolint:staticcheck // Kafka's words
	}
	out := map[string]string{}
	for _, k := range keys {
		if v, ok := all[k]; ok {
			out[k] = v
		}
	}
	return out, nil
}

// folders is DirectoryConfigProvider: a path is a folder, a key the name of a file in it, the value its whole content.
type folders struct{ roots }

func (f folders) get(path string, keys []string) (map[string]string, error) {
	if path == "" {
		return nil, nil
	}
	folder, ok := f.open(path)
	if !ok {
		return nil, nil
	}
	out := map[string]string{}
	for _, k := range keys {
		if k == "" || k != filepath.Base(k) || k == "." || k == ".." {
			continue // no name of a file in the folder
		}
		file, ok := f.open(filepath.Join(folder, k))
		if !ok {
			continue
		}
		info, err := os.Stat(file)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
			continue
		}
		text, err := read(file)
		if err != nil {
			return nil, fmt.Errorf("Could not read file %s: %w", filepath.Join(path, k), cause(err)) //nolint:staticcheck // Kafka's words
		}
		out[k] = string(text)
	}
	return out, nil
}

// read reads a file of at most maxFile bytes.
func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is no regular file")
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("it has %d bytes; %d are the most", info.Size(), maxFile)
	}
	return os.ReadFile(path)
}

// cause is an error of a file without the path, which the message has.
func cause(err error) error {
	var e *fs.PathError
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

// variables is EnvVarConfigProvider. The environment is that of the start of the process.
type variables map[string]string

func newVariables(params string, properties map[string]string, environ []string) (source, []config.Problem) {
	property := params + "allowlist.pattern"
	var allowed *regexp.Regexp
	if pattern := properties[property]; pattern != "" {
		var err error
		if allowed, err = regexp.Compile(`\A(?:` + pattern + `)\z`); err != nil {
			return nil, []config.Problem{{Property: property, Message: fmt.Sprintf("Invalid value %s for configuration %s: %v", pattern, property, err)}}
		}
	}
	v := variables{}
	for _, item := range environ {
		if name, value, ok := strings.Cut(item, "="); ok && (allowed == nil || allowed.MatchString(name)) {
			v[name] = value
		}
	}
	if allowed != nil {
		return v, nil
	}
	return v, []config.Problem{{Property: property, Warning: true, Message: fmt.Sprintf(
		"%s is not set: whoever may create connectors may have every variable of this process's environment used; name those that are meant, such as DB_.*", property)}}
}

func (v variables) get(path string, keys []string) (map[string]string, error) {
	if path != "" {
		return nil, fmt.Errorf("Path is not supported for EnvVarConfigProvider, invalid value '%s': write ${NAME_OF_PROVIDER:VARIABLE}", path) //nolint:staticcheck // Kafka's words
	}
	out := map[string]string{}
	for _, k := range keys {
		if value, ok := v[k]; ok {
			out[k] = value
		}
	}
	return out, nil
}
