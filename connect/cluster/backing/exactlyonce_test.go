// SPDX-License-Identifier: Apache-2.0

package backing

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/connect"
	"freshet/emitter/topic"
	"freshet/emitter/topic/kafka"
	"freshet/internal/failpoint"
	"freshet/internal/testdb"
)

// steps are those at which a transaction may be interrupted.
var steps = []string{"kafka: claimed", "kafka: begun", "kafka: sent", "kafka: marked", "kafka: committed"}

const sourceKey = `["c",{"s":"1"}]`

// writer is the log of an exactly-once source task with its positions.
type writer struct {
	*kafka.Log
	offsets *Offsets
}

func openWriter(ctx context.Context, group, broker string, more kafka.Transactions) (*writer, error) {
	o := optionsFor(group, broker)
	o.Committed = true
	w := &writer{offsets: NewOffsets(o)}
	if err := w.offsets.Start(ctx); err != nil {
		return nil, err
	}
	more.ID = TaskTransactionalID(group, connect.TaskID{Connector: "c"})
	seeds := []kgo.Opt{kgo.SeedBrokers(broker), kgo.MetadataMinAge(50 * time.Millisecond)}
	var err error
	w.Log, err = kafka.Open(kafka.Options{
		Brokers: []string{broker}, Producer: seeds, Consumer: seeds, Admin: seeds, Marks: w.offsets, Transactions: &more,
		Creation: func(string) (kafka.Creation, bool) { return kafka.Creation{Partitions: 1, Replication: 1}, true },
	})
	return w, err
}

func (w *writer) close(ctx context.Context) {
	_ = w.Close(ctx)
	w.offsets.Close(ctx)
}

// position is the durable position: how many units there are.
func (w *writer) position(ctx context.Context) (int, error) {
	text, err := w.LoadMark(ctx, sourceKey)
	if err != nil || text == "" {
		return 0, err
	}
	var v struct{ N int }
	return v.N, json.Unmarshal([]byte(text), &v)
}

// appendUnit appends unit n: two records that say so, and its position.
func (w *writer) appendUnit(ctx context.Context, name string, n int) <-chan error {
	done := make(chan error, 1)
	u := topic.Unit{Mark: topic.Mark{Key: sourceKey, Value: fmt.Sprintf(`{"N":%d}`, n)}}
	for i := range 2 {
		u.Records = append(u.Records, topic.Record{Topic: name, Partition: topic.AnyPartition, Value: topic.Data{Body: fmt.Appendf(nil, "%d.%d", n, i)}})
	}
	w.Append(ctx, u, func(err error) { done <- err })
	return done
}

// writeUpTo goes on at the durable position, up to unit n.
func (w *writer) writeUpTo(ctx context.Context, name string, n int) error {
	from, err := w.position(ctx)
	if err != nil {
		return err
	}
	var pending []<-chan error
	for i := from + 1; i <= n; i++ {
		pending = append(pending, w.appendUnit(ctx, name, i))
	}
	for _, done := range pending {
		if err := <-done; err != nil {
			return err
		}
	}
	return nil
}

// requireOnce wants each record of n units once, in order, for whoever reads what is committed.
func requireOnce(t testing.TB, name, broker string, n int) {
	t.Helper()
	var got, want []string
	for i := range n {
		want = append(want, fmt.Sprintf("%d.0", i+1), fmt.Sprintf("%d.1", i+1))
	}
	waitFor(t, "the last commit to be seen", func() bool { // it is acknowledged before
		got = nil
		for _, r := range raw(t, name, broker) {
			got = append(got, string(r.Value))
		}
		return len(got) >= len(want)
	})
	require.Equal(t, want, got)
}

func newWriter(t testing.TB, group string, more kafka.Transactions) *writer {
	t.Helper()
	w, err := openWriter(t.Context(), group, testdb.Kafka(t).Address(), more)
	require.NoError(t, err)
	t.Cleanup(func() { w.close(context.Background()) })
	return w
}

// The child process writes units and is killed at a step, as often as that was reached.
const (
	childVariable = "FRESHET_TEST_EXACTLY_ONCE"
	childUnits    = 6
)

