// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/config"
)

// newReselecting is a fixture of a stream alone, with a table whose column big is stored out of line, and a Reader on it.
func newReselecting(t *testing.T, create string, properties ...string) (*fixture, *session) {
	t.Helper()
	f := newFixture(t, append([]string{"snapshot.mode", "no_data", "post.processors", "re", "re.type", reselectClass}, properties...)...)
	f.Exec(t, create)
	f.Exec(t, "alter table t alter column big set storage external")
	return f, f.open("")
}

const (
	reselectTable = "create table t(id int primary key, v text, big text, n int)"
	bigSQL        = "repeat('x',3000)"
	unsent        = "unavailable"
)

var named = regexp.MustCompile(`[{ ]\w+=`)

// afters are the values of the new rows of the next events, large ones shown as BIG.
func afters(s *session, n int) []string {
	s.t.Helper()
	var out []string
	for _, e := range s.events(n) {
		row := strings.ReplaceAll(strings.TrimSuffix(e.after, "}"), strings.Repeat("x", 3000), "BIG")
		out = append(out, strings.TrimPrefix(named.ReplaceAllString(row, ","), ","))
	}
	return out
}

func TestReselect(t *testing.T) {
	for _, tt := range []struct {
		name       string
		properties []string
		want       []string
	}{
		{"all", nil, []string{"1,a,BIG,5", "1,b,BIG,5", "1,c,BIG,5"}},
		{"no nulls", []string{"re.reselect.null.values", "false"}, []string{"1,a,BIG,null", "1,b,BIG,null", "1,c,BIG,5"}},
		{"nulls alone", []string{"re.reselect.unavailable.values", "FALSE"}, []string{"1,a,BIG,5", "1,b," + unsent + ",5", "1,c," + unsent + ",5"}},
		{"included", []string{"re.reselect.columns.include.list", "PUBLIC.T:(x|N)"}, []string{"1,a,BIG,5", "1,b," + unsent + ",5", "1,c," + unsent + ",5"}},
		{"excluded", []string{"re.reselect.columns.exclude.list", "public.t:n"}, []string{"1,a,BIG,null", "1,b,BIG,null", "1,c,BIG,5"}},
		{"other table", []string{"re.reselect.columns.include.list", "public.u:.*"}, []string{"1,a,BIG,null", "1,b," + unsent + ",null", "1,c," + unsent + ",5"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f, s := newReselecting(t, reselectTable, tt.properties...)
			f.Exec(t, "insert into t values (1,'a',"+bigSQL+",null); update t set v='b'; update t set v='c', n=5")
			require.Equal(t, tt.want, afters(s, 3))
		})
	}
}

// A row that is gone, or one of several with the key, keeps what came; with fail the task ends and does not come back.
func TestReselectFails(t *testing.T) {
	f, s := newReselecting(t, reselectTable)
	f.Exec(t, "insert into t values (1,'a',"+bigSQL+",null), (2,'a',"+bigSQL+",null); update t set v='b' where id=1; delete from t where id=1; update t set v='b', n=1")
	require.Equal(t, []string{"1,a,BIG,null", "2,a,BIG,1", "1,b," + unsent + ",null", "", "2,b,BIG,1"}, afters(s, 5))
	require.Equal(t, 1, strings.Count(f.log.String(), "a row cannot be read again"))
	require.Contains(t, f.log.String(), "id=1")
	from := s.untilCommit()
	s.close()
	require.Contains(t, f.log.String(), "rows=2")

	f = f.with("re.reselect.error.handling.mode", "fail")
	s = f.open(from)
	f.Exec(t, "insert into t values (3,'a','',null); delete from t where id=3")
	for range 2 {
		_, _, err := s.tryNext(deadline)
		var e *Error
		require.ErrorAs(t, err, &e)
		require.False(t, e.Retriable())
		require.ErrorContains(t, err, "public.t")
		require.ErrorContains(t, err, "id=3")
		require.Contains(t, e.Hint, "reselect.error.handling.mode=warn")
	}
}

func TestReselectKeys(t *testing.T) {
	t.Run("of the record", func(t *testing.T) {
		f, s := newReselecting(t, "create table t(k int, v text, big text, n int)", "message.key.columns", "public.t:k", "re.reselect.use.event.key", "true")
		f.Exec(t, "insert into t values (1,'a','s',0), (2,'a','s',0)")
		afters(s, 2)
		f.Exec(t, "alter table t replica identity full; insert into t values (2,'c','s',null), (3,'a','s',null), (null,'b','s',null); update t set n=3 where k=3")
		require.Equal(t, []string{"2,c,s,null", "3,a,s,3", "null,b,s,null", "3,a,s,3"}, afters(s, 4))
		require.Contains(t, f.log.String(), "not unique")
	})
	t.Run("of the table", func(t *testing.T) {
		f, s := newReselecting(t, `create table t("Id a" numeric(8,2), b "char", v text, big text, primary key (b, "Id a"))`, "message.key.columns", "public.t:v")
		f.Exec(t, "insert into t values (1,'x','a',"+bigSQL+"), (1,'y','a',''); update t set v='b' where b='x'")
		got := afters(s, 3)
		require.Contains(t, got[2], ",x,b,BIG")
	})
	t.Run("without", func(t *testing.T) {
		f, s := newReselecting(t, "create table t(v text, big text)", "message.key.columns", "public.t:v")
		f.Exec(t, "alter table t replica identity full; insert into t values ('a',null)")
		require.Equal(t, []string{"a,null"}, afters(s, 1))
		require.Contains(t, f.log.String(), "there is no key")
	})
	t.Run("stored out of line", func(t *testing.T) {
		f, s := newReselecting(t, "create table t(id text primary key, v text, big text)")
		f.Exec(t, "alter table t alter column id set storage external; insert into t values (repeat('k',2100),'a',"+bigSQL+"); update t set v='b'")
		k := strings.Repeat("k", 2100)
		require.Equal(t, []string{k + ",a,BIG", k + ",b,BIG"}, afters(s, 2))
	})
}

