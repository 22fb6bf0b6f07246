// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"freshet/emitter/topic"
	"freshet/internal/kafkaserver"
	"freshet/internal/testdb"
)

// openLog opens a log that is closed with the test.
func openLog(t testing.TB, o Options) *Log {
	t.Helper()
	l, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // what is left need not be sent
		_ = l.Close(ctx)
	})
	return l
}

func value(name, v string) topic.Record {
	return topic.Record{Topic: name, Partition: topic.AnyPartition, Key: topic.Data{Body: []byte("k")}, Value: topic.Data{Body: []byte(v)}}
}

// start appends a unit whose end can be waited for.
func start(ctx context.Context, l *Log, mark string, records ...topic.Record) <-chan error {
	u := topic.Unit{Records: records}
	if mark != "" {
		u.Mark = topic.Mark{Key: "src", Value: mark}
	}
	done := make(chan error, 1)
	l.Append(ctx, u, func(err error) { done <- err })
	return done
}

// requireMark wants the source to go on behind a mark.
func requireMark(t testing.TB, l *Log, want string) {
	t.Helper()
	got, err := l.LoadMark(t.Context(), "src")
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// all are the values of a topic with one partition.
func all(t testing.TB, l *Log, name string, n int) []string {
	t.Helper()
	c, err := l.Subscribe(t.Context(), topic.Subscription{Topics: []string{name}})
	require.NoError(t, err)
	defer c.Close(t.Context())
	var out []string
	for len(out) < n {
		rs, err := c.Poll(t.Context(), 1000)
		require.NoError(t, err)
		for i := range rs {
			out = append(out, string(rs[i].Value.Bytes()))
		}
	}
	return out
}

func requireFinal(t testing.TB, err error, texts ...string) {
	t.Helper()
	var own *Error
	require.ErrorAs(t, err, &own)
	require.False(t, own.Retriable())
	for _, text := range texts {
		require.ErrorContains(t, err, text)
	}
}

// A position is stored after the acknowledgements of all before it, never earlier (I1), whichever order they come in.
func TestMarkAfterAcknowledgement(t *testing.T) {
	fake := newFake(t, kfake.SeedTopics(1, "slow", "quick"))
	marks := newMemory()
	l := openLog(t, optionsFor(marks, fake.ListenAddrs()...))
	require.NoError(t, <-start(t.Context(), l, "", value("slow", "0"), value("quick", "0")))
	held, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	fake.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		once.Do(func() { close(held) })
		<-release
		return nil, nil, false
	})
	one := start(t.Context(), l, "1", value("slow", "1"))
	<-held
	two := start(t.Context(), l, "2", value("quick", "2"))
	three := start(t.Context(), l, "3")
	require.Empty(t, marks.marks)
	select {
	case <-three:
		require.Fail(t, "a unit settled before the ones before it")
	default:
	}
	close(release)
	for _, done := range []<-chan error{one, two, three} {
		require.NoError(t, <-done)
	}
	requireMark(t, l, "3")
}

// refuse makes a cluster answer the next request of a producer with an error.
func refuse(fake *kfake.Cluster, err *kerr.Error) {
	fake.ControlKey(int16(kmsg.Produce), func(r kmsg.Request) (kmsg.Response, error, bool) {
		req := r.(*kmsg.ProduceRequest)
		resp := req.ResponseKind().(*kmsg.ProduceResponse)
		for _, rt := range req.Topics {
			st := kmsg.NewProduceResponseTopic()
			st.Topic, st.TopicID = rt.Topic, rt.TopicID
			for _, rp := range rt.Partitions {
				sp := kmsg.NewProduceResponseTopicPartition()
				sp.Partition, sp.ErrorCode = rp.Partition, err.Code
				st.Partitions = append(st.Partitions, sp)
			}
			resp.Topics = append(resp.Topics, st)
		}
		return resp, nil, true
	})
}

// After a record that the broker refuses nothing of its source succeeds until it begins again (I3), other sources go on.
func TestUnitsBehindAFailedOneFail(t *testing.T) {
	fake := newFake(t, kfake.SeedTopics(1, "t", "bad"))
	l := openLog(t, optionsFor(newMemory(), fake.ListenAddrs()...))
	require.NoError(t, <-start(t.Context(), l, "1", value("t", "1")))
	refuse(fake, kerr.MessageTooLarge)
	failed := start(t.Context(), l, "2", value("bad", "2"))
	err := <-failed
	require.ErrorIs(t, err, kerr.MessageTooLarge)
	requireFinal(t, err, `topic "bad"`, "key k", "max.message.bytes")
	require.ErrorIs(t, <-start(t.Context(), l, "3", value("t", "3")), errStale)
	require.NoError(t, <-start(t.Context(), l, "", value("t", "other")))
	requireMark(t, l, "1")
	require.NoError(t, <-start(t.Context(), l, "2", value("t", "2")))
	requireMark(t, l, "2")
	require.Equal(t, []string{"1", "other", "2"}, all(t, l, "t", 3))
}