func runChild() {
	var c struct {
		Group, Broker, Step string
		Times               int32
		Interval            time.Duration
	}
	if err := json.Unmarshal([]byte(os.Getenv(childVariable)), &c); err != nil {
		panic(err)
	}
	var times atomic.Int32
	failpoint.Set(func(step string) {
		if step == c.Step && times.Add(1) == c.Times {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // it comes at once
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	w, err := openWriter(ctx, c.Group, c.Broker, kafka.Transactions{Interval: c.Interval})
	if err == nil {
		err = w.writeUpTo(ctx, c.Group, childUnits)
	}
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A process that is killed at any step of a transaction, and one that goes on behind it, write each record once.
func TestKilledInATransaction(t *testing.T) {
	broker := testdb.Kafka(t).Address()
	for _, c := range []struct {
		name     string
		interval time.Duration
		times    int32
	}{{"unit", 0, 2}, {"interval", 50 * time.Millisecond, 1}} {
		for i, step := range steps {
			t.Run(c.name+" "+strings.TrimPrefix(step, "kafka: "), func(t *testing.T) {
				group := fmt.Sprintf("killed-%s-%d", c.name, i)
				times := c.times
				if step == steps[0] {
					times = 1
				}
				run := func(step string) error {
					exe, err := os.Executable()
					require.NoError(t, err)
					cmd := exec.CommandContext(t.Context(), exe)
					spec := fmt.Sprintf(`{"Group":%q,"Broker":%q,"Step":%q,"Times":%d,"Interval":%d}`, group, broker, step, times, c.interval)
					cmd.Env = append(os.Environ(), childVariable+"="+spec)
					out, err := cmd.CombinedOutput()
					if len(out) > 0 {
						t.Log(string(out))
					}
					return err
				}
				require.ErrorContains(t, run(step), "killed")
				require.NoError(t, run("none"))
				requireOnce(t, group, broker, childUnits)
			})
		}
	}
}

// A process that was taken for dead and goes on at any step, behind the one that took over, writes nothing and says so.
func TestFencedInATransaction(t *testing.T) {
	broker := testdb.Kafka(t).Address()
	for i, step := range steps[:4] {
		t.Run(strings.TrimPrefix(step, "kafka: "), func(t *testing.T) {
			name := "zombie-" + strconv.Itoa(i)
			old := newWriter(t, name, kafka.Transactions{})
			reached, release := make(chan struct{}), make(chan struct{})
			var once sync.Once
			defer failpoint.Set(func(s string) {
				if s != step {
					return
				}
				first := false
				once.Do(func() { first = true })
				if first {
					close(reached)
					<-release
				}
			})()
			ended := make(chan error, 1)
			go func() { ended <- old.writeUpTo(context.WithoutCancel(t.Context()), name, 4) }()
			<-reached
			next := newWriter(t, name, kafka.Transactions{})
			require.NoError(t, next.writeUpTo(t.Context(), name, 3))
			close(release)
			err := <-ended
			var own *kafka.Error
			require.ErrorAs(t, err, &own)
			require.False(t, own.Retriable(), "trying again would fence the one that took over")
			require.ErrorContains(t, err, "another worker has taken over")
			require.NoError(t, next.writeUpTo(t.Context(), name, 5))
			requireOnce(t, name, broker, 5)
		})
	}
}

// The task's owner decides whether the id may be claimed, before and behind it.
func TestClaimsAreChecked(t *testing.T) {
	var trace []string
	refused := fmt.Errorf("the task runs elsewhere")
	var ready, check error
	w := newWriter(t, "checked", kafka.Transactions{
		Ready: func(context.Context) error { trace = append(trace, "ready"); return ready },
		Check: func(context.Context) error { trace = append(trace, "check"); return check },
	})
	ready = refused
	_, err := w.position(t.Context())
	require.ErrorIs(t, err, refused)
	require.Equal(t, []string{"ready"}, trace)
	ready, check = nil, refused
	_, err = w.position(t.Context())
	require.ErrorIs(t, err, refused)
	require.ErrorIs(t, <-w.appendUnit(t.Context(), "checked", 1), refused)
	check, trace = nil, nil
	require.NoError(t, w.writeUpTo(t.Context(), "checked", 2))
	require.Equal(t, []string{"ready", "check"}, trace, "once claimed, it stays so until the source begins again")
	require.NoError(t, w.writeUpTo(t.Context(), "checked", 3))
	require.Equal(t, []string{"ready", "check", "ready", "check"}, trace)

	// Another one that the owner lets claim fences this one, which may ask again.
	other := newWriter(t, "checked", kafka.Transactions{})
	require.NoError(t, other.writeUpTo(t.Context(), "checked", 4))
	err = <-w.appendUnit(t.Context(), "checked", 4)
	var own *kafka.Error
	require.ErrorAs(t, err, &own)
	require.True(t, own.Retriable(), "the owner will say whether it may go on")
	check = refused
	require.ErrorIs(t, w.writeUpTo(t.Context(), "checked", 5), refused)
	requireOnce(t, "checked", testdb.Kafka(t).Address(), 4)
}

// A unit is a transaction of its own, or several are one, as the recorded data topic shows by the offsets that markers take.
func TestRecordedTransactions(t *testing.T) {
	broker := testdb.Kafka(t).Address()
	text, err := os.ReadFile(recordings + "/eos/data-topic.json")
	require.NoError(t, err)
	var recording struct{ Records [][]any }
	require.NoError(t, json.Unmarshal(text, &recording))
	lines := func(w *writer, n int, values ...string) {
		t.Helper()
		_, err := w.LoadMark(t.Context(), sourceKey)
		require.NoError(t, err)
		u := topic.Unit{Mark: topic.Mark{Key: sourceKey, Value: fmt.Sprintf(`{"N":%d}`, n)}}
		for _, v := range values {
			u.Records = append(u.Records, topic.Record{Topic: "k1-eos-out", Partition: topic.AnyPartition, Value: topic.Data{Body: []byte(v)}})
		}
		done := make(chan error, 1)
		w.Append(t.Context(), u, func(err error) { done <- err })
		require.NoError(t, <-done)
	}
	lines(newWriter(t, "recorded-1", kafka.Transactions{}), 1, "a", "b", "c")
	lines(newWriter(t, "recorded-2", kafka.Transactions{Interval: 20 * time.Millisecond}), 1, "d", "e")
	lines(newWriter(t, "recorded-1", kafka.Transactions{}), 2, "b")
	var got [][]any
	waitFor(t, "the last commit to be seen", func() bool {
		got = nil
		for _, r := range raw(t, "k1-eos-out", broker) {
			got = append(got, []any{float64(r.Partition), float64(r.Offset), string(r.Value)})
		}
		return len(got) >= len(recording.Records)
	})
	require.Equal(t, recording.Records, got)
}

// A transaction of several units ends with its interval, with the memory for units, and with the log.
func TestTransactionsOfSeveralUnits(t *testing.T) {
	const name = "several"
	w := newWriter(t, name, kafka.Transactions{Interval: time.Hour})
	require.NoError(t, w.writeUpTo(t.Context(), name, 4), "a source has no more batches in flight")
	one := w.appendUnit(t.Context(), name, 5)
	n, err := w.position(t.Context())
	require.NoError(t, err)
	require.Equal(t, 5, n, "whoever asks for the position gets that of all that was appended")
	require.NoError(t, <-one)
	two := w.appendUnit(t.Context(), name, 6)
	require.NoError(t, w.Close(t.Context()))
	require.NoError(t, <-two)
	requireOnce(t, name, testdb.Kafka(t).Address(), 6)
}

// A unit whose context ends settles with its error, and nothing of it, or of what comes behind it, counts.
func TestTransactionThatIsGivenUp(t *testing.T) {
	const name = "given-up"
	w := newWriter(t, name, kafka.Transactions{Interval: time.Hour})
	require.NoError(t, w.writeUpTo(t.Context(), name, 0))
	sent := make(chan string, 10)
	defer failpoint.Set(func(step string) {
		if step == "kafka: sent" {
			sent <- step
		}
	})()
	ctx, cancel := context.WithCancel(t.Context())
	one, two := w.appendUnit(t.Context(), name, 1), w.appendUnit(ctx, name, 2)
	for range 2 {
		<-sent
	}
	cancel()
	require.ErrorIs(t, <-two, context.Canceled)
	require.Error(t, <-one)
	require.ErrorContains(t, <-w.appendUnit(t.Context(), name, 3), "must begin again at its mark")
	require.NoError(t, w.writeUpTo(t.Context(), name, 4))
	requireOnce(t, name, testdb.Kafka(t).Address(), 4)
}
