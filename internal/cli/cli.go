// SPDX-License-Identifier: Apache-2.0

// Package cli is the command line: flags and exit codes, one file a command. What a command does is in a package of its
// own. Data goes to standard output, everything else to standard error.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"freshet/connect"
	"freshet/internal/loglevel"
	"freshet/internal/worker"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // at run time
	exitUsage  = 2 // usage or configuration
	exitFault  = 3 // the doctor found a fault
)

// Env is what a process gives the command line.
type Env struct {
	Args     []string
	Environ  []string // in the form of os.Environ
	In       io.Reader
	Out, Err io.Writer
	Version  string // "" is what the build information says
}

// app is what all commands share. log is ready when a command runs.
type app struct {
	Env
	log    *slog.Logger
	levels *loglevel.Levels // of log

	logFormat, logLevel string
	profiles            profiles
	stopProfile         func() error // nil until a command has started
}

// commands lists the commands: one line each.
func (a *app) commands() []*cobra.Command {
	return []*cobra.Command{
		a.standalone(), a.distributed(),
		a.topics(), a.offsets(), a.snapshot(), a.dlq(),
		a.doctor(),
		a.replicate(),
		a.demo(),
		a.status(),
		a.health(),
		a.version(),
	}
}

// Execute runs a command line and returns the exit code.
func Execute(ctx context.Context, env Env) int {
	a := &app{Env: env}
	root := a.root()
	root.AddCommand(a.commands()...)
	root.SetArgs(env.Args)
	root.SetIn(env.In)
	root.SetOut(env.Out)
	root.SetErr(env.Err)
	err := root.ExecuteContext(ctx)
	if a.stopProfile != nil {
		err = errors.Join(err, a.stopProfile())
	}
	if err == nil {
		return exitOK
	}
	var coded *codedError
	if !errors.As(err, &coded) {
		coded = &codedError{exitFailed, err}
	}
	if coded.err != nil {
		fmt.Fprintf(env.Err, "freshet: %s\n", connect.RedactText(coded.err.Error()))
	}
	return coded.code
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "freshet",
		Short: "Change data capture in one binary: database → topics → database",
		Long: `freshet captures the changes of a database as Debezium events in topics and keeps
other databases equal to it. It takes configurations of Debezium and Kafka Connect.

Exit codes: 0 ok, 1 failure at run time, 2 usage or configuration, 3 the doctor
found a fault.`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q: `freshet --help` lists the commands", args[0])
			}
			return nil
		},
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.begin() },
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%v: `%s --help` lists the flags", err, cmd.CommandPath())
	})
	flags := root.PersistentFlags()
	flags.StringVar(&a.logFormat, "log-format", "text", "form of log lines on standard error: text or json")
	flags.StringVar(&a.logLevel, "log-level", "info", "least level of log lines: debug, info, warn, error or off; PUT /admin/loggers/NAME changes it")
	flags.StringVar(&a.profiles.cpu, "cpu-profile", "", "file for a CPU profile of this run, for go tool pprof")
	flags.StringVar(&a.profiles.allocs, "alloc-profile", "", "file for a profile of what this run allocates, for go tool pprof")
	flags.StringVar(&a.profiles.block, "block-profile", "", "file for a profile of what goroutines of this run wait for, for go tool pprof")
	return root
}

// begin does what every command needs first.
func (a *app) begin() error {
	if err := a.openLog(); err != nil {
		return err
	}
	var err error
	a.stopProfile, err = a.profiles.start()
	return err
}

// codedError is an error with the exit code it means. A nil err was told already.
type codedError struct {
	code int
	err  error
}

// Error is the cause.
func (e *codedError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

// Unwrap is the cause.
func (e *codedError) Unwrap() error { return e.err }

func usage(err error) error { return &codedError{exitUsage, err} }

func usagef(format string, args ...any) error { return usage(fmt.Errorf(format, args...)) }

// arguments refuses a wrong number of arguments.
func arguments(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || most >= 0 && len(args) > most {
			return usagef("wrong number of arguments; usage: %s", cmd.UseLine())
		}
		return nil
	}
}

// asUsage gives errors of configurations their exit code.
func asUsage(err error) error {
	var start *worker.StartError
	var refused *connect.Error
	if errors.As(err, &start) || errors.As(err, &refused) {
		return usage(err)
	}
	return err
}
