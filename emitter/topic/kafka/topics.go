// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"freshet/emitter/topic"
)

// brokerMaxBytes is the brokers' own message.max.bytes, taken where a topic's is not ours to see.
const brokerMaxBytes = 1048588

// known is what is remembered of a topic that records were appended to.
type known struct {
	partitions int32 // of which there may be more by now
	maxBytes   int32 // max.message.bytes
}

// topicCache holds the topics that exist for sure.
type topicCache struct {
	mu    sync.RWMutex // guards known
	known map[string]*known
	// making is held by the one Append that makes a topic, so that many do not make it at once.
	making sync.Mutex
}

func (c *topicCache) get(name string) *known {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.known[name]
}

func (c *topicCache) put(name string, k *known) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if k == nil {
		delete(c.known, name)
		return
	}
	c.known[name] = k
}

// batchBytes is how large a batch for a topic may be: what the request and the topic allow.
func (l *Log) batchBytes(name string) int32 {
	if k := l.topics.get(name); k != nil {
		return min(l.o.MaxRequestBytes, k.maxBytes)
	}
	return min(l.o.MaxRequestBytes, brokerMaxBytes)
}

var validName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

// checkName refuses a name that Kafka refuses.
func checkName(name string) error {
	if !validName.MatchString(name) || name == "." || name == ".." {
		return &Error{
			Op: "use topic", Subject: name, Err: kerr.InvalidTopicException, Final: true,
			Hint: "names have letters, digits, '.', '_' and '-', at most 249 of them; a topic.prefix or a transform may give it another",
		}
	}
	return nil
}

// topicFor is a topic to append to. One that does not exist is created.
func (l *Log) topicFor(ctx context.Context, name string) (*known, error) {
	if k := l.topics.get(name); k != nil {
		return k, nil
	}
	if err := checkName(name); err != nil {
		return nil, err
	}
	l.topics.making.Lock()
	defer l.topics.making.Unlock()
	if k := l.topics.get(name); k != nil {
		return k, nil
	}
	partitions, err := l.exists(ctx, name, false)
	created := false
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		created = true
		partitions, err = l.make(ctx, name)
	}
	if err != nil {
		return nil, Explain("use topic", name, err)
	}
	k := &known{partitions: partitions, maxBytes: l.maxMessageBytes(ctx, name)}
	l.topics.put(name, k)
	if created {
		l.o.Log.Info("topic is created", "topic", name, "partitions", partitions)
		l.announce()
	}
	return k, nil
}

// exists asks for the number of partitions of a topic. With create, the brokers may create it.
func (l *Log) exists(ctx context.Context, name string, create bool) (int32, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.AllowAutoTopicCreation = create
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = &name
	req.Topics = append(req.Topics, t)
	client := l.producer // whose principal may create topics that it writes to
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return 0, err
	}
	if len(resp.Topics) != 1 {
		return 0, fmt.Errorf("the answer is about %d topics, not one", len(resp.Topics))
	}
	if err := kerr.ErrorForCode(resp.Topics[0].ErrorCode); err != nil {
		return 0, err
	}
	return int32(len(resp.Topics[0].Partitions)), nil
}

// partitions are the numbers of partitions of the topics named, or of all but Kafka's own; without those that do not
// exist. It asks the brokers: the client's own answer may be of a while ago.
func (l *Log) partitions(ctx context.Context, names []string) (map[string]int, error) {
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range names {
		t := kmsg.NewMetadataRequestTopic()
		t.Topic = &name
		req.Topics = append(req.Topics, t)
	}
	resp, err := req.RequestWith(ctx, l.asker)
	if err != nil {
		return nil, Explain("list the topics", "", err)
	}
	out := make(map[string]int, len(resp.Topics))
	for i := range resp.Topics {
		t := &resp.Topics[i]
		err := kerr.ErrorForCode(t.ErrorCode)
		switch {
		case t.Topic == nil || t.IsInternal:
		case err == nil:
			out[*t.Topic] = len(t.Partitions)
		case errors.Is(err, kerr.TopicAuthorizationFailed) && len(names) > 0:
			return nil, Explain("read topic", *t.Topic, err)
		}
	}
	return out, nil
}

