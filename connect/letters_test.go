// SPDX-License-Identifier: Apache-2.0

package connect_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/config"
	"freshet/connect"
	"freshet/connect/connecttest"
	"freshet/emitter/topic/local"
	"freshet/internal/topicio"
	"freshet/sinks"
)

// pickySink refuses values until it is mended.
type pickySink struct {
	mu      sync.Mutex
	refuses map[string]bool
	seen    []string
}

func (p *pickySink) write(b *sinks.Batch) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range b.Records {
		if v := b.Data.String(b.Records[i].Value); p.refuses[v] {
			return &sinks.RowError{Index: i, Err: errors.New("the target refuses " + v[:1])}
		}
	}
	for i := range b.Records {
		p.seen = append(p.seen, b.Data.String(b.Records[i].Value))
	}
	return nil
}

func (p *pickySink) mend(values ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range values {
		delete(p.refuses, v)
	}
	p.seen = nil
}

func (p *pickySink) got() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.seen...)
}

// keyed writes records of a key, as the JSON converter does.
func keyed(t *testing.T, log *local.Log, name string, pairs ...string) {
	t.Helper()
	var lines strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		value := pairs[i+1]
		if !strings.HasPrefix(value, "{") {
			value = wrapped(value)
		}
		lines.WriteString(`{"partition":0,"key":` + wrapped(pairs[i]) + `,"value":` + value + "}\n")
	}
	_, err := topicio.Produce(t.Context(), log, name, strings.NewReader(lines.String()))
	require.NoError(t, err)
}

// withLetters is a sink whose queue has: a1 and b1, which the target refuses, and what is no JSON of Connect.
func withLetters(t *testing.T) (*connect.Connector, *connect.Letters, *pickySink, *local.Log) {
	t.Helper()
	_, log := connecttest.NewLog(t)
	keyed(t, log, "in", "a", "a1", "b", "b1", "c", `{"nope":1}`, "d", "d1", "b", "b2")
	p := &pickySink{refuses: map[string]bool{"a1": true, "b1": true}}
	w := connecttest.NewWorker(t, log, nil, &connecttest.Sink{OnWrite: p.write}, nil)
	c, s := newTask(t, w, with(sinkConfig, "errors.tolerance", "all", "errors.deadletterqueue.topic.name", "dlq",
		"errors.deadletterqueue.context.headers.enable", "true"))
	waitFor(t, "the commit", func() bool {
		offsets, err := c.Offsets(t.Context())
		return err == nil && len(offsets) == 1 && offsets[0].Offset == `{"kafka_offset":5}`
	})
	require.True(t, inState(s, connect.Running)())
	l, err := c.Letters()
	require.NoError(t, err)
	return c, l, p, log
}

func states(t *testing.T, l *connect.Letters) map[string]string {
	t.Helper()
	letters, err := l.List(t.Context(), "")
	require.NoError(t, err)
	out := map[string]string{}
	for _, x := range letters {
		out[x.Value] = x.State
	}
	return out
}

