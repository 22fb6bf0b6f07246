// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/internal/testdb"
)

// dlq runs `freshet dlq` at the worker.
func (w *worker) dlq(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return run(t, append([]string{"dlq", "--worker", w.url}, args...)...)
}

// TestDeadLetters: a row that the target refuses goes into the queue, with its cause and its row, and the others are applied. Once the
// target is mended the row is sent again; one that is out of date is not, and is given up with a reason.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	source, target := testdb.Postgres(t), testdb.Postgres(t)
	source.Exec(t, itemsDDL)
	target.Exec(t, itemsDDL+"alter table items add constraint good check (note <> 'bad')")
	s := pair(t, source, target)
	s.connectors[sinkName] = s.connectors[sinkName].with(properties{
		"errors.tolerance": "all", "errors.deadletterqueue.topic.name": "letters", "errors.deadletterqueue.context.headers.enable": "true",
	})
	w := s.start(t)
	w.streaming(t, source)
	source.Exec(t, "insert into items select g, 1, case g % 10 when 3 then 'bad' else 'fine' end from generate_series(1, 20) g")
	waitFor(t, "the other rows", func() bool { return target.Text(t, "select count(*) from items") == "18" })
	waitFor(t, "two dead letters", func() bool { return len(w.records(t, "letters")) == 2 })
	w.await(t, sinkName, connect.Running)

	code, out, _ := w.dlq(t, "list", sinkName)
	require.Zero(t, code)
	requireWords(t, out, "RECORDS", "TASK_PUT", "check constraint", "good")
	code, out, _ = w.dlq(t, "show", sinkName)
	require.Zero(t, code)
	requireWords(t, out, "e2e.public.items-0@", `"id":3`, `"id":13`, `"note":"bad"`, "open")

	code, out, said := w.dlq(t, "retry", sinkName, "--all")
	require.Equal(t, 1, code)
	requireWords(t, out, "0 record(s) retried")
	requireWords(t, said, "stays open", "check constraint", "2 record(s) stay open")

	source.Exec(t, "update items set note = 'fine', n = 2 where id = 13")
	waitFor(t, "the newer row", func() bool { return target.Text(t, "select count(*) from items where id = 13") == "1" })
	target.Exec(t, "alter table items drop constraint good")
	code, out, said = w.dlq(t, "retry", sinkName, "--all")
	require.Equal(t, 1, code)
	requireWords(t, out, "1 record(s) retried")
	requireWords(t, said, "has a newer record of its key")
	equal(t, source, target)

	code, _, said = w.dlq(t, "discard", sinkName, "--all")
	require.Equal(t, 2, code)
	requireWords(t, said, "--reason is missing")
	code, out, _ = w.dlq(t, "discard", sinkName, "--all", "--reason", "the row is newer by now")
	require.Zero(t, code)
	requireWords(t, out, "1 record(s) discarded")
	code, out, _ = w.dlq(t, "list", sinkName)
	require.Zero(t, code)
	requireWords(t, out, "no open dead letters")
	w.stop(t)

	w = s.start(t) // what was settled is known to the next process
	code, out, _ = w.dlq(t, "show", sinkName, "--state", "all")
	require.Zero(t, code)
	requireWords(t, out, "retried", "discarded", "the row is newer by now")
	code, _, said = w.dlq(t, "retry", sinkName, "0@99")
	require.Equal(t, 1, code)
	requireWords(t, said, "no record 0@99")
	code, _, said = w.dlq(t, "list", sourceName)
	require.Equal(t, 1, code)
	requireWords(t, said, "only sinks have dead letter queues")
	equal(t, source, target)
	w.stop(t)
}
