// SPDX-License-Identifier: Apache-2.0

package group

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"freshet/connect"
	"freshet/connect/cluster/assign"
	"freshet/internal/testdb"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, testdb.IgnoreKafka())
}

func newFake(t *testing.T) *kfake.Cluster {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{"group.min.session.timeout.ms": "100"}))
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	require.Eventually(t, cond, 30*time.Second, time.Millisecond, what)
}

// cluster is the configuration that all workers of a test read.
type cluster struct {
	t       *testing.T
	brokers []string
	group   string
	times   Options

	mu     sync.Mutex
	config Config
}

func (c *cluster) configure(offset int64, work assign.Work) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.config = Config{offset, work}
}

func (c *cluster) read() Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.config
}

// worker is an owner of a member that stops what it is told to stop at once.
type worker struct {
	*Member
	name   string
	cancel context.CancelFunc
	ended  chan struct{}

	mu     sync.Mutex
	round  Round
	rounds int
	lost   int
	owned  assign.Work
	err    error
}

func (c *cluster) start(name string, mode Version) *worker {
	c.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(c.brokers...), kgo.ClientID("connect-"+name), kgo.DisableClientMetrics(),
		kgo.RetryTimeout(time.Second), kgo.RequestRetries(2))
	require.NoError(c.t, err)
	o := c.times
	o.Client, o.Group, o.URL, o.Mode, o.Config = client, c.group, "http://"+name+"/", mode, c.read
	ctx, cancel := context.WithCancel(context.Background())
	w := &worker{Member: New(o), name: name, cancel: cancel, ended: make(chan struct{})}
	beats := make(chan struct{})
	go func() {
		defer close(beats)
		w.Beat(ctx)
	}()
	go func() {
		defer close(w.ended)
		w.run(ctx)
		<-beats
		client.Close()
	}()
	c.t.Cleanup(func() {
		w.cancel()
		<-w.ended
	})
	return w
}

func (w *worker) run(ctx context.Context) {
	var timer <-chan time.Time
	for ctx.Err() == nil {
		w.Touch()
		if w.Lost() {
			w.note(func() { w.lost++; w.owned = nil })
		}
		if w.Wanted() != "" {
			if w.Version() == Eager {
				w.note(func() { w.owned = nil })
			}
			round, err := w.Join(ctx)
			w.note(func() {
				if w.err = err; err == nil {
					w.round, w.owned = round, round.Owned
					w.rounds++
				}
			})
			timer = nil
			switch {
			case err != nil:
				timer = time.After(20 * time.Millisecond)
			case len(round.Revoked) > 0:
				w.Want("work was revoked")
				continue
			case round.Delay > 0:
				timer = time.After(round.Delay)
			}
			if err == nil {
				continue
			}
		}
		select {
		case <-ctx.Done():
		case <-w.Changed():
		case <-timer:
			w.Want("the delay has passed")
		}
	}
}

