// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"freshet/capture"
	"freshet/connect"
	"freshet/connect/rest"
)

// snapshot asks a running worker for snapshots of tables, while their connector streams.
func (a *app) snapshot() *cobra.Command {
	var f workerFlags
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "Read tables again while a connector streams",
		Long: `Asks the running worker. An incremental snapshot reads tables in windows between the
changes that are streamed, and never overtakes a newer change; a blocking one lets the
stream wait. Snapshots of one connector run one after the other and go on after a
restart.`,
		Example: `  freshet snapshot start persons-source public.persons --where 'public.persons=id > 1000'
  freshet snapshot list persons-source`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q: `freshet snapshot --help` lists the commands", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f.bind(a, cmd, true, rest.DefaultListener, "URL of the worker to ask")
	client := func() (*rest.Client, error) { return f.client(a) }
	cmd.AddCommand(
		a.snapshotStart(client), a.snapshotList(client),
		a.snapshotAct(client, "pause", "Hold the snapshots of a connector back", func(c *rest.Client, cmd *cobra.Command, connector, id string) error {
			return c.PauseSnapshot(cmd.Context(), connector, id, true)
		}),
		a.snapshotAct(client, "resume", "Let them go on", func(c *rest.Client, cmd *cobra.Command, connector, id string) error {
			return c.PauseSnapshot(cmd.Context(), connector, id, false)
		}),
		a.snapshotAct(client, "cancel", "Cancel a snapshot, or forget one that has ended", func(c *rest.Client, cmd *cobra.Command, connector, id string) error {
			return c.CancelSnapshot(cmd.Context(), connector, id)
		}),
	)
	return cmd
}

type clientOf func() (*rest.Client, error)

func (a *app) snapshotStart(client clientOf) *cobra.Command {
	var r connect.SnapshotRequest
	var where []string
	cmd := &cobra.Command{
		Use:   "start CONNECTOR TABLE...",
		Short: "Ask for a snapshot of tables: names or regular expressions of schema.table",
		Args:  arguments(2, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Tables = args[1:]
			for _, w := range where {
				table, condition, ok := strings.Cut(w, "=")
				if !ok || table == "" || condition == "" {
					return usagef("--where %q is not of the form TABLE=CONDITION", w)
				}
				if r.Conditions == nil {
					r.Conditions = map[string]string{}
				}
				r.Conditions[table] = condition
			}
			c, err := client()
			if err != nil {
				return err
			}
			job, err := c.StartSnapshot(cmd.Context(), args[0], r)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(a.Out, job.ID)
			return err
		},
	}
	cmd.Flags().StringVar(&r.Type, "type", "incremental", "incremental or blocking")
	cmd.Flags().StringVar(&r.Surrogate, "surrogate-key", "", "column to page by instead of the key")
	cmd.Flags().StringVar(&r.ID, "id", "", "id of the snapshot (default: a new one, which is printed)")
	cmd.Flags().StringArrayVar(&where, "where", nil, "TABLE=CONDITION: only these rows; for a blocking snapshot TABLE=SELECT, the whole statement")
	return cmd
}

func (a *app) snapshotList(client clientOf) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "list CONNECTOR",
		Short: "List the snapshots of a connector, the initial one too, with their tables",
		Args:  arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output != "table" && output != "json" {
				return usagef("--output %q is none of table, json", output)
			}
			c, err := client()
			if err != nil {
				return err
			}
			jobs, err := c.Snapshots(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if output == "json" {
				return json.NewEncoder(a.Out).Encode(jobs)
			}
			return a.writeSnapshots(jobs)
		},
	}
	cmd.Flags().StringVar(&output, "output", "table", "form of the list: table or json")
	return cmd
}

func (a *app) writeSnapshots(jobs []capture.SnapshotJob) error {
	w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tTYPE\tSTATE\tROWS\tTABLES LEFT\tCREATED\tERROR")
	for _, j := range jobs {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\t%s\n", j.ID, j.Type, j.State, j.Rows, strings.Join(j.Left, ","), j.Created.Format(time.RFC3339), j.Error)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for i := range jobs {
		if len(jobs[i].Progress) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s\n", jobs[i].ID)
		for j := range jobs[i].Progress {
			t := &jobs[i].Progress[j]
			fmt.Fprintf(w, "  %s\t%s\n", t.Table, tableProgress(t))
		}
	}
	return w.Flush()
}

func (a *app) snapshotAct(client clientOf, verb, short string, act func(c *rest.Client, cmd *cobra.Command, connector, id string) error) *cobra.Command {
	return &cobra.Command{
		Use:   verb + " CONNECTOR ID",
		Short: short,
		Args:  arguments(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := client()
			if err != nil {
				return err
			}
			return act(c, cmd, args[0], args[1])
		},
	}
}