// A position that cannot be stored fails its unit and those behind it.
func TestMarkStoreFails(t *testing.T) {
	marks := newMemory()
	l := openLog(t, optionsFor(marks, newFake(t).ListenAddrs()...))
	marks.fail = errors.New("no room")
	require.ErrorContains(t, <-start(t.Context(), l, "1", value("t", "1")), "store the positions: no room")
	marks.fail = nil
	require.ErrorIs(t, <-start(t.Context(), l, "2", value("t", "2")), errStale)
	requireMark(t, l, "")
	require.NoError(t, <-start(t.Context(), l, "1", value("t", "1")))
	requireMark(t, l, "1")
}

// A record too large for the settings is refused with what to change, and nothing of its unit is sent.
func TestRecordTooLarge(t *testing.T) {
	fake := newFake(t)
	o := optionsFor(newMemory(), fake.ListenAddrs()...)
	o.MaxRequestBytes = 1 << 20
	l := openLog(t, o)
	require.NoError(t, <-start(t.Context(), l, "1", value("t", "1")))
	large := value("t", string(make([]byte, 1<<20)))
	err := <-start(t.Context(), l, "2", value("t", "2"), large)
	requireFinal(t, err, `topic "t"`, "key k", "1048659 bytes", "max.request.size is 1048576", "producer.override.max.request.size")
	requireMark(t, l, "1")

	o.MaxRequestBytes = 10 << 20
	o.Creation = func(string) (Creation, bool) {
		return Creation{Partitions: 1, Replication: 1, Configs: map[string]string{"max.message.bytes": "5000"}}, true
	}
	l = openLog(t, o)
	err = <-start(t.Context(), l, "2", value("small", string(make([]byte, 6000))))
	requireFinal(t, err, `topic "small"`, "max.message.bytes of the topic is 5000")
	require.Equal(t, []string{"1"}, all(t, l, "t", 1))
}

// A topic that is missing where nobody creates it: the unit fails, trying again may help.
func TestTopicMissing(t *testing.T) {
	fake := newFake(t)
	o := optionsFor(newMemory(), fake.ListenAddrs()...)
	o.Creation = nil
	l := openLog(t, o)
	err := <-start(t.Context(), l, "1", value("t", "1"))
	require.ErrorIs(t, err, kerr.UnknownTopicOrPartition)
	require.ErrorContains(t, err, `topic "t"`)
	require.ErrorContains(t, err, "topic.creation.default.partitions")
	var own *Error
	require.ErrorAs(t, err, &own)
	require.True(t, own.Retriable())
	requireMark(t, l, "")
	require.NoError(t, l.Create(t.Context(), topic.Spec{Name: "t"}))
	require.NoError(t, <-start(t.Context(), l, "1", value("t", "1")))

	byBroker := newFake(t, kfake.AllowAutoTopicCreation(), kfake.DefaultNumPartitions(3))
	o = optionsFor(newMemory(), byBroker.ListenAddrs()...)
	o.Creation = nil
	l = openLog(t, o)
	require.NoError(t, <-start(t.Context(), l, "1", value("t", "1")))
	infos, err := l.List(t.Context())
	require.NoError(t, err)
	require.Len(t, infos[0].Partitions, 3)
}

// refuseLogins makes a cluster refuse all logins in Kafka's way; the fake's own way is to hang up.
func refuseLogins(fake *kfake.Cluster) {
	fake.ControlKey(int16(kmsg.SASLAuthenticate), func(r kmsg.Request) (kmsg.Response, error, bool) {
		fake.KeepControl()
		resp := r.ResponseKind().(*kmsg.SASLAuthenticateResponse)
		resp.ErrorCode = kerr.SaslAuthenticationFailed.Code
		resp.ErrorMessage = new("Authentication failed: Invalid username or password")
		return resp, nil, true
	})
}

// secured is a cluster that asks who is there, and options for a user of it.
func secured(t testing.TB, user, password string, acls ...kfake.ACL) (Options, *kfake.Cluster) {
	t.Helper()
	fake := newFake(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.SeedTopics(1, "t"), kfake.User("PLAIN", "worker", "right", acls...))
	o := optionsFor(newMemory(), fake.ListenAddrs()...)
	login := kgo.SASL(plain.Auth{User: user, Pass: password}.AsMechanism())
	o.Producer, o.Consumer, o.Admin = append(o.Producer, login), append(o.Consumer, login), append(o.Admin, login)
	o.Creation = nil
	return o, fake
}

