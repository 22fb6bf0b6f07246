// SPDX-License-Identifier: Apache-2.0

package sinks

import (
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/emitter/topic"
)

// lengths decodes a value to its length.
type lengths struct{}

func (lengths) Decode(_ *Batch, r *topic.Record) (Record, error) {
	return Record{Topic: r.Topic, Offset: r.Offset, Headers: r.Headers, Value: change.IntValue(int64(len(r.Value.Body)))}, nil
}

// evenOffsets drops the records between them.
type evenOffsets struct{}

func (evenOffsets) Apply(_ *Batch, r *Record) (bool, error) { return r.Offset%2 == 0, nil }

func TestRecordsAreDecodedWithoutAllocating(t *testing.T) {
	task := NewTask(Options{Decoder: lengths{}, Transforms: []Transform{evenOffsets{}}})
	records := make([]topic.Record, 100)
	for i := range records {
		records[i] = topic.Record{
			Topic: "t", Offset: int64(i), Value: topic.Data{Body: make([]byte, i)}, Headers: []topic.Header{{Key: "h", Value: []byte("v")}},
		}
	}
	b := &Batch{Next: map[topic.Partition]int64{}}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		b.Reset()
		if err := task.decode(t.Context(), b, records); err != nil {
			t.Error(err)
		}
	}))
	require.Len(t, b.Records, 50)
	for i, r := range b.Records {
		require.Equal(t, int64(2*i), r.Value.Int())
		require.Equal(t, topic.Partition{Topic: "t"}, r.Source)
		require.Equal(t, "h", r.Headers[0].Key)
	}
	require.Equal(t, map[topic.Partition]int64{{Topic: "t"}: 100}, b.Next)
}
