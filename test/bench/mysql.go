// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"freshet/internal/mysqlserver"
)

// mysqlSink is W4 into MySQL or MariaDB: the topics are applied into a table of its own each time.
func (b *bench) mysqlSink(ctx context.Context, w *worker, kind mysqlserver.Kind) error {
	p, err := mysqlserver.Find(ctx, kind, nil)
	if err != nil {
		return err
	}
	s, err := mysqlserver.New(ctx, mysqlserver.Options{Programs: p, Settings: map[string]string{"innodb-buffer-pool-size": "512M"}})
	if err != nil {
		return err
	}
	round := 0
	for _, v := range []struct{ what, topic string }{
		{fmt.Sprintf("%s, %d creates into an empty table", kind, b.rows), "w4.bench.orders"},
		{fmt.Sprintf("%s, %d mixed", kind, b.rows), "w4.bench.mixed"},
	} {
		before := w.cpu()
		err = errors.Join(err, b.add(result{Workload: "W4", What: v.what, Unit: "records/s"}, func() (float64, error) {
			round++
			before = w.cpu()
			name := fmt.Sprintf("w4_%s%d", kind, round)
			return b.apply(ctx, w, name, v.topic, map[string]string{
				"connection.url":      fmt.Sprintf("jdbc:%s://127.0.0.1:%d/%s", kind, s.Port(), mysqlserver.Database),
				"connection.username": mysqlserver.User, "connection.password": mysqlserver.Password, "collection.name.format": name,
			})
		}, nil))
		if err == nil {
			b.usage(float64((w.cpu()-before).Microseconds())/float64(b.rows), w.peakMB())
		}
	}
	return errors.Join(err, s.Close())
}
