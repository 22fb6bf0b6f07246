// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"freshet/config"
	"freshet/internal/offsetio"
)

// placeFlags say where positions are.
type placeFlags struct{ data, file, kafka, topic string }

func (f *placeFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.data, "data", "", "data folder; no worker may have it open")
	flags.StringVar(&f.file, "java-file", "", "offsets file of a standalone worker of Kafka Connect, which must not run")
	flags.StringVar(&f.kafka, "kafka", "", "worker.properties of a cluster: bootstrap.servers, security, offset.storage.topic")
	flags.StringVar(&f.topic, "topic", "", "offsets topic in Kafka, instead of offset.storage.topic: such as the offsets.storage.topic of a connector")
}

// use opens the place, runs f on it and closes it. create allows one that is not there yet.
func (f *placeFlags) use(ctx context.Context, a *app, create bool, do func(offsetsPlace) error) error {
	given := 0
	for _, flag := range []string{f.data, f.file, f.kafka} {
		if flag != "" {
			given++
		}
	}
	switch {
	case given != 1:
		return usagef("give one of --data, --java-file and --kafka")
	case f.topic != "" && f.kafka == "":
		return usagef("--topic is a topic in Kafka: give --kafka too")
	}
	p, err := f.open(ctx, a, create)
	var wrong *offsetio.PlaceError
	if errors.As(err, &wrong) {
		return usage(err)
	}
	if err != nil {
		return err
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(offsetsUsage(do(p)), p.Close(closing))
}

type offsetsPlace = offsetio.Place

func (f *placeFlags) open(ctx context.Context, a *app, create bool) (offsetio.Place, error) {
	switch {
	case f.data != "":
		return offsetio.OpenFolder(f.data, a.log)
	case f.file != "":
		return offsetio.OpenFile(f.file, create)
	}
	properties, err := config.ReadProperties(f.kafka)
	if err != nil {
		return nil, usage(err)
	}
	return offsetio.OpenTopic(ctx, properties, f.topic, create, a.log)
}

// offsetsUsage gives errors of documents their exit code.
func offsetsUsage(err error) error {
	var document *offsetio.DocumentError
	var conflict *offsetio.ConflictError
	if errors.As(err, &document) || errors.As(err, &conflict) {
		return usage(err)
	}
	return err
}

func (a *app) offsets() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "offsets",
		Short: "Carry the positions of source connectors from one place to another",
		Long: `Positions are in the offsets topic of a cluster (--kafka), in the offsets file of a
standalone worker of Kafka Connect (--java-file), or in a data folder (--data).
export writes them as JSON, import puts them into another place. Stop the connectors
before: a running one would overwrite what is imported.

  freshet offsets export --java-file connect.offsets > offsets.json
  freshet offsets import --kafka worker.properties offsets.json`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q: `freshet offsets --help` lists the commands", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.offsetsExport(), a.offsetsImport())
	return cmd
}

func (a *app) offsetsExport() *cobra.Command {
	var f placeFlags
	var output string
	cmd := &cobra.Command{
		Use:   "export [CONNECTOR...]",
		Short: "Write positions as JSON, of all connectors or of those that are named",
		Long: `Writes {"NAME":{"offsets":[{"partition":{...},"offset":{...}}]}}: for each connector what
GET /connectors/NAME/offsets answers.`,
		Args: arguments(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.use(cmd.Context(), a, false, func(p offsetsPlace) error {
				out := a.Out
				var file *os.File
				if output != "" {
					var err error
					if file, err = os.Create(output); err != nil {
						return usage(err)
					}
					out = file
				}
				n, err := offsetio.Export(cmd.Context(), p, args, out)
				if file != nil {
					err = errors.Join(err, file.Sync(), file.Close())
				}
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(a.Err, "positions of %d connector(s) exported\n", n)
				return err
			})
		},
	}
	f.add(cmd)
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write, instead of standard output")
	return cmd
}

func (a *app) offsetsImport() *cobra.Command {
	var f placeFlags
	var o offsetio.ImportOptions
	cmd := &cobra.Command{
		Use:   "import FILE [CONNECTOR...]",
		Short: "Put exported positions into a place, of all connectors or of those that are named",
		Long: `Puts the positions of FILE, - for standard input, into a place. Those that are there
already are left alone, so that it may be repeated after an interruption. Where other
positions of the same partitions are there, nothing is changed without --force.`,
		Args: arguments(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := a.In
			if args[0] != "-" {
				file, err := os.Open(args[0])
				if err != nil {
					return usage(err)
				}
				defer func() { _ = file.Close() }() // it was only read
				in = io.Reader(file)
			}
			o.Names = args[1:]
			return f.use(cmd.Context(), a, !o.DryRun, func(p offsetsPlace) error {
				result, err := offsetio.Import(cmd.Context(), p, in, o)
				if err != nil {
					return err
				}
				did := "imported"
				if o.DryRun {
					did = "to be imported"
				}
				_, err = fmt.Fprintf(a.Err, "%d position(s) %s, %d were there already\n", result.Written, did, result.Same)
				return err
			})
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&o.Force, "force", false, "replace other positions of the same partitions")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "say what would be done, and change nothing")
	return cmd
}
