// SPDX-License-Identifier: Apache-2.0

package jdbc_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"freshet/change"
	"freshet/internal/testdb"
	"freshet/schema"
	"freshet/sinks"
)

const postgresItems = "create table items(id bigint primary key, v text, n int)"

// withOptions is a connection.url whose session has settings of the server.
func withOptions(t *testing.T, s *testdb.Server, settings ...string) string {
	t.Helper()
	u, err := url.Parse(s.DSN())
	require.NoError(t, err)
	q := u.Query()
	q.Set("options", "-c "+strings.Join(settings, " -c "))
	u.RawQuery = strings.ReplaceAll(q.Encode(), "+", "%20")
	return u.String()
}

// TestDeadlock: the whole batch is rolled back, and a new attempt goes through.
func TestDeadlock(t *testing.T) {
	s := testdb.Postgres(t)
	s.Exec(t, postgresItems+"; insert into items values (1, 'old', 0), (2, 'old', 0)")
	properties := upsert(s, "connection.url", withOptions(t, s, "deadlock_timeout=2s"))
	w := open(t, properties, nil)
	other := s.Connect(t)
	_, err := other.Exec(t.Context(), "set deadlock_timeout = '1h'; begin; update items set n = 9 where id = 2")
	require.NoError(t, err)
	f := items()
	both := func(b *sinks.Batch) {
		f.change(b, change.Update, int64(2), "new", int64(1))
		f.change(b, change.Update, int64(1), "new", int64(1))
	}
	written := make(chan error, 1)
	go func() {
		b := newBatch()
		both(b)
		written <- w.Write(t.Context(), b)
	}()
	waits := "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'freshet' and wait_event_type = 'Lock'"
	require.Eventually(t, func() bool { return s.Text(t, waits) == "1" }, 10*time.Second, 10*time.Millisecond, "the writer has the first row and waits for the second")
	_, err = other.Exec(t.Context(), "update items set n = 9 where id = 1")
	require.NoError(t, err)
	err = <-written
	require.ErrorContains(t, err, "deadlock detected")
	require.True(t, retriable(err))
	_, err = other.Exec(t.Context(), "rollback")
	require.NoError(t, err)
	require.Equal(t, "1 old 0; 2 old 0", rows(t, s, "select * from items order by 1"), "nothing of the batch is there")
	require.NoError(t, w.Close(t.Context()))
	w = open(t, properties, nil)
	write(t, w, both)
	require.Equal(t, "1 new 1; 2 new 1", rows(t, s, "select * from items order by 1"))
	require.NoError(t, w.Close(t.Context()))
}

// TestWritersOfTheSameRowsMeetThemInOneOrder: keys are sorted, so that two tasks never wait for each other.
func TestWritersOfTheSameRowsMeetThemInOneOrder(t *testing.T) {
	eachSize(t, func(t *testing.T, n int) {
		s := testdb.Postgres(t)
		s.Exec(t, postgresItems)
		g, ctx := errgroup.WithContext(t.Context())
		for task := range uint64(2) {
			w := open(t, upsert(s), nil)
			g.Go(func() error {
				r := rand.New(rand.NewPCG(task, 0))
				f := items()
				for range 30 {
					b := newBatch()
					for _, id := range r.Perm(n) {
						f.change(b, change.Update, int64(id), "v", int64(task))
					}
					if err := w.Write(ctx, b); err != nil {
						return err
					}
				}
				return w.Close(ctx)
			})
		}
		require.NoError(t, g.Wait())
	})
}