// Values that are read again go by the rules of their columns, and are those of the stream in form.
func TestReselectForms(t *testing.T) {
	f, s := newReselecting(t, "create table t(id int primary key, v int, big text, j jsonb, b bytea, a int[])",
		"column.truncate.to.3.chars", "public.t.big", "binary.handling.mode", "hex", "re.reselect.null.values", "false")
	f.Exec(t, "alter table t alter j set storage external; alter table t alter b set storage external; alter table t alter a set storage external")
	f.Exec(t, "insert into t select 1, 1, "+bigSQL+", jsonb_build_object('a',"+bigSQL+"), "+bigSQL+"::bytea, array_agg(g) from generate_series(1,1000) g; update t set v=2")
	e := s.events(2)
	require.Equal(t, strings.Replace(e[0].after, "v=1", "v=2", 1), e[1].after)
	require.Contains(t, e[1].after, "big=xxx ")
	require.NotContains(t, e[1].after, unsent)
}

// Many rows come in several batches, all complete, also where the connection that reads them is lost in between.
func TestReselectManyRows(t *testing.T) {
	f, s := newReselecting(t, reselectTable)
	const rows = 5 * rereadsPerBatch
	f.Exec(t, "insert into t select g, 'a', "+bigSQL+", 0 from generate_series(1,"+strconv.Itoa(rows)+") g; update t set v='b'")
	for i, a := range afters(s, 2*rows) {
		if i >= rows {
			require.Equal(t, strconv.Itoa(i-rows+1)+",b,BIG,0", a)
		}
	}
	f.Exec(t, "select pg_terminate_backend(pid) from pg_stat_activity where query like 'SELECT \"big\"%' and datname=current_database()")
	f.Exec(t, "update t set v='c' where id=1")
	require.Equal(t, []string{"1,c,BIG,0"}, afters(s, 1))
	require.NotContains(t, f.log.String(), "cannot be read again")
}

// A batch that is being completed when Next is canceled comes with a later Next, once.
func TestReselectIsCanceled(t *testing.T) {
	f, s := newReselecting(t, reselectTable)
	f.Exec(t, "insert into t values (1,'a',"+bigSQL+",0); update t set v='b'")
	require.Len(t, afters(s, 2), 2)
	lock := f.Connect(t)
	_, err := lock.Exec(t.Context(), "begin; update t set v='c'; commit; begin; lock table t in access exclusive mode")
	require.NoError(t, err)
	waits := func() bool {
		return f.Text(t, "select count(*) from pg_locks where not granted and relation='t'::regclass") == "1"
	}
	var b change.Batch
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.r.Next(ctx, &b) }()
		waitFor(t, "the row is asked for", waits)
		cancel()
		require.ErrorIs(t, <-done, context.Canceled)
		require.Empty(t, b.Changes)
		waitFor(t, "the question is withdrawn", func() bool { return !waits() })
	}
	_, err = lock.Exec(t.Context(), "commit")
	require.NoError(t, err)
	require.Equal(t, []string{"1,c,BIG,0"}, afters(s, 1))
	s.nothing(200 * time.Millisecond)
}

func TestConformanceWithReselect(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data", "max.batch.size", "2", "post.processors", "re", "re.type", reselectClass)
	f.Exec(t, "create table a(id int primary key, v text)")
	f.open("").close()
	f.Exec(t, "insert into a values (1,null),(2,'y'),(3,null); update a set v='w' where id=1; update a set v=null where id=2; delete from a where id=3")
	s := f.open("")
	first := s.read(6)
	s.close()
	r, err := f.tryOpen("")
	require.NoError(t, err)
	again := &session{t: t, r: r}
	defer again.close()
	require.Equal(t, first, again.read(6))
}

func TestPostProcessorsAreChecked(t *testing.T) {
	def := definition()
	for _, tt := range []struct {
		name       string
		properties map[string]string
		property   string
		want       string
	}{
		{"no class", map[string]string{"post.processors": "re"}, "post.processors", `the property "re.type" with the class is missing`},
		{"other class", map[string]string{"post.processors": "re", "re.type": "com.example.Own"}, "post.processors", "cannot be loaded here"},
		{"two", map[string]string{"post.processors": "re,s", "re.type": reselectClass, "s.type": reselectClass}, "post.processors", "one processor"},
		{"expression", map[string]string{"post.processors": "re", "re.type": reselectClass, "re.reselect.columns.include.list": "a("}, "re.reselect.columns.include.list", "regular expressions"},
		{"flag", map[string]string{"post.processors": "re", "re.type": reselectClass, "re.reselect.null.values": "maybe"}, "re.reselect.null.values", "Either 'true' or 'false'"},
		{"mode", map[string]string{"post.processors": "re", "re.type": reselectClass, "re.reselect.error.handling.mode": "skip"}, "re.reselect.error.handling.mode", "one of warn, fail"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, problems := def.Parse(minimal(tt.properties))
			require.Len(t, config.Errors(problems), 1)
			require.Equal(t, tt.property, problems[0].Property)
			require.Contains(t, problems[0].Message, tt.want)
		})
	}
	_, problems := def.Parse(minimal(map[string]string{"post.processors": "re", "re.type": reselectClass, "re.reselect.cache.enabled": "true"}))
	require.Len(t, problems, 1)
	require.True(t, problems[0].Warning)
}
