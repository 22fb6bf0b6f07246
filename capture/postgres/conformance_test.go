// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"freshet/capture"
	"freshet/capture/capturetest"
	"freshet/change"
	"freshet/internal/testdb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, testdb.IgnoreServer()) }

func TestConformanceOfTheStream(t *testing.T) {
	capturetest.Run(t, func(t *testing.T) capturetest.Fixture {
		f := newFixture(t, "snapshot.mode", "no_data", "max.batch.size", "2")
		f.Exec(t, `create table a(id int primary key, v text)`)
		f.open("").close()
		f.Exec(t, `insert into a values (1,'x'),(2,'y'),(3,'z')`)
		f.Exec(t, `update a set v='w' where id=1; update a set id=9 where id=2; delete from a where id=3`)
		f.Exec(t, `truncate a`)
		return capturetest.Fixture{Open: opener(f), Changes: 7}
	})
}

func TestConformanceOfSnapshotAndStream(t *testing.T) {
	capturetest.Run(t, func(t *testing.T) capturetest.Fixture {
		f := newFixture(t, "max.batch.size", "2")
		f.Exec(t, `create table a(id int primary key, v text); insert into a select g, 'v' from generate_series(1,5) g`)
		open := func(t testing.TB, from change.Position) capture.Reader {
			t.Helper()
			if from != "" {
				from = repeating(t, from)
			}
			return opener(f)(t, from)
		}
		return capturetest.Fixture{Open: open, Changes: 5, Repeats: func(p change.Position) bool {
			if p == "" {
				return true
			}
			pos, err := parsePosition(p)
			require.NoError(t, err)
			return pos.unfinishedSnapshot()
		}}
	})
}

// repeating is a position without what it says of finished blocks: a snapshot is then repeated as a whole. That one goes on
// is shown in open_resume_test.go.
func repeating(t testing.TB, p change.Position) change.Position {
	t.Helper()
	pos, err := parsePosition(p)
	require.NoError(t, err)
	pos.Finished = ""
	return pos.Position()
}

func opener(f *fixture) func(testing.TB, change.Position) capture.Reader {
	return func(t testing.TB, from change.Position) capture.Reader {
		t.Helper()
		r, err := f.tryOpen(from)
		require.NoError(t, err)
		return r
	}
}
