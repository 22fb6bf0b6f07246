// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"

	"freshet/emitter/topic"
)

// gated is a MarkStore whose writes wait.
type gated struct {
	*memory
	asked, pass chan struct{}
}

func (g *gated) PutMarks(ctx context.Context, marks []topic.Mark) error {
	g.asked <- struct{}{}
	<-g.pass
	return g.memory.PutMarks(ctx, marks)
}

// The bytes of a unit are its source's again when Kafka has them, whatever its mark waits for. Marks of units that come
// meanwhile are written at once.
func TestFreeBeforeTheMark(t *testing.T) {
	marks := &gated{newMemory(), make(chan struct{}, 10), make(chan struct{})}
	l := openLog(t, optionsFor(marks, newFake(t).ListenAddrs()...))
	const units = 20
	freed, done := make(chan int, units), make(chan error, units)
	for i := range units {
		l.Append(t.Context(), topic.Unit{
			Records: []topic.Record{value("t", strconv.Itoa(i))}, Mark: topic.Mark{Key: "src", Value: strconv.Itoa(i)}, Free: func() { freed <- i },
		}, func(err error) { done <- err })
	}
	<-marks.asked
	for range units {
		<-freed
	}
	require.Empty(t, done)
	close(marks.pass)
	for range units {
		require.NoError(t, <-done)
	}
	requireMark(t, l, strconv.Itoa(units-1))
	require.LessOrEqual(t, len(marks.puts), units/2)
	require.Len(t, all(t, l, "t", units), units)
}

// A unit that fails may still be looked at by the client: its bytes are not given back.
func TestNoFreeOfWhatFails(t *testing.T) {
	fake := newFake(t)
	l := openLog(t, optionsFor(newMemory(), fake.ListenAddrs()...))
	require.NoError(t, <-start(t.Context(), l, "1", value("t", "1")))
	refuse(fake, kerr.TopicAuthorizationFailed)
	var freed atomic.Bool
	done := make(chan error, 1)
	l.Append(t.Context(), topic.Unit{Records: []topic.Record{value("t", "2")}, Mark: topic.Mark{Key: "src", Value: "2"}, Free: func() { freed.Store(true) }},
		func(err error) { done <- err })
	require.ErrorIs(t, <-done, kerr.TopicAuthorizationFailed)
	require.False(t, freed.Load())
}