// TestTroubleThatPasses: what the server says of itself and not of the data is tried again, with the next step. A trigger says
// it here, in the server's own words, for the row 7.
func TestTroubleThatPasses(t *testing.T) {
	for _, c := range []struct{ code, hint string }{
		{"40001", ""}, // serialization failure
		{"53100", "free space on the target's disk"},
		{"53200", "memory"},
		{"55P03", ""}, // lock not available
		{"57014", ""}, // canceled, by a timeout for instance
	} {
		t.Run(c.code, func(t *testing.T) {
			eachSize(t, func(t *testing.T, n int) {
				s := testdb.Postgres(t)
				s.Exec(t, postgresItems+fmt.Sprintf(`; create table trouble(on_ bool); insert into trouble values (true);
					create function f() returns trigger language plpgsql as $$ begin
						if new.id = 1007 and (select on_ from trouble) then raise sqlstate '%s' using message = 'trouble'; end if; return new; end $$;
					create trigger t before insert or update on items for each row execute function f()`, c.code))
				w := open(t, upsert(s), nil)
				f := items()
				batch := func(b *sinks.Batch) {
					for i := range n {
						f.change(b, change.Create, int64(i), "v", int64(1))
					}
					f.change(b, change.Create, int64(1007), "v", int64(1))
				}
				b := newBatch()
				batch(b)
				err := w.Write(t.Context(), b)
				require.ErrorContains(t, err, "trouble")
				require.ErrorContains(t, err, c.hint)
				require.True(t, retriable(err), "%v", err)
				require.Equal(t, "0", s.Text(t, "select count(*) from items"))
				require.NoError(t, w.Close(t.Context()))
				s.Exec(t, "update trouble set on_ = false")
				w = open(t, upsert(s), nil)
				write(t, w, batch)
				require.Equal(t, fmt.Sprint(n+1), s.Text(t, "select count(*) from items"))
				require.NoError(t, w.Close(t.Context()))
			})
		})
	}
}

func TestTargetReadOnly(t *testing.T) {
	eachSize(t, func(t *testing.T, n int) {
		s := testdb.Postgres(t)
		s.Exec(t, postgresItems)
		w := open(t, upsert(s, "connection.url", withOptions(t, s, "default_transaction_read_only=on")), nil)
		f, b := items(), newBatch()
		for i := range n {
			f.change(b, change.Create, int64(i), "v", int64(1))
		}
		err := w.Write(t.Context(), b)
		require.ErrorContains(t, err, "read-only transaction")
		require.ErrorContains(t, err, "default_transaction_read_only")
		require.True(t, retriable(err), "%v", err)
		require.NoError(t, w.Close(t.Context()))
	})
}

// TestServerGoesAtTheCommit: the connection is gone when the commit is sent; the stored position tells that nothing came of it.
func TestServerGoesAtTheCommit(t *testing.T) {
	s := testdb.Postgres(t)
	properties := upsert(s, "offsets.table.name", "freshet_offsets")
	w := open(t, properties, nil)
	f := items()
	write(t, w, func(b *sinks.Batch) { f.change(b, change.Create, int64(1), "v", int64(1)) })
	b := newBatch()
	f.change(b, change.Create, int64(2), "v", int64(1))
	require.False(t, survives(t, w, b, "sink.commit.before", func() { breakWriters(s) }))
	_ = w.Close(context.WithoutCancel(t.Context())) // its connection is gone
	w = open(t, properties, nil)
	positions, err := w.(sinks.Positioner).Positions(t.Context())
	require.NoError(t, err)
	require.Len(t, positions, 1)
	for _, at := range positions {
		require.EqualValues(t, 1, at)
	}
	require.Equal(t, "1 v 1", rows(t, s, "select * from items"))
	require.NoError(t, w.Close(t.Context()))
}