func (w *worker) note(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

func (w *worker) has() assign.Work {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.owned
}

func (w *worker) last() Round {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.round
}

func work(connectors int) (w assign.Work) {
	for n := range connectors {
		name := fmt.Sprintf("c%d", n)
		w = append(w, assign.ConnectorID(name), connect.TaskID{Connector: name, Task: 0})
	}
	return w.Plus()
}

// divided says whether all work is with one worker each, and evenly.
func (c *cluster) divided(workers ...*worker) bool {
	var all assign.Work
	least, most := 1<<30, 0
	for _, w := range workers {
		n := len(w.has())
		least, most = min(least, n), max(most, n)
		all = append(all, w.has()...)
	}
	want := c.read().Work
	return len(all) == len(want) && len(all.Plus().Minus(want)) == 0 && most-least <= 2
}

func quick() Options {
	return Options{SessionTimeout: 2 * time.Second, RebalanceTimeout: 5 * time.Second, HeartbeatInterval: 20 * time.Millisecond}
}

func fakeCluster(t *testing.T) (*cluster, *kfake.Cluster) {
	fake := newFake(t)
	return &cluster{t: t, brokers: fake.ListenAddrs(), group: "g", times: quick(), config: Config{10, work(6)}}, fake
}

func TestWorkersDivideTheWork(t *testing.T) {
	for _, mode := range []Version{Sessioned, Compatible, Eager} {
		t.Run(mode.String(), func(t *testing.T) {
			c, _ := fakeCluster(t)
			w1 := c.start("h1:1", mode)
			waitFor(t, "one has all", func() bool { return c.divided(w1) })
			require.True(t, w1.last().Leader)
			require.Equal(t, int64(10), w1.last().Offset)
			w2, w3 := c.start("h2:1", mode), c.start("h3:1", mode)
			waitFor(t, "three have it", func() bool { return c.divided(w1, w2, w3) })
			for _, w := range []*worker{w1, w2, w3} {
				require.Equal(t, mode, w.Version())
				require.Equal(t, "http://h1:1/", w.last().LeaderURL)
				require.Equal(t, w == w1, w.last().Leader)
				for _, id := range w.has() {
					waitFor(t, "the leader knows the owner", func() bool { return w1.Owner(id) == "http://"+w.name+"/" })
					require.Empty(t, w2.Owner(id), "only the leader knows")
				}
			}
			c.configure(11, work(3))
			w2.Want("the configuration has changed")
			waitFor(t, "deleted work is stopped", func() bool { return c.divided(w1, w2, w3) })
		})
	}
}

// A worker of an old version makes all speak as it does.
func TestTheVersionIsThatOfTheOldest(t *testing.T) {
	c, _ := fakeCluster(t)
	w1 := c.start("h1:1", Sessioned)
	waitFor(t, "one has all", func() bool { return c.divided(w1) })
	w2 := c.start("h2:1", Compatible)
	waitFor(t, "compatible", func() bool { return c.divided(w1, w2) && w1.Version() == Compatible && w2.Version() == Compatible })
	w3 := c.start("h3:1", Eager)
	waitFor(t, "eager", func() bool { return c.divided(w1, w2, w3) && w1.Version() == Eager && w3.Version() == Eager })
}

// A worker that leaves is waited for; when the delay has passed its work goes to others.
func TestLeaving(t *testing.T) {
	c, _ := fakeCluster(t)
	c.times.MaxDelay = 300 * time.Millisecond
	w1, w2 := c.start("h1:1", Sessioned), c.start("h2:1", Sessioned)
	waitFor(t, "two have it", func() bool { return c.divided(w1, w2) })
	began := time.Now()
	gone, stays := w1, w2 // the leader goes
	if w2.last().Leader {
		gone, stays = w2, w1
	}
	before := stays.has()
	gone.cancel()
	<-gone.ended
	require.NoError(t, leaveAs(c, gone))
	waitFor(t, "one has all", func() bool { return c.divided(stays) })
	require.True(t, stays.last().Leader)
	require.Empty(t, before.Minus(stays.has()), "what it had it kept")
	require.Less(t, time.Since(began), 20*time.Second)
}

func leaveAs(c *cluster, w *worker) error {
	client, err := kgo.NewClient(kgo.SeedBrokers(c.brokers...), kgo.DisableClientMetrics())
	if err != nil {
		return err
	}
	defer client.Close()
	w.o.Client = client
	return w.Leave(context.Background())
}

// A leader that has not read the config topic as far as others decides nothing until it has.
func TestLeaderBehind(t *testing.T) {
	c, _ := fakeCluster(t)
	w1 := c.start("h1:1", Sessioned)
	waitFor(t, "one has all", func() bool { return c.divided(w1) })
	ahead := &cluster{t: t, brokers: c.brokers, group: c.group, times: c.times, config: Config{12, work(8)}}
	w2 := ahead.start("h2:1", Sessioned)
	waitFor(t, "the round fails", func() bool { return w1.last().Failed })
	require.NotEmpty(t, w1.has(), "what runs goes on")
	c.configure(12, work(8))
	waitFor(t, "two have it", func() bool { return ahead.divided(w1, w2) })
	require.False(t, w1.last().Failed)
}

// A coordinator that forgets a member makes it join anew, with the work that it has.
func TestForgottenMember(t *testing.T) {
	for _, code := range []*kerr.Error{kerr.UnknownMemberID, kerr.IllegalGeneration} {
		t.Run(code.Message, func(t *testing.T) {
			c, fake := fakeCluster(t)
			w1, w2 := c.start("h1:1", Sessioned), c.start("h2:1", Sessioned)
			waitFor(t, "two have it", func() bool { return c.divided(w1, w2) })
			before := w2.last().Generation
			fake.ControlKey(int16(kmsg.Heartbeat), func(r kmsg.Request) (kmsg.Response, error, bool) {
				resp := r.ResponseKind().(*kmsg.HeartbeatResponse)
				resp.ErrorCode = code.Code
				return resp, nil, true
			})
			waitFor(t, "another round", func() bool { return w2.last().Generation > before && c.divided(w1, w2) })
		})
	}
}

// While the coordinator is away, members stop their work before it would give it to others, and take it up again after.
func TestCoordinatorAway(t *testing.T) {
	c, fake := fakeCluster(t)
	c.times.SessionTimeout = 500 * time.Millisecond
	w := c.start("h1:1", Sessioned)
	waitFor(t, "it has all", func() bool { return c.divided(w) })
	var mu sync.Mutex
	away := true
	fake.Control(func(r kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		mu.Lock()
		defer mu.Unlock()
		if !away {
			return nil, nil, false
		}
		return nil, fmt.Errorf("nobody is there"), true
	})
	waitFor(t, "its work has stopped", func() bool { return len(w.has()) == 0 })
	require.False(t, w.Alive())
	mu.Lock()
	away = false
	mu.Unlock()
	waitFor(t, "it has all again", func() bool { return c.divided(w) })
	w.note(func() { require.Equal(t, 1, w.lost) })
}

// An owner that is stuck loses its place, so that the others get on.
func TestStuckOwner(t *testing.T) {
	c, _ := fakeCluster(t)
	c.times.RebalanceTimeout = 300 * time.Millisecond
	client, err := kgo.NewClient(kgo.SeedBrokers(c.brokers...), kgo.DisableClientMetrics())
	require.NoError(t, err)
	defer client.Close()
	o := c.times
	o.Client, o.Group, o.URL, o.Mode, o.Config = client, c.group, "u", Sessioned, c.read
	m := New(o)
	require.False(t, m.Alive())
	_, err = m.Join(t.Context())
	require.NoError(t, err)
	require.Empty(t, m.Wanted())
	require.True(t, m.Alive())
	ctx, cancel := context.WithCancel(t.Context())
	beats := make(chan struct{})
	go func() { defer close(beats); m.Beat(ctx) }()
	<-m.Changed()
	require.Equal(t, "it was stuck", m.Wanted())
	require.False(t, m.Alive())
	require.NotEmpty(t, m.Owned(), "it may still come back with its work")
	cancel()
	<-beats
	_, err = m.Join(t.Context())
	require.NoError(t, err)
	require.Len(t, m.Owned(), len(c.read().Work))
	require.True(t, m.Alive())
	require.NoError(t, m.Leave(t.Context()))
	require.False(t, m.Alive())
	require.NoError(t, m.Leave(t.Context()), "once is enough")
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		code *kerr.Error
		hint string
	}{
		{kerr.GroupAuthorizationFailed, "allow this worker's user"},
		{kerr.InconsistentGroupProtocol, "choose another group.id"},
		{kerr.InvalidSessionTimeout, "session.timeout.ms"},
	} {
		cl, fake := fakeCluster(t)
		fake.ControlKey(int16(kmsg.JoinGroup), func(r kmsg.Request) (kmsg.Response, error, bool) {
			fake.KeepControl()
			resp := r.ResponseKind().(*kmsg.JoinGroupResponse)
			resp.ErrorCode = c.code.Code
			return resp, nil, true
		})
		client, err := kgo.NewClient(kgo.SeedBrokers(cl.brokers...), kgo.DisableClientMetrics())
		require.NoError(t, err)
		o := cl.times
		o.Client, o.Group, o.Config = client, "g", cl.read
		_, err = New(o).Join(t.Context())
		var fatal *FatalError
		require.ErrorAs(t, err, &fatal)
		require.ErrorContains(t, err, c.hint)
		client.Close()
	}
}

// The same with a real coordinator, whose least session time-out is six seconds.
func TestRealCoordinator(t *testing.T) {
	server := testdb.Kafka(t)
	c := &cluster{t: t, brokers: []string{server.Address()}, group: fmt.Sprintf("workers-%d", time.Now().UnixNano()), times: quick(), config: Config{3, work(7)}}
	c.times.SessionTimeout, c.times.HeartbeatInterval = 6*time.Second, 100*time.Millisecond
	w1, w2, w3 := c.start("h1:1", Sessioned), c.start("h2:1", Sessioned), c.start("h3:1", Compatible)
	waitFor(t, "three have it", func() bool { return c.divided(w1, w2, w3) })
	require.Equal(t, Compatible, w1.Version())
	w2.cancel() // killed: it says nothing
	<-w2.ended
	waitFor(t, "two have it", func() bool { return c.divided(w1, w3) })
}
