// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"freshet/sinks"
)

const mysqlOrdersDDL = `create table orders(id bigint primary key, customer_id int not null, status varchar(20) not null, amount decimal(12,2) not null,
  currency char(3) not null, created_at timestamp(6) not null, updated_at datetime(6) not null, note varchar(200), active boolean not null, payload json)`

// BenchmarkMySQL is workload W4 without the topic, beside what the server does with the same rows by LOAD DATA into a
// temporary table and an upsert from there.
func BenchmarkMySQL(b *testing.B) {
	for name, server := range mysqlServers {
		for _, c := range []struct {
			name, offsets string
			fill          func(*sinks.Batch, *int64)
		}{{"creates", "", fillCreates}, {"creates with offsets", "freshet_offsets", fillCreates}, {"mixed", "", fillMixed}} {
			b.Run(name+" "+c.name, func(b *testing.B) {
				s := server(b)
				s.Exec(b, mysqlOrdersDDL)
				w := open(b, mysqlProperties(s, "collection.name.format", "orders", "offsets.table.name", c.offsets,
					"connection.url", s.URL()+"?sslMode=DISABLED"), nil)
				b.Cleanup(func() { require.NoError(b, w.Close(context.WithoutCancel(b.Context()))) })
				benchmarkWriter(b, w, c.fill)
			})
		}
		b.Run(name+" LOAD DATA and upsert", func(b *testing.B) {
			s := server(b)
			s.Exec(b, mysqlOrdersDDL)
			c := s.Connect(b)
			exec := func(sql string) {
				_, err := c.ExecContext(b.Context(), sql)
				require.NoError(b, err)
			}
			exec("create temporary table stage like orders")
			next, rows := 0, 0
			for b.Loop() {
				b.StopTimer()
				var text strings.Builder
				for range 10_000 {
					g := next % 1000
					fmt.Fprintf(&text, "%d\t%d\tNEW\t%d.25\tEUR\t2026-01-01 00:00:00\t2026-01-01 00:00:00.5\tnote for row number %d with some padding text\t%d\t{\"qty\": %d, \"sku\": \"A-%d\", \"tags\": [\"x\", \"y\"]}\n",
						next, g, g, g, g%2, g%7, g)
					next++
				}
				mysql.RegisterReaderHandler("orders", func() io.Reader { return strings.NewReader(text.String()) })
				b.StartTimer()
				exec("start transaction")
				exec("load data local infile 'Reader::orders' into table stage character set utf8mb4")
				exec("insert into orders select * from stage on duplicate key update note = values(note)")
				exec("delete from stage")
				exec("commit")
				rows += 10_000
			}
			b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
