// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/internal/testdb"
)

// TestLargeRow: a row of 64 MB (see largeMB) goes through snapshot, stream and sink, as text with characters that JSON escapes and as
// bytes; and an update that leaves it alone does not touch it.
func TestLargeRow(t *testing.T) {
	t.Parallel()
	// With PostgreSQL's default for the time that one message may take.
	source, target := testdb.NewPostgres(t, testdb.Options{Settings: map[string]string{"wal_sender_timeout": "60s"}}), testdb.Postgres(t)
	source.Exec(t, `create table items(id int primary key, n int not null, note text, raw bytea);
alter table items alter note set storage external, alter raw set storage external`)
	text := fmt.Sprintf(`repeat('a "line" with \, é, tab	 ' || repeat('and more', 125) || chr(10), %d * 1024)`, largeMB)
	source.Exec(t, "insert into items values (1, 0, "+text+", null)")
	s := pair(t, source, target)
	w := s.start(t)
	// Sizes are cheap to ask for, sums are not.
	const sizes = "select id, n, octet_length(note), octet_length(raw) from items order by id"
	const sums = "select id, n, md5(note), md5(raw) from items order by id"
	same := func(what string) {
		t.Helper()
		want := source.Rows(t, sizes)
		waitWithin(t, 4*patience, what, func() bool { // slow under the race detector
			return target.Text(t, "select count(*) from pg_tables where tablename = 'items'") == "1" && reflect.DeepEqual(want, target.Rows(t, sizes))
		})
		require.Equal(t, source.Rows(t, sums), target.Rows(t, sums), what)
	}
	same("the large text of the snapshot")
	w.streaming(t, source)
	source.Exec(t, fmt.Sprintf("insert into items values (2, 0, null, decode(md5('x') || repeat('00ff1031', %d * 1024 * 1024 / 4), 'hex'))", largeMB))
	same("the large bytes of the stream")
	source.Exec(t, "update items set n = n + 1")
	same("the updates that leave the large values alone")
	require.Equal(t, "t", source.Text(t, fmt.Sprintf("select min(octet_length(coalesce(note, raw::text))) >= %d * 1024 * 1024 from items", largeMB)))
	w.stop(t)
}