func TestWrongPassword(t *testing.T) {
	o, fake := secured(t, "worker", "Canary-4711")
	refuseLogins(fake)
	logs := &bytes.Buffer{}
	o.Log = slog.New(slog.NewTextHandler(logs, nil))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	err := openLog(t, o).Connect(ctx, func(reason string) { t.Log(reason) })
	requireFinal(t, err, o.Brokers[0], "SASL_AUTHENTICATION_FAILED", "sasl.jaas.config")
	require.NotContains(t, err.Error()+logs.String(), "Canary-4711")
	o, _ = secured(t, "worker", "right")
	require.NoError(t, openLog(t, o).Connect(ctx, nil))
}

func TestNotAuthorized(t *testing.T) {
	o, _ := secured(t, "worker", "right")
	l := openLog(t, o)
	requireFinal(t, <-start(t.Context(), l, "1", value("t", "1")), `topic "t"`, "TOPIC_AUTHORIZATION_FAILED", "WRITE")
	c, err := l.Subscribe(t.Context(), topic.Subscription{Group: "g", Topics: []string{"t"}})
	require.NoError(t, err)
	_, err = c.Poll(t.Context(), 1)
	requireFinal(t, err, "AUTHORIZATION_FAILED", "READ")

	describe := kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: "t", Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: kmsg.ACLOperationDescribe, Allow: true}
	o, _ = secured(t, "worker", "right", describe)
	l = openLog(t, o)
	requireFinal(t, <-start(t.Context(), l, "1", value("t", "1")), `topic "t"`, "AUTHORIZATION_FAILED", "grant")
	requireMark(t, l, "")
}

// Brokers that are away at the start are waited for, saying where and why.
func TestConnectWaits(t *testing.T) {
	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := free.Addr().String()
	port := free.Addr().(*net.TCPAddr).Port
	require.NoError(t, free.Close())
	l := openLog(t, optionsFor(newMemory(), address))
	reasons := make(chan string, 100)
	connected := make(chan error, 1)
	go func() { connected <- l.Connect(t.Context(), func(reason string) { reasons <- reason }) }()
	reason := <-reasons
	require.Contains(t, reason, address)
	require.Contains(t, reason, "connection refused")
	require.Empty(t, l.Identity())
	newFake(t, kfake.Ports(port), kfake.ClusterID("the-cluster"))
	require.NoError(t, <-connected)
	require.Equal(t, "the-cluster", l.Identity())
}

// While the broker is away units wait, then Append does; once it is back all come, in order, and once.
func TestBrokerAway(t *testing.T) {
	broker := testdb.NewKafka(t, kafkaserver.Options{})
	marks := newMemory()
	o := optionsFor(marks, broker.Address())
	o.MaxBytes = 64 << 10
	o.Creation = func(string) (Creation, bool) { return Creation{Partitions: 1, Replication: 1}, true }
	l := openLog(t, o)
	require.NoError(t, <-start(t.Context(), l, "0", value("t", "0")))
	broker.Kill()
	const units = 200
	body := string(make([]byte, 1000))
	appended, settled := make(chan int, units), make(chan error, units)
	go func() {
		for i := 1; i <= units; i++ {
			u := topic.Unit{Records: []topic.Record{value("t", strconv.Itoa(i)+" "+body)}, Mark: topic.Mark{Key: "src", Value: strconv.Itoa(i)}}
			l.Append(context.Background(), u, func(err error) { settled <- err })
			appended <- i
		}
	}()
	waitFor(t, "the budget is used up", func() bool {
		return !l.budget.TryAcquire(2000) || func() bool { l.budget.Release(2000); return false }()
	})
	require.Less(t, len(appended), units)
	require.Empty(t, settled)
	require.NoError(t, broker.Start(t.Context()))
	for range units {
		require.NoError(t, <-settled)
	}
	requireMark(t, l, strconv.Itoa(units))
	for i, v := range all(t, l, "t", units+1) {
		var n int
		_, err := fmt.Sscan(v, &n)
		require.NoError(t, err)
		require.Equal(t, i, n)
	}
}

// A source that gives its units up gets their end though no broker answers.
func TestCancelWhileAway(t *testing.T) {
	fake := newFake(t)
	l := openLog(t, optionsFor(newMemory(), fake.ListenAddrs()...))
	require.NoError(t, <-start(t.Context(), l, "1", value("t", "1")))
	arrived, release := make(chan struct{}, 100), make(chan struct{})
	defer close(release)
	fake.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		arrived <- struct{}{}
		<-release
		return nil, nil, false
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := start(ctx, l, "2", value("t", "2"))
	<-arrived
	cancel()
	require.ErrorIs(t, <-done, context.Canceled)
	requireMark(t, l, "1")
}
