// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"freshet/internal/plugins"
	"freshet/internal/replicate"
	"freshet/internal/worker"
)

func (a *app) replicate() *cobra.Command {
	o := replicate.Options{}
	cmd := &cobra.Command{
		Use:   "replicate --from URL --to URL",
		Short: "Copy a PostgreSQL database into another and keep the copy equal",
		Long: `Copies the tables of one PostgreSQL database into another and applies every change
from then on, for ever; with --once it ends when the target has what the source had
at the start.

It creates a replication slot and a publication in the source, and tables with the
same columns and primary keys in the target. Topics and positions are in --data: the
same command goes on where it was. The source needs wal_level=logical and a role with
REPLICATION that owns the tables or may make publications of them.

The slot keeps the source's log for the next run; --clean leaves nothing behind but
the copy.`,
		Example: `  freshet replicate --from postgres://app@db1/shop --to postgres://app@db2/shop
  freshet replicate --from postgres://… --to postgres://… --tables 'public.persons,shop.*' --once`,
		Args: arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.From == "" || o.To == "" {
				return usagef("--from and --to are required: give them as postgres://USER@HOST:5432/DATABASE, with USER:PASSWORD for USER where a server wants one")
			}
			o.Out, o.Log, o.Plugins = a.Err, a.log, plugins.All()
			if f, ok := a.Err.(*os.File); ok && term.IsTerminal(int(f.Fd())) && a.logFormat == "text" {
				// The bars own the terminal: of the log, only what needs a human.
				o.Terminal, o.Log = true, slog.New(slog.NewTextHandler(a.Err, &slog.HandlerOptions{Level: slog.LevelWarn}))
			}
			err := replicate.Run(cmd.Context(), o)
			var mistake *replicate.UsageError
			var start *worker.StartError
			if errors.As(err, &mistake) || errors.As(err, &start) {
				return usage(err)
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.From, "from", "", "URL of the source, postgres://user:password@host:port/database")
	flags.StringVar(&o.To, "to", "", "URL of the target")
	flags.StringSliceVar(&o.Tables, "tables", nil, "tables to replicate, as schema.table with * for any letters (default all)")
	flags.StringVar(&o.Data, "data", worker.DefaultDataDir, "folder of topics and positions")
	flags.StringVar(&o.Listen, "listen", "", "address of the REST API, such as 127.0.0.1:8083 (default a free port)")
	flags.BoolVar(&o.Once, "once", false, "end when the target has what the source had at the start")
	flags.BoolVar(&o.Clean, "clean", false, "at the end drop slot and publication, and remove --data")
	return cmd
}
