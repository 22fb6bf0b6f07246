// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"freshet/config"
	"freshet/emitter/topic/kafka"
	"freshet/internal/topiccopy"
)

func (a *app) topicsCopy(f *topicFlags) *cobra.Command {
	var to string
	var replication int16
	var settings []string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "copy --data FOLDER --to worker.properties [TOPIC...]",
		Short: "Copy local topics to Kafka, with the offsets of the sinks' groups",
		Long: `Copies the topics of a data folder, all or those that are named, to the brokers of
worker.properties: records with their partitions, times and headers, then the offsets
of the groups connect-NAME, so that a worker with its topics in Kafka goes on where
the local one was. The worker must be stopped. A copy that was interrupted is
continued by the same command; one that is whole is left as it is.

Positions of sources stay in the data folder, where a standalone worker with Kafka
looks for them; for a group of workers carry them over with ` + "`freshet offsets`.",
		Args: arguments(0, -1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.worker.url != "":
				return usagef("a running worker cannot be copied from: stop it, and give its data folder with --data")
			case f.data == "" || to == "":
				return usagef("give the data folder with --data and a worker.properties with --to")
			}
			properties, err := config.ReadProperties(to)
			if err != nil {
				return usage(err)
			}
			s := topiccopy.Settings{
				DataDir: f.data, Properties: properties, Topics: args, DryRun: dryRun, Log: a.log,
				Creation: kafka.Creation{Partitions: -1, Replication: replication, Configs: map[string]string{}}, Progress: a.copying(),
			}
			for _, setting := range settings {
				name, value, ok := strings.Cut(setting, "=")
				if !ok {
					return usagef("--topic-config %q is not NAME=VALUE", setting)
				}
				s.Creation.Configs[name] = value
			}
			result, err := topiccopy.Copy(cmd.Context(), s)
			var refused *topiccopy.RefusedError
			if errors.As(err, &refused) {
				return usage(err)
			}
			if err != nil {
				return err
			}
			return a.writeCopied(result, dryRun)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "worker.properties with bootstrap.servers and what producers and admin clients need")
	cmd.Flags().Int16Var(&replication, "replication", -1, "replicas of topics that are created; -1 is the brokers' default")
	cmd.Flags().StringArrayVar(&settings, "topic-config", nil, "NAME=VALUE: setting of topics that are created, such as retention.ms=-1; may be repeated")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be done, and change nothing")
	return cmd
}

// copying tells how far a copy is, now and then.
func (a *app) copying() func(done, total int64) {
	const every = 2 * time.Second
	var mu sync.Mutex
	told := time.Now()
	return func(done, total int64) {
		mu.Lock()
		defer mu.Unlock()
		if time.Since(told) < every || total == 0 {
			return
		}
		told = time.Now()
		fmt.Fprintf(a.Err, "%d of %d records copied (%d %%)\n", done, total, done*100/total)
	}
}

func (a *app) writeCopied(r topiccopy.Result, dryRun bool) error {
	copied := "COPIED"
	if dryRun {
		copied = "TO COPY"
	}
	t := tabwriter.NewWriter(a.Out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(t, "TOPIC\t%s\tALREADY THERE\n", copied)
	for _, c := range r.Topics {
		fmt.Fprintf(t, "%s\t%d\t%d\n", c.Name, c.Copied, c.Already)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	did := "set"
	if dryRun {
		did = "to be set"
	}
	_, err := fmt.Fprintf(a.Err, "%d offset(s) of groups %s\n", r.Offsets, did)
	return err
}
