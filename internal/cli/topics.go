// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"freshet/emitter/topic"
	"freshet/internal/topicio"
	"freshet/internal/topicsource"
)

// topicFlags say where topics are: in a running worker, or in a folder that no worker has open.
type topicFlags struct {
	worker workerFlags
	data   string
}

// use finds the topics, runs f on them and gives them back.
func (f *topicFlags) use(a *app, cmd *cobra.Command, do func(s topicsource.Source) error) error {
	o, err := f.worker.options(a)
	if err != nil {
		return err
	}
	s, err := topicsource.Open(cmd.Context(), topicsource.Options{Worker: f.worker.url, Client: o, DataDir: f.data, Log: a.log})
	var option *topicsource.OptionError
	if errors.As(err, &option) {
		return usage(err)
	}
	if err != nil {
		return err
	}
	return errors.Join(do(s), s.Close())
}

func (a *app) topics() *cobra.Command {
	var f topicFlags
	cmd := &cobra.Command{
		Use:   "topics",
		Short: "List, read and write the local topics",
		Long: `Asks the running worker, or opens the data folder where no worker runs. Without
--worker and --data the worker at http://127.0.0.1:8083 is asked if it answers, else
./freshet-data is opened.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q: `freshet topics --help` lists the commands", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	f.worker.bind(a, cmd, true, "", "URL of the worker to ask")
	cmd.PersistentFlags().StringVar(&f.data, "data", "", "data folder to open; no worker may have it open")
	cmd.AddCommand(a.topicsList(&f), a.topicsTail(&f), a.topicsProduce(&f), a.topicsCopy(&f))
	return cmd
}

func (a *app) topicsList(f *topicFlags) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the topics with their partitions and offsets",
		Args:  arguments(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "table" && output != "json" {
				return usagef("--output %q is none of table, json", output)
			}
			return f.use(a, cmd, func(s topicsource.Source) error {
				topics, err := s.Topics(cmd.Context())
				if err != nil {
					return err
				}
				if output == "json" {
					return json.NewEncoder(a.Out).Encode(topics)
				}
				return topicio.WriteTable(a.Out, topics)
			})
		},
	}
	cmd.Flags().StringVar(&output, "output", "table", "form of the list: table or json")
	return cmd
}

func (a *app) topicsTail(f *topicFlags) *cobra.Command {
	o := topicio.TailOptions{}
	cmd := &cobra.Command{
		Use:   "tail NAME",
		Short: "Print the records of a topic, one JSON line each",
		Long: `Prints {"topic","partition","offset","timestamp","key","value","headers"} for each record.
Keys and values stand there exactly as the JSON they are; what is no JSON is
{"$text":"…"}. Goes on until it is interrupted, unless --exit-at-end is given.`,
		Args: arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Topic = args[0]
			return f.use(a, cmd, func(s topicsource.Source) error { return s.Tail(cmd.Context(), o, a.Out) })
		},
	}
	cmd.Flags().BoolVar(&o.FromBeginning, "from-beginning", false, "begin with the oldest record kept, not with the next to come")
	cmd.Flags().BoolVar(&o.ExitAtEnd, "exit-at-end", false, "end where the topic ended at the start")
	cmd.Flags().Int32Var(&o.Partition, "partition", topic.AnyPartition, "read this partition only")
	return cmd
}

func (a *app) topicsProduce(f *topicFlags) *cobra.Command {
	return &cobra.Command{
		Use:   "produce NAME",
		Short: "Append records to a topic: lines of standard input, in the form that tail prints",
		Args:  arguments(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.use(a, cmd, func(s topicsource.Source) error {
				n, err := s.Produce(cmd.Context(), args[0], a.In)
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(a.Err, "%d record(s) appended to %s\n", n, args[0])
				return err
			})
		},
	}
}
