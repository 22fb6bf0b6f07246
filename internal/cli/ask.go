// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"freshet/connect/rest"
)

// The variables that stand for flags of commands that ask a worker.
const (
	envWorker    = "FRESHET_WORKER"
	envTokenFile = "FRESHET_TOKEN_FILE"
	envCAFile    = "FRESHET_CA_FILE"
)

// workerFlags say which worker to ask, and what it asks for.
type workerFlags struct{ url, tokenFile, caFile string }

// bind adds the flags to a command, and where persistent to those below it.
func (f *workerFlags) bind(a *app, cmd *cobra.Command, persistent bool, url, usage string) {
	flags := cmd.Flags()
	if persistent {
		flags = cmd.PersistentFlags()
	}
	flags.StringVar(&f.url, "worker", either(a.variable(envWorker), url), usage+", or "+envWorker)
	flags.StringVar(&f.tokenFile, "token-file", "", "file that holds a token of the worker's rest.auth.token.file, or "+envTokenFile)
	flags.StringVar(&f.caFile, "ca-file", "", "certificates that an https worker's is verified with, in PEM, or "+envCAFile+"; the system's unless given")
}

// options reads what the flags name.
func (f *workerFlags) options(a *app) (o rest.ClientOptions, err error) {
	if path := either(f.tokenFile, a.variable(envTokenFile)); path != "" {
		if o.Token, err = readToken(path); err != nil {
			return o, usagef("token file: %v", err)
		}
	}
	if path := either(f.caFile, a.variable(envCAFile)); path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return o, usagef("file of certificates: %v", err)
		}
		if o.Roots = x509.NewCertPool(); !o.Roots.AppendCertsFromPEM(text) {
			return o, usagef("file of certificates %q holds none in PEM", path)
		}
	}
	return o, nil
}

// client makes the client.
func (f *workerFlags) client(a *app) (*rest.Client, error) {
	o, err := f.options(a)
	if err != nil {
		return nil, err
	}
	c, err := rest.NewClient(f.url, o)
	if err != nil {
		return nil, usage(err)
	}
	return c, nil
}

// readToken is the first token of a file, which may be the worker's own: its last word.
func readToken(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	for line := range bytes.Lines(text) {
		fields := strings.Fields(string(line))
		switch {
		case len(fields) == 0 || strings.HasPrefix(fields[0], "#"):
		case len(fields) == 1:
			return fields[0], nil
		default: // a name before it, maybe a role behind it
			return fields[1], nil
		}
	}
	return "", fmt.Errorf("%q holds no token", path)
}

func either(flag, variable string) string {
	if flag != "" {
		return flag
	}
	return variable
}

// variable is a variable of the environment, "" for none.
func (a *app) variable(name string) string {
	for _, item := range a.Environ {
		if value, ok := strings.CutPrefix(item, name+"="); ok {
			return value
		}
	}
	return ""
}