// TestWideTables: what is beyond the server's limits is told in few words.
func TestWideTables(t *testing.T) {
	s := testdb.Postgres(t)
	w := open(t, upsert(s), nil)
	wide := func(n int) (*feed, []any) {
		fields, values := []schema.Field{required("id", schema.Int64)}, []any{int64(1)}
		for i := range n - 1 {
			fields, values = append(fields, fieldOf(fmt.Sprint("c", i), schema.Int16)), append(values, int64(i))
		}
		return newFeed(fmt.Sprint("wide", n), 1, fields...), values
	}
	f, values := wide(1600)
	write(t, w, func(b *sinks.Batch) {
		for i := range int64(many) {
			values[0] = i
			f.change(b, change.Create, values...)
		}
	})
	require.Equal(t, fmt.Sprint(many, " ", many*1598), rows(t, s, "select count(*), sum(c1598) from wide1600"))
	for _, n := range []int{1601, 10_000} {
		f, values = wide(n)
		e := refused(t, w, func(b *sinks.Batch) { f.change(b, change.Create, values...) })
		require.ErrorContains(t, e, "tables can have at most 1600 columns")
		require.ErrorContains(t, e, "field.exclude.list")
		require.Less(t, len(e.Error()), 500)
	}
	require.NoError(t, w.Close(t.Context()))
}

// TestRowsBeyondTheServersLimits are the record's: the others of their batch go through without it.
func TestRowsBeyondTheServersLimits(t *testing.T) {
	eachSize(t, func(t *testing.T, n int) {
		s := testdb.Postgres(t)
		s.Exec(t, "create table items(id text primary key, v text)")
		w := open(t, upsert(s), nil)
		f := newFeed("items", 1, required("id", schema.String), fieldOf("v", schema.String))
		r := rand.New(rand.NewPCG(1, 2))
		long := make([]byte, 6000) // nothing that compresses
		for i := range long {
			long[i] = byte('!' + r.IntN(90))
		}
		e := refused(t, w, func(b *sinks.Batch) {
			for i := range n {
				f.change(b, change.Create, fmt.Sprint(i), "v")
			}
			f.change(b, change.Create, string(long), "v")
		})
		require.Equal(t, n, e.Index)
		require.ErrorContains(t, e, "exceeds btree version 4 maximum")
		require.Less(t, len(e.Error()), 1000)
		require.NoError(t, w.Close(t.Context()))
	})
}

// TestCharacterSets: a database that cannot hold a text refuses that record; one without a character set keeps the bytes.
func TestCharacterSets(t *testing.T) {
	for encoding, holds := range map[string]bool{"LATIN1": false, "SQL_ASCII": true, "UTF8": true} {
		t.Run(encoding, func(t *testing.T) {
			eachSize(t, func(t *testing.T, n int) {
				s := testdb.Postgres(t)
				database := s.Database + "_" + strings.ToLower(encoding)
				s.Exec(t, fmt.Sprintf(`create database "%s" encoding '%s' lc_collate 'C' lc_ctype 'C' template template0`, database, encoding))
				t.Cleanup(func() { s.Exec(t, fmt.Sprintf(`drop database "%s" with (force)`, database)) })
				in := *s
				in.Database = database
				in.Exec(t, postgresItems)
				w := open(t, upsert(&in), nil)
				f := items()
				texts := func(text string) func(b *sinks.Batch) {
					return func(b *sinks.Batch) {
						for i := range n {
							f.change(b, change.Create, int64(i), "é", int64(1))
						}
						f.change(b, change.Create, int64(n), text, int64(1))
					}
				}
				write(t, w, texts("ü"))
				show := fmt.Sprintf("select encode(convert_to(v, 'UTF8'), 'hex') from items where id = %d", n)
				if encoding == "SQL_ASCII" {
					show = fmt.Sprintf("select encode(v::bytea, 'hex') from items where id = %d", n)
				}
				require.Equal(t, "c3bc", in.Text(t, show))
				if holds {
					write(t, w, texts("🎉"))
					require.Equal(t, "f09f8e89", in.Text(t, show))
				} else {
					e := refused(t, w, texts("🎉"))
					require.Equal(t, n, e.Index)
					require.ErrorContains(t, e, `has no equivalent in encoding "LATIN1"`)
					require.ErrorContains(t, e, "correct the row at the source")
				}
				require.NoError(t, w.Close(t.Context()))
			})
		})
	}
}
