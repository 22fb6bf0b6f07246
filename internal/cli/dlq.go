// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"freshet/connect"
	"freshet/connect/rest"
)

// dlq asks a running worker for the records in the dead letter queues of its sinks.
func (a *app) dlq() *cobra.Command {
	var f workerFlags
	cmd := &cobra.Command{
		Use:   "dlq",
		Short: "Look at dead letters, send them again, or give them up",
		Long: `Asks the running worker. A sink with errors.tolerance=all and
errors.deadletterqueue.topic.name puts records that fail there and goes on. Headers
tell why, with errors.deadletterqueue.context.headers.enable=true.

A retry takes a record through the sink's converters and transforms into the target.
Where the topic that it came from has a newer record of its key by now it is left
alone: the older one would replace what the newer one has brought.`,
		Example: `  freshet dlq list persons-jdbc-sink
  freshet dlq show persons-jdbc-sink --cause "violates not-null"
  freshet dlq retry persons-jdbc-sink --all
  freshet dlq discard persons-jdbc-sink 0@12 --reason "test data"`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q: `freshet dlq --help` lists the commands", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f.bind(a, cmd, true, rest.DefaultListener, "URL of the worker to ask")
	client := func() (*rest.Client, error) { return f.client(a) }
	cmd.AddCommand(a.dlqList(client), a.dlqShow(client), a.dlqRetry(client), a.dlqDiscard(client))
	return cmd
}

// dlqOutput is how a list is written.
func dlqOutput(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVar(output, "output", "table", "form of the list: table or json")
}

func (a *app) dlqList(client clientOf) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "list CONNECTOR",
		Short: "List the causes of open dead letters, the most frequent first",
		Args:  arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := client()
			if err != nil {
				return err
			}
			groups, err := c.LetterGroups(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			switch output {
			case "json":
				return json.NewEncoder(a.Out).Encode(groups)
			case "table":
			default:
				return usagef("--output %q is none of table, json", output)
			}
			if len(groups) == 0 {
				_, err := fmt.Fprintln(a.Out, "no open dead letters")
				return err
			}
			w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "RECORDS\tFIRST\tLAST\tSINCE\tUNTIL\tCAUSE")
			for _, g := range groups {
				fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", g.Count, g.First, g.Last, g.Since.Format(time.RFC3339), g.Until.Format(time.RFC3339), g.Cause)
			}
			return w.Flush()
		},
	}
	dlqOutput(cmd, &output)
	return cmd
}

func (a *app) dlqShow(client clientOf) *cobra.Command {
	var output, cause, state string
	cmd := &cobra.Command{
		Use:   "show CONNECTOR [ID...]",
		Short: "Show dead letters whole: where they came from, why they failed, key and value",
		Args:  arguments(1, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := client()
			if err != nil {
				return err
			}
			letters, err := c.Letters(cmd.Context(), args[0], state)
			if err != nil {
				return err
			}
			letters = slices.DeleteFunc(letters, func(l connect.Letter) bool {
				return len(args) > 1 && !slices.Contains(args[1:], l.ID) || !strings.Contains(l.Stage+": "+l.Message, cause)
			})
			switch output {
			case "json":
				return json.NewEncoder(a.Out).Encode(letters)
			case "text":
				return a.writeLetters(letters)
			}
			return usagef("--output %q is none of text, json", output)
		},
	}
	cmd.Flags().StringVar(&output, "output", "text", "form: text or json")
	cmd.Flags().StringVar(&cause, "cause", "", "only those whose cause has this in it")
	cmd.Flags().StringVar(&state, "state", "open", "open, retried, discarded or all")
	return cmd
}

func (a *app) writeLetters(letters []connect.Letter) error {
	for i := range letters {
		l := &letters[i]
		w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
		line := func(name, value string) {
			if value != "" {
				fmt.Fprintf(w, "  %s\t%s\n", name, value)
			}
		}
		fmt.Fprintf(a.Out, "%s  %s  %s\n", l.ID, l.Time.Format(time.RFC3339), l.State)
		if l.Topic != "" {
			line("from", fmt.Sprintf("%s-%d@%d", l.Topic, l.Partition, l.Offset))
		}
		line("stage", l.Stage)
		line("cause", l.Message)
		line("exception", l.Exception)
		line("reason", l.Reason)
		line("key", l.Key)
		line("value", l.Value)
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// choice reads which letters are meant.
func choice(cmd *cobra.Command, c *connect.LetterChoice) func(ids []string) error {
	cmd.Flags().StringVar(&c.Cause, "cause", "", "those whose cause has this in it")
	cmd.Flags().BoolVar(&c.All, "all", false, "all open ones")
	return func(ids []string) error {
		c.IDs = ids
		if len(ids) == 0 && c.Cause == "" && !c.All {
			return usagef("name records by their ids, --cause or --all: `freshet dlq show CONNECTOR` lists them")
		}
		return nil
	}
}

func (a *app) dlqRetry(client clientOf) *cobra.Command {
	var c connect.LetterChoice
	cmd := &cobra.Command{
		Use:   "retry CONNECTOR [ID...]",
		Short: "Send dead letters through the sink into the target once more",
		Args:  arguments(1, -1),
	}
	parse := choice(cmd, &c)
	cmd.Flags().BoolVar(&c.Stale, "stale", false, "also records whose key has a newer record: what that has brought is replaced")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := parse(args[1:]); err != nil {
			return err
		}
		return a.settleLetters(cmd.Context(), client, args[0], c, "retried", (*rest.Client).RetryLetters)
	}
	return cmd
}

func (a *app) dlqDiscard(client clientOf) *cobra.Command {
	var c connect.LetterChoice
	cmd := &cobra.Command{
		Use:   "discard CONNECTOR [ID...] --reason TEXT",
		Short: "Give dead letters up: they stay in the queue, with the reason",
		Args:  arguments(1, -1),
	}
	parse := choice(cmd, &c)
	cmd.Flags().StringVar(&c.Reason, "reason", "", "why, for whoever looks later")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := parse(args[1:]); err != nil {
			return err
		}
		if strings.TrimSpace(c.Reason) == "" {
			return usagef("--reason is missing: it is kept with the records")
		}
		return a.settleLetters(cmd.Context(), client, args[0], c, "discarded", (*rest.Client).DiscardLetters)
	}
	return cmd
}

// settleLetters does it and tells what became of each. Letters that stay open make the exit code 1.
func (a *app) settleLetters(ctx context.Context, client clientOf, connector string, choice connect.LetterChoice, done string,
	settle func(*rest.Client, context.Context, string, connect.LetterChoice) (connect.LetterOutcome, error),
) error {
	c, err := client()
	if err != nil {
		return err
	}
	out, err := settle(c, ctx, connector, choice)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(a.Out, "%d record(s) %s\n", out.Settled, done); err != nil {
		return err
	}
	for _, f := range out.Failed {
		fmt.Fprintf(a.Err, "%s stays open: %s\n", f.ID, f.Error)
	}
	if len(out.Failed) > 0 {
		return &codedError{exitFailed, fmt.Errorf("%d record(s) stay open", len(out.Failed))}
	}
	return nil
}
