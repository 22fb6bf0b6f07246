// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"freshet/emitter/topic"
)

// peer is a Kafka Connect worker and the Kafka it writes to.
type peer struct {
	worker
	brokers string
	client  *kgo.Client
}

func newPeer(url, brokers string) (*peer, error) {
	c, err := kgo.NewClient(kgo.SeedBrokers(brokers), kgo.MetadataMinAge(10*time.Millisecond))
	if err != nil {
		return nil, err
	}
	return &peer{worker{url}, brokers, c}, nil
}

func (p *peer) close() { p.client.Close() }

// ends are the ends of the topics whose names begin with a prefix. All have one partition.
func (p *peer) ends(ctx context.Context, prefix string) (map[string]int64, error) {
	meta := kmsg.NewPtrMetadataRequest() // no topics are all topics
	found, err := meta.RequestWith(ctx, p.client)
	if err != nil {
		return nil, fmt.Errorf("list the topics of the peer: %w", err)
	}
	ask := kmsg.NewPtrListOffsetsRequest()
	for _, t := range found.Topics {
		if t.Topic == nil || !belongs(*t.Topic, prefix) {
			continue
		}
		part := kmsg.NewListOffsetsRequestTopicPartition()
		part.Timestamp = -1 // the end
		rt := kmsg.NewListOffsetsRequestTopic()
		rt.Topic, rt.Partitions = *t.Topic, append(rt.Partitions, part)
		ask.Topics = append(ask.Topics, rt)
	}
	out := map[string]int64{}
	if len(ask.Topics) == 0 {
		return out, nil
	}
	answer, err := ask.RequestWith(ctx, p.client)
	if err != nil {
		return nil, fmt.Errorf("ask for the ends of the peer's topics: %w", err)
	}
	for _, t := range answer.Topics {
		for _, part := range t.Partitions {
			if err := kerr.ErrorForCode(part.ErrorCode); err != nil {
				return nil, fmt.Errorf("end of topic %s: %w", t.Topic, err)
			}
			out[t.Topic] = part.Offset
		}
	}
	return out, nil
}

// records reads those topics up to their ends.
func (p *peer) records(ctx context.Context, prefix string) ([]topic.Record, error) {
	ends, err := p.ends(ctx, prefix)
	if err != nil {
		return nil, err
	}
	from := map[string]map[int32]kgo.Offset{}
	var left int64
	for name, end := range ends {
		if end > 0 {
			from[name] = map[int32]kgo.Offset{0: kgo.NewOffset().AtStart()}
			left += end
		}
	}
	if left == 0 {
		return nil, nil
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(p.brokers), kgo.ConsumePartitions(from))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var out []topic.Record
	for int64(len(out)) < left {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("read the peer's topics: %w", err)
		}
		fetches.EachRecord(func(r *kgo.Record) { out = append(out, convert(r)) })
	}
	return out, nil
}

func convert(r *kgo.Record) topic.Record {
	out := topic.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: data(r.Key), Value: data(r.Value)}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, topic.Header{Key: h.Key, Value: h.Value})
	}
	return out
}

func data(b []byte) topic.Data {
	if b == nil {
		return topic.Data{}
	}
	return topic.Data{Body: b}
}

// forget deletes the topics of a run.
func (p *peer) forget(ctx context.Context, prefix string) error {
	ends, err := p.ends(ctx, prefix)
	if err != nil || len(ends) == 0 {
		return err
	}
	del := kmsg.NewPtrDeleteTopicsRequest()
	del.TimeoutMillis = 10000
	for name := range ends {
		t := kmsg.NewDeleteTopicsRequestTopic()
		t.Topic = new(name)
		del.Topics = append(del.Topics, t)
		del.TopicNames = append(del.TopicNames, name)
	}
	_, err = del.RequestWith(ctx, p.client)
	return err
}
