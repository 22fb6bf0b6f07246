// SPDX-License-Identifier: Apache-2.0

package local

import (
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/emitter/topic"
	"freshet/internal/failpoint"
	"freshet/internal/store/storetest"
)

// A mark tells that records are there. Whoever reads it and then asks for the records must find them, also between the
// moment when the store shows the batch and the one when the log does.
func TestMarksComeAfterTheirRecords(t *testing.T) {
	l := openOn(t, storetest.New(), Options{})
	between, release := make(chan struct{}), make(chan struct{})
	t.Cleanup(failpoint.Set(func(step string) {
		if step == "log.append.after-commit" {
			close(between)
			<-release
		}
	}))
	done := make(chan error, 1)
	l.Append(t.Context(), topic.Unit{Records: []topic.Record{value("t", "0")}, Mark: topic.Mark{Key: "m", Value: "1"}}, func(err error) { done <- err })
	<-between
	type answer struct {
		marks []topic.Mark
		err   error
		infos []topic.Info
	}
	answers := make(chan answer, 1)
	go func() {
		var a answer
		if a.marks, a.err = l.Marks(t.Context(), ""); a.err == nil {
			a.infos, a.err = l.List(t.Context())
		}
		answers <- a
	}()
	// The reader has asked once it stands in the queue behind the unit.
	waitFor(t, "Marks to be asked", func() bool {
		select {
		case a := <-answers:
			answers <- a
			return true
		default:
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.queue) > 0
	})
	close(release)
	require.NoError(t, <-done)
	a := <-answers
	require.NoError(t, a.err)
	require.Equal(t, []topic.Mark{{Key: "m", Value: "1"}}, a.marks)
	require.Equal(t, []topic.Info{{Name: "t", Partitions: []topic.Range{{Start: 0, End: 1}}}}, a.infos)
}
