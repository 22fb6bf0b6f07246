// SPDX-License-Identifier: Apache-2.0

package backing

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/emitter/topic/kafka"
	"freshet/internal/testdb"
)

func TestFencingThatIsDue(t *testing.T) {
	tasks := func(n int) string {
		var lines strings.Builder
		for i := range n {
			lines.WriteString("\ntask-c-" + string(rune('0'+i)) + " " + properties)
		}
		return lines.String() + "\ncommit-c {\"tasks\":" + string(rune('0'+n)) + "}"
	}
	connector := "connector-c " + properties
	for _, c := range []struct {
		name, lines string
		fence       int
		due         bool
	}{
		{"no tasks yet", connector, 0, false},
		{"the first", connector + tasks(2), 0, true},
		{"done", connector + tasks(2) + "\ntasks-fencing-c {\"task-count\":2}", 2, false},
		{"made anew", connector + tasks(2) + "\ntasks-fencing-c {\"task-count\":2}" + tasks(1), 2, true},
		{"one, and one before", connector + tasks(1) + "\ntasks-fencing-c {\"task-count\":1}" + tasks(1), 0, true},
		{"two, and one before", connector + tasks(1) + "\ntasks-fencing-c {\"task-count\":1}" + tasks(2), 1, true},
		{"stopped, and offsets were changed", connector + tasks(1) + "\ntasks-fencing-c {\"task-count\":1}" + tasks(0) + "\ntasks-fencing-c {\"task-count\":0}" + tasks(1), 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newState()
			script(t, s, c.lines)
			fence, due := s.snapshot().Fencing("c")
			require.Equal(t, c.due, due)
			if due {
				require.Equal(t, c.fence, fence)
			}
		})
	}
}

// A task of before that is fenced commits nothing any more, whether it has something in flight or not.
func TestFenceTasks(t *testing.T) {
	broker := testdb.Kafka(t).Address()
	w := newWriter(t, "rounds", kafka.Transactions{})
	require.NoError(t, w.writeUpTo(t.Context(), "rounds", 1))
	require.NoError(t, FenceTasks(t.Context(), []kgo.Opt{kgo.SeedBrokers(broker)}, "rounds", "c", 3))
	require.ErrorContains(t, <-w.appendUnit(t.Context(), "rounds", 2), "another worker has taken over")
	requireOnce(t, "rounds", broker, 1)
	next := newWriter(t, "rounds", kafka.Transactions{})
	require.NoError(t, next.writeUpTo(t.Context(), "rounds", 2))
	requireOnce(t, "rounds", broker, 2)
}
