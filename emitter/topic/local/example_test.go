// SPDX-License-Identifier: Apache-2.0

package local_test

import (
	"context"
	"fmt"
	"os"

	"freshet/emitter/topic"
	"freshet/emitter/topic/local"
	"freshet/internal/store"
)

// A unit is appended and read again by a consumer group.
func ExampleOpen() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	db, err := store.Open(dir, store.Options{})
	if err != nil {
		panic(err)
	}
	defer func() { _ = db.Close() }()
	log, err := local.Open(db, local.Options{})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	defer func() { _ = log.Close(ctx) }()

	durable := make(chan error)
	log.Append(ctx, topic.Unit{
		Records: []topic.Record{{
			Topic: "dbserver1.persons", Partition: topic.AnyPartition,
			Key: topic.Data{Body: []byte(`{"id":1}`)}, Value: topic.Data{Body: []byte(`{"op":"c"}`)},
		}},
		Mark: topic.Mark{Key: `{"server":"dbserver1"}`, Value: `{"lsn":24023128}`},
	}, func(err error) { durable <- err })
	fmt.Println("appended:", <-durable)

	cursor, err := log.Subscribe(ctx, topic.Subscription{Group: "connect-sink", Topics: []string{"dbserver1.persons"}})
	if err != nil {
		panic(err)
	}
	defer func() { _ = cursor.Close(ctx) }()
	records, err := cursor.Poll(ctx, 100)
	if err != nil {
		panic(err)
	}
	for _, r := range records {
		fmt.Printf("%s-%d@%d %s %s\n", r.Topic, r.Partition, r.Offset, r.Key.Bytes(), r.Value.Bytes())
	}
	fmt.Println("committed:", cursor.Commit(ctx))
	// Output:
	// appended: <nil>
	// dbserver1.persons-0@0 {"id":1} {"op":"c"}
	// committed: <nil>
}
