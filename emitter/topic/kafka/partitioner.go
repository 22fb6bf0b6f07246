// SPDX-License-Identifier: Apache-2.0

package kafka

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"freshet/emitter/topic"
)

// partitioner takes the partition that a record names, else the one of the key's murmur2 as Kafka's default partitioner
// (I6), else for null keys one after another, each for a batch.
type partitioner struct{}

// ForTopic makes the partitioner of one topic.
func (partitioner) ForTopic(name string) kgo.TopicPartitioner {
	return topicPartitioner{kgo.StickyKeyPartitioner(nil).ForTopic(name)}
}

type topicPartitioner struct{ byKey kgo.TopicPartitioner }

var _ kgo.TopicPartitionerOnNewBatch = topicPartitioner{}

// RequiresConsistency is true where the partition is not free to choose.
func (p topicPartitioner) RequiresConsistency(r *kgo.Record) bool {
	return r.Partition != topic.AnyPartition || p.byKey.RequiresConsistency(r)
}

// Partition chooses.
func (p topicPartitioner) Partition(r *kgo.Record, n int) int {
	if r.Partition != topic.AnyPartition {
		return int(r.Partition)
	}
	return p.byKey.Partition(r, n)
}

// OnNewBatch lets null keys go to another partition.
func (p topicPartitioner) OnNewBatch() {
	if b, ok := p.byKey.(kgo.TopicPartitionerOnNewBatch); ok {
		b.OnNewBatch()
	}
}