// make creates a topic, as Creation says or as the brokers do it by themselves, and waits until it is there.
func (l *Log) make(ctx context.Context, name string) (int32, error) {
	byBroker := true
	if l.o.Creation != nil {
		if c, ok := l.o.Creation(name); ok {
			byBroker = false
			if err := l.create(ctx, name, c); err != nil {
				return 0, err
			}
		}
	}
	const attempts = 20
	for n := 0; ; n++ {
		partitions, err := l.exists(ctx, name, byBroker)
		if err == nil && partitions > 0 {
			return partitions, nil
		}
		if err != nil && !errors.Is(err, kerr.UnknownTopicOrPartition) && !errors.Is(err, kerr.LeaderNotAvailable) {
			return 0, err
		}
		if n == attempts {
			return 0, &Error{
				Op: "append to topic", Subject: name, Err: kerr.UnknownTopicOrPartition,
				Hint: "the brokers do not create topics by themselves (auto.create.topics.enable=false): create it, or let the connector do it with topic.creation.default.partitions and topic.creation.default.replication.factor",
			}
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// pause waits for d, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// create asks the controller for a topic. One that exists is fine.
func (l *Log) create(ctx context.Context, name string, c Creation) error {
	configs := make(map[string]*string, len(c.Configs))
	for k, v := range c.Configs {
		configs[k] = &v
	}
	_, err := l.admin.CreateTopic(ctx, c.Partitions, c.Replication, configs, name)
	if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
		return Explain("create topic", name, err)
	}
	return nil
}

// maxMessageBytes is the topic's max.message.bytes.
func (l *Log) maxMessageBytes(ctx context.Context, name string) int32 {
	configs, err := l.admin.DescribeTopicConfigs(ctx, name)
	if err != nil || len(configs) != 1 || configs[0].Err != nil {
		return brokerMaxBytes // not ours to see
	}
	for _, c := range configs[0].Configs {
		if c.Key != "max.message.bytes" || c.Value == nil {
			continue
		}
		if n, err := strconv.ParseInt(*c.Value, 10, 32); err == nil {
			return max(int32(n), 1<<10)
		}
	}
	return brokerMaxBytes
}

// refresh asks again how many partitions a topic has.
func (l *Log) refresh(ctx context.Context, name string, k *known) int32 {
	n, err := l.exists(ctx, name, false)
	if err != nil || n <= k.partitions {
		return k.partitions
	}
	l.topics.put(name, &known{partitions: n, maxBytes: k.maxBytes})
	return n
}

// Create makes the topics that do not exist yet.
func (l *Log) Create(ctx context.Context, specs ...topic.Spec) error {
	if err := l.check(ctx); err != nil {
		return err
	}
	for _, s := range specs {
		if err := checkName(s.Name); err != nil {
			return err
		}
		c := Creation{Partitions: -1, Replication: -1}
		if l.o.Creation != nil {
			if given, ok := l.o.Creation(s.Name); ok {
				c = given
			}
		}
		if s.Partitions > 0 {
			c.Partitions = s.Partitions
		}
		if s.Replication > 0 {
			c.Replication = s.Replication
		}
		configs := map[string]string{}
		maps.Copy(configs, c.Configs)
		if s.RetentionTime != 0 {
			configs["retention.ms"] = strconv.FormatInt(max(s.RetentionTime.Milliseconds(), -1), 10)
		}
		if s.RetentionBytes != 0 {
			configs["retention.bytes"] = strconv.FormatInt(max(s.RetentionBytes, -1), 10)
		}
		c.Configs = configs
		if err := l.create(ctx, s.Name, c); err != nil {
			return err
		}
	}
	l.announce()
	return nil
}

// DeleteTopic deletes a topic with its records and the offsets that groups have in it.
func (l *Log) DeleteTopic(ctx context.Context, name string) error {
	if err := l.check(ctx); err != nil {
		return err
	}
	if _, err := l.admin.DeleteTopic(ctx, name); err != nil {
		return Explain("delete topic", name, err)
	}
	l.topics.put(name, nil)
	l.producer.PurgeTopicsFromProducing(name)
	for {
		if _, err := l.exists(ctx, name, false); errors.Is(err, kerr.UnknownTopicOrPartition) {
			return nil
		}
		if err := pause(ctx, 10*time.Millisecond); err != nil {
			return err
		}
	}
}

// DeleteMark forgets a mark.
func (l *Log) DeleteMark(ctx context.Context, key string) error {
	if err := l.check(ctx); err != nil {
		return err
	}
	return l.o.Marks.DeleteMark(ctx, key)
}

// announce lets the cursors of this process look for new topics.
func (l *Log) announce() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.cursors {
		select {
		case c.look <- struct{}{}:
		default:
		}
	}
}
