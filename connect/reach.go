// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"context"
	"time"

	"freshet/capture"
	"freshet/config"
)

// reachTimeout is how long the check of a connection may take, unless connection.validation.timeout.ms says otherwise.
const reachTimeout = 60 * time.Second

// unreachable asks the source's server whether it lets the connector in, as Debezium's validation does where the options
// themselves are right. The problem names the property that the original blames; its words are the original's, with the next step behind them where withFix asks for it.
func (c *checked) unreachable(ctx context.Context, withFix bool) []config.Problem {
	if c.plugin.Source == nil || len(config.Errors(c.problems)) > 0 {
		return nil
	}
	timeout := c.values.Millis("connection.validation.timeout.ms")
	if timeout <= 0 {
		timeout = reachTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	findings, err := c.plugin.Source.Check(ctx, c.values)
	if err != nil {
		return nil // it let us in; what else is wrong the start tells
	}
	var problems []config.Problem
	for _, f := range findings {
		if f.Level == capture.Fail && f.Subject == capture.SubjectConnection {
			p := config.Problem{Property: f.Property, Message: "Error while validating connector config: " + f.Seen}
			if withFix {
				p.Message += "; next step: " + f.Fix
			}
			problems = append(problems, p)
		}
	}
	return problems
}

// Reach refuses a connector whose source does not let it in. Herders ask it where a person waits for the answer; at the
// start of a process a server that is not up yet is waited for instead.
func (c *Connector) Reach(ctx context.Context) error {
	set := *c.set
	set.problems = append(set.problems[:len(set.problems):len(set.problems)], set.unreachable(ctx, true)...)
	return set.refuse()
}