// Letters are shown whole and by cause, retried through the sink in the order of the queue, and discarded with a reason.
func TestLetters(t *testing.T) {
	_, l, p, log := withLetters(t)
	require.ElementsMatch(t, []string{"d1", "b2"}, p.got())
	groups, err := l.Groups(t.Context())
	require.NoError(t, err)
	var causes []string
	for _, g := range groups {
		causes = append(causes, g.Cause)
		require.Equal(t, 1, g.Count)
	}
	require.Len(t, causes, 3)
	require.Contains(t, causes, "TASK_PUT: the target refuses a")
	letters, err := l.List(t.Context(), connect.LetterOpen)
	require.NoError(t, err)
	require.Len(t, letters, 3)
	at := map[string]string{}
	for _, x := range letters {
		at[x.Value] = x.ID
		require.Equal(t, "in", x.Topic)
	}

	out, err := l.Retry(t.Context(), connect.LetterChoice{All: true})
	require.NoError(t, err)
	require.Zero(t, out.Settled, "nothing was mended")
	require.Len(t, out.Failed, 3)
	p.mend("a1", "b1")
	out, err = l.Retry(t.Context(), connect.LetterChoice{Cause: "TASK_PUT"})
	require.NoError(t, err)
	require.Equal(t, 1, out.Settled)
	require.Equal(t, []string{"a1"}, p.got())
	require.Len(t, out.Failed, 1)
	require.Equal(t, at[wrapped("b1")], out.Failed[0].ID)
	require.Contains(t, out.Failed[0].Error, "in-0 has a newer record of its key at offset 4")
	require.Equal(t, map[string]string{wrapped("a1"): "retried", wrapped("b1"): "open", `{"nope":1}`: "open"}, states(t, l))

	out, err = l.Retry(t.Context(), connect.LetterChoice{IDs: []string{at[wrapped("b1")]}, Stale: true})
	require.NoError(t, err)
	require.Equal(t, 1, out.Settled)
	require.Equal(t, []string{"a1", "b1"}, p.got())
	out, err = l.Discard(t.Context(), connect.LetterChoice{All: true, Reason: "no data"})
	require.NoError(t, err)
	require.Equal(t, 1, out.Settled)
	gone, err := l.List(t.Context(), connect.LetterDiscarded)
	require.NoError(t, err)
	require.Len(t, gone, 1)
	require.Equal(t, "no data", gone[0].Reason)
	require.False(t, gone[0].Settled.IsZero())
	groups, err = l.Groups(t.Context())
	require.NoError(t, err)
	require.Empty(t, groups)
	require.Len(t, lettersOf(t, log, "dlq"), 3, "the queue itself stays as it is")
}

func TestLettersRefuse(t *testing.T) {
	_, l, p, _ := withLetters(t)
	p.mend("a1")
	letters, err := l.List(t.Context(), connect.LetterOpen)
	require.NoError(t, err)
	id := letters[0].ID
	refused := func(err error, code int, words string) {
		t.Helper()
		var e *connect.Error
		require.ErrorAs(t, err, &e)
		require.Equal(t, code, e.Code)
		require.Contains(t, e.Message, words)
	}
	_, err = l.Retry(t.Context(), connect.LetterChoice{})
	refused(err, 400, "name records")
	_, err = l.Retry(t.Context(), connect.LetterChoice{IDs: []string{"0@99"}})
	refused(err, 404, "0@99")
	_, err = l.Discard(t.Context(), connect.LetterChoice{All: true})
	refused(err, 400, "reason is missing")
	_, err = l.Discard(t.Context(), connect.LetterChoice{IDs: []string{id}, Reason: "r"})
	require.NoError(t, err)
	_, err = l.Retry(t.Context(), connect.LetterChoice{IDs: []string{id}})
	refused(err, 409, "is discarded")
}

// A target that is away is no fault of the letters.
func TestRetryWhileTheTargetIsAway(t *testing.T) {
	_, log := connecttest.NewLog(t)
	keyed(t, log, "in", "a", "a1")
	away := false
	sink := &connecttest.Sink{OnWrite: func(*sinks.Batch) error { return &sinks.RowError{Err: errors.New("refused")} }}
	sink.OnOpen = func(config.Values) (sinks.Writer, error) {
		if away {
			return nil, errors.New("connection refused")
		}
		return connecttest.WriterOf(sink), nil
	}
	w := connecttest.NewWorker(t, log, nil, sink, nil)
	c, _ := newTask(t, w, with(sinkConfig, "errors.tolerance", "all", "errors.deadletterqueue.topic.name", "dlq"))
	waitFor(t, "the letter", func() bool { return len(lettersOf(t, log, "dlq")) == 1 })
	l, err := c.Letters()
	require.NoError(t, err)
	away = true
	_, err = l.Retry(t.Context(), connect.LetterChoice{All: true})
	require.ErrorContains(t, err, "connection refused")
	groups, err := l.Groups(t.Context())
	require.NoError(t, err)
	require.Len(t, groups, 1)
	require.Contains(t, groups[0].Cause, "no context headers")

	plain, err := w.NewConnector("plain", sinkConfig)
	require.NoError(t, err)
	_, err = plain.Letters()
	require.ErrorContains(t, err, "has no dead letter queue")
}
