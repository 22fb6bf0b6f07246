// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"bytes"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/capture"
	"freshet/emitter"
)

// scene is what a watchdog sees.
type scene struct {
	capture.Observation
	emitter.Counts
}

func watchdogOf(s *scene) (*watchdog, *bytes.Buffer) {
	log := &bytes.Buffer{}
	w := &watchdog{
		stall: 30 * time.Second, watch: &watch{}, log: slog.New(slog.NewTextHandler(log, nil)),
		observe: func() capture.Observation { return s.Observation }, counts: func() emitter.Counts { return s.Counts },
	}
	return w, log
}

// after lets an hour pass, in steps of three seconds, and returns after how much of it the watchdog acted; 0 is never.
func after(w *watchdog, move func(step int)) (time.Duration, error) {
	begin := time.Now()
	w.since, w.last = begin, marksOf(w.observe(), w.counts())
	for step := range 1200 {
		if move != nil {
			move(step)
		}
		passed := time.Duration(step+1) * 3 * time.Second
		if err := w.look(begin.Add(passed)); err != nil {
			return passed, err
		}
	}
	return 0, nil
}

func streaming(unread int64) *scene {
	return &scene{Observation: capture.Observation{Phase: "streaming", Connected: true, Asked: true, Unread: unread, Received: 100, Sent: 100}}
}

func TestWatchdogReopensAReaderThatStands(t *testing.T) {
	w, log := watchdogOf(streaming(1 << 20))
	passed, err := after(w, nil)
	require.Equal(t, 30*time.Second, passed)
	require.ErrorContains(t, err, "1048576 bytes of the source's log are to be read and nothing comes")
	require.True(t, Retriable(err))
	for _, part := range []string{"unread_bytes=1048576", "queue_capacity=0", "stacks=", "goroutine "} {
		require.Contains(t, log.String(), part)
	}
	why, _ := w.watch.stalled(time.Now())
	require.NotEmpty(t, why, "until there is progress")
	require.Less(t, log.Len(), 3*stackBytes)

	for _, seconds := range []int{60, 120, 240, 480, 480} { // a server may be silent over one large transaction
		passed, err = after(w, nil)
		require.Error(t, err)
		require.Equal(t, time.Duration(seconds)*time.Second, passed)
	}
}

func TestWatchdogReopensAPipelineThatStands(t *testing.T) {
	s := streaming(0)
	s.Asked, s.Held, s.Capacity = false, 4, 4
	w, _ := watchdogOf(s)
	passed, err := after(w, nil)
	require.Equal(t, 30*time.Second, passed)
	require.ErrorContains(t, err, "4 batch(es) were read and nothing becomes durable")
}

func TestWatchdogIsQuiet(t *testing.T) {
	for name, c := range map[string]struct {
		scene   *scene
		move    func(s *scene, step int)
		log     string
		stalled bool
	}{
		"idle":                  {scene: streaming(0)},
		"less than a page":      {scene: streaming(200)},
		"nothing known":         {scene: streaming(-1)},
		"changes come":          {scene: streaming(1 << 20), move: func(s *scene, step int) { s.Batches++ }},
		"the server decodes":    {scene: streaming(1 << 20), move: func(s *scene, step int) { s.Sent++ }},
		"one batch in a while":  {scene: streaming(1 << 20), move: func(s *scene, step int) { s.Durable += int64(step) / 9 }},
		"snapshot":              {scene: &scene{Observation: capture.Observation{Phase: "snapshot", Unread: 1 << 20}}, log: "a snapshot is being read"},
		"the log takes nothing": {scene: &scene{Observation: capture.Observation{Phase: "streaming", Unread: 1 << 20}, Counts: emitter.Counts{Waiting: 3, Held: 4}}, log: "has not made 3 unit(s) durable", stalled: true},
	} {
		t.Run(name, func(t *testing.T) {
			w, log := watchdogOf(c.scene)
			passed, err := after(w, func(step int) {
				if c.move != nil {
					c.move(c.scene, step)
				}
			})
			require.NoError(t, err)
			require.Zero(t, passed)
			why, _ := w.watch.stalled(time.Now())
			require.Equal(t, c.stalled, why != "")
			if c.log == "" {
				require.Empty(t, log.String())
				return
			}
			require.Equal(t, 1, bytes.Count(log.Bytes(), []byte(c.log)), "told once: %s", log)
		})
	}
}

func TestWatchdogForgetsWithProgress(t *testing.T) {
	s := streaming(1 << 20)
	w, _ := watchdogOf(s)
	_, err := after(w, nil)
	require.Error(t, err)
	s.Received++ // the next attempt connects: that alone is no progress of changes
	require.NoError(t, w.look(time.Now()))
	why, _ := w.watch.stalled(time.Now())
	require.NotEmpty(t, why)
	s.Batches++
	require.NoError(t, w.look(time.Now()))
	why, _ = w.watch.stalled(time.Now())
	require.Empty(t, why)
	require.Equal(t, w.stall, w.watch.patience(w.stall))
}
