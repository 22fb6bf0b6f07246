// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/capture/postgres/walsendertest"
	"freshet/change"
	"freshet/emitter"
	"freshet/emitter/json"
	"freshet/emitter/topic/local"
	"freshet/internal/store"
	"freshet/internal/store/storetest"
	"freshet/internal/testdb"
)

// between puts the fake walsender between the connector and the fixture's server.
func (f *fixture) between() (*fixture, *walsendertest.Server) {
	f.t.Helper()
	w := walsendertest.Serve(f.t, net.JoinHostPort(f.Host, strconv.Itoa(f.Port)))
	return f.with("database.hostname", w.Host, "database.port", strconv.Itoa(w.Port)), w
}

// recordStream lets the real server stream three transactions, and returns its messages and the events made of them.
func recordStream(t *testing.T, f *fixture, w *walsendertest.Server) (bodies [][]byte, events []string) {
	t.Helper()
	f.Exec(t, `create table a(id int primary key, v text); create table b(id int primary key)`)
	f.open("").close()
	require.NoError(t, f.Script(t, `insert into a values (1,'x'),(2,null),(3,repeat('y', 300));
copy b from stdin;
1
2
3
\.
begin; insert into b values (9); update a set v = 'z' where id = 1; delete from b where id < 3; commit;
`))
	s := f.open("")
	for _, e := range s.events(10) {
		events = append(events, e.String()+" "+e.source)
	}
	s.untilCommit()
	s.close()
	return w.Recorded(), events
}

func TestFakeWalsenderSpeaksAsTheServer(t *testing.T) {
	f, w := newFixture(t, "snapshot.mode", "no_data").between()
	bodies, _ := recordStream(t, f, w)
	kinds := map[byte]int{}
	for _, body := range bodies {
		c := &cursor{p: body[1:]}
		if body[0] == 'k' {
			require.Equal(t, body, walsendertest.KeepAlive(c.uint64(), int64(c.uint64()), c.byte() == 1))
			kinds['k']++
			continue
		}
		start, end, clock, data := c.uint64(), c.uint64(), int64(c.uint64()), c.p
		require.Equal(t, body, walsendertest.XLogData(start, end, clock, data))
		kinds[data[0]]++
		c = &cursor{p: data[1:]}
		switch data[0] {
		case msgBegin:
			m := parseBegin(c)
			require.Equal(t, data, walsendertest.Begin(uint64(m.Final), m.Micros-postgresEpochMicros, m.XID))
		case msgCommit:
			m := parseCommit(c)
			require.Equal(t, data, walsendertest.Commit(uint64(m.LSN), uint64(m.End), m.Micros-postgresEpochMicros))
		case msgRelation:
			m := parseRelation(c)
			var columns []walsendertest.Column
			for _, col := range m.Columns {
				columns = append(columns, walsendertest.Column{Name: col.Name, Key: col.Key, Type: col.Type, Modifier: col.Typmod})
			}
			require.Equal(t, data, walsendertest.Relation(m.OID, m.Schema, m.Name, m.Identity, columns...))
		case msgInsert:
			oid := c.uint32()
			c.byte()
			var values []string
			for range c.uint16() {
				kind, text := c.column()
				if kind == columnText {
					values = append(values, string(text))
				}
			}
			if len(values) == int(data[6])<<8|int(data[7]) { // all values are texts
				require.Equal(t, data, walsendertest.Insert(oid, values...))
			}
		}
	}
	require.Equal(t, 3, kinds[msgBegin])
	require.Equal(t, 3, kinds[msgCommit])
	require.Equal(t, 7, kinds[msgInsert])
	require.NotZero(t, kinds[msgRelation])
}

// Whatever a server does to a stream, the same events come of it.
func TestServersThatAreSlow(t *testing.T) {
	f, w := newFixture(t, "snapshot.mode", "no_data", "status.update.interval.ms", "20").between()
	bodies, want := recordStream(t, f, w)
	var asking [][]byte // wants an answer behind each message
	for _, body := range bodies {
		asking = append(asking, body, walsendertest.KeepAlive(1, 0, true))
	}
	for name, script := range map[string][]walsendertest.Step{
		"all at once":                 {walsendertest.Send(bodies...)},
		"one byte at a time":          {walsendertest.Dribble(1, bodies...)},
		"in pieces":                   {walsendertest.Dribble(7, bodies...)},
		"keep-alives between":         {walsendertest.Send(asking...)},
		"keep-alives in small pieces": {walsendertest.Dribble(3, asking...)},
	} {
		t.Run(name, func(t *testing.T) {
			g := *f
			g.t = t
			w.Script(script...)
			s := g.open("")
			var got []string
			for _, e := range s.events(len(want)) {
				got = append(got, e.String()+" "+e.source)
			}
			require.Equal(t, want, got)
			s.close()
		})
	}
}

// A server that goes after any message leaves whole events behind it, and a position at which the rest follows (I4).
func TestServerGoesAfterEveryMessage(t *testing.T) {
	f, w := newFixture(t, "snapshot.mode", "no_data").between()
	bodies, want := recordStream(t, f, w)
	for n := range bodies {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			g := *f
			g.t = t
			w.Script(walsendertest.Send(bodies[:n]...), walsendertest.Hangup)
			s := g.open("")
			from := change.Position("")
			var got []string
			for {
				events, end, err := s.tryNext(deadline)
				if err != nil {
					require.True(t, retriable(err), "%v", err)
					break
				}
				for _, e := range events {
					got = append(got, e.String()+" "+e.source)
				}
				from = end
			}
			s.close()
			if len(got) == len(want) {
				return
			}
			w.Script(walsendertest.Stream(bodies...))
			s = g.open(from)
			for _, e := range s.events(len(want) - len(got)) {
				got = append(got, e.String()+" "+e.source)
			}
			require.Equal(t, want, got)
			s.close()
		})
	}
}

// R9: a keep-alive may be far ahead of what was taken. It confirms nothing.
func Test_keep_alive_confirms_nothing_unread(t *testing.T) {
	f, w := newFixture(t, "snapshot.mode", "no_data", "status.update.interval.ms", "10", "max.batch.size", "2").between()
	bodies, _ := recordStream(t, f, w)
	end := uint64(1) << 40
	before := len(w.Statuses())
	answered := func(n int) walsendertest.Step {
		return walsendertest.Await(func(u walsendertest.Status) bool { return len(w.Statuses()) >= before+n })
	}
	w.Script(walsendertest.Send(bodies...), walsendertest.Send(walsendertest.KeepAlive(end, 0, true)), answered(5),
		walsendertest.Send(walsendertest.KeepAlive(end, 0, true)), answered(10))
	s := f.open("")
	s.next() // two of ten events; the rest waits
	first := s.end
	waitFor(t, "ten answers", func() bool { return len(w.Statuses()) >= before+10 })
	for _, u := range w.Statuses()[before:] {
		require.Zero(t, u.Flushed, "nothing is durable, so nothing is confirmed")
		require.Zero(t, u.Applied)
	}
	s.commit(first)
	p, err := parsePosition(first)
	require.NoError(t, err)
	waitFor(t, "the confirmation", func() bool { return w.Statuses()[len(w.Statuses())-1].Flushed != 0 })
	require.Equal(t, uint64(p.start()), w.Statuses()[len(w.Statuses())-1].Flushed)
	s.close()
}

// A server that says nothing, not even when asked, is given up after twice wal_sender_timeout.
func Test_silent_stall_detected(t *testing.T) {
	db := testdb.NewPostgres(t, testdb.Options{Settings: map[string]string{"wal_sender_timeout": "400ms"}})
	f, w := fixtureOn(t, db, "snapshot.mode", "no_data", "status.update.interval.ms", "50").between()
	bodies, want := recordStream(t, f, w)
	w.Script(walsendertest.Send(bodies...))
	s := f.open("")
	require.Len(t, s.events(len(want)), len(want))
	var err error
	for err == nil {
		_, _, err = s.tryNext(deadline)
	}
	require.ErrorContains(t, err, "no byte from the server for")
	require.True(t, retriable(err))
	asked := false
	for _, u := range w.Statuses() {
		asked = asked || u.Reply
	}
	require.True(t, asked, "an answer was asked for before")
}

// R9: at the moment of every status update, what it confirms is on the disk: a power failure right then loses nothing that
// the server may throw away.
func TestStatusUpdatesConfirmWhatIsOnDisk(t *testing.T) {
	f, w := newFixture(t, "snapshot.mode", "no_data", "status.update.interval.ms", "10", "max.batch.size", "20").between()
	f.Exec(t, `create table a(id int primary key, v text)`)
	r, err := f.tryOpen("")
	require.NoError(t, err)
	fs := storetest.New()
	db, err := store.Open("data", store.Options{FS: fs})
	require.NoError(t, err)
	log, err := local.Open(db, local.Options{})
	require.NoError(t, err)

	disk := newDiskWatch(t, fs)
	w.OnStatus(disk.compare)
	ctx, stop := context.WithCancel(t.Context())
	format := json.New(json.Options{})
	run := make(chan error, 1)
	go func() {
		run <- emitter.NewPipeline(r, log, emitter.Options{
			MarkKey: disk.key, Topics: emitter.TopicNames{Prefix: "p"}, Key: format, Value: format, Tombstones: true,
			Source: emitter.SourcePlan{Block: sourceBlock(), Version: "1", Connector: "postgresql", Name: "p"}, Log: slog.New(slog.DiscardHandler),
		}).Run(ctx)
	}()
	conn := f.Connect(t)
	for i := range 60 {
		release := func() {}
		if i%10 == 5 {
			release = fs.HoldSyncs() // what comes meanwhile is read, not durable
		}
		_, err := conn.Exec(t.Context(), `insert into a select g, repeat('x', 50) from generate_series($1::int, $2::int) g`, i*50, i*50+49)
		require.NoError(t, err)
		n := len(w.Statuses())
		waitFor(t, "status updates", func() bool { return len(w.Statuses()) > n+1 })
		release()
	}
	waitFor(t, "the last confirmation", func() bool { return disk.confirmed() >= f.confirmed() && disk.seen() >= 10 })
	stop()
	require.NoError(t, <-run)
	require.NoError(t, r.Close(t.Context()))
	require.NoError(t, log.Close(t.Context()))
	require.NoError(t, db.Close())
	require.Empty(t, disk.wrong)
}

// diskWatch compares status updates with the disk at their moment.
type diskWatch struct {
	t   *testing.T
	fs  *storetest.FS
	key string

	mu     sync.Mutex
	last   uint64
	rising int // updates that confirmed something new
	wrong  []string
}

func newDiskWatch(t *testing.T, fs *storetest.FS) *diskWatch {
	t.Helper()
	return &diskWatch{t: t, fs: fs, key: "m"}
}

// compare opens the store as a power failure at this moment leaves it: nothing unsynced is there.
func (d *diskWatch) compare(u walsendertest.Status) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if u.Flushed < d.last {
		d.wrong = append(d.wrong, fmt.Sprintf("confirmed %d after %d", u.Flushed, d.last))
	}
	if u.Flushed <= d.last {
		return
	}
	d.last = u.Flushed
	d.rising++
	durable, err := d.durable()
	if err != nil || uint64(durable) < u.Flushed {
		d.wrong = append(d.wrong, fmt.Sprintf("confirmed %s, on disk is %s (%v)", lsn(u.Flushed), durable, err))
	}
}

func (d *diskWatch) durable() (at lsn, err error) {
	db, err := store.Open("data", store.Options{FS: d.fs.Crash(0, rand.New(rand.NewPCG(1, 1)))})
	if err != nil {
		return 0, err
	}
	defer func() { _ = db.Close() }()
	log, err := local.Open(db, local.Options{RetentionInterval: -1})
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	defer func() { _ = log.Close(ctx) }()
	mark, err := log.LoadMark(ctx, d.key)
	if err != nil {
		return 0, err
	}
	p, err := parsePosition(change.Position(mark))
	return p.start(), err
}

func (d *diskWatch) confirmed() lsn {
	d.mu.Lock()
	defer d.mu.Unlock()
	return lsn(d.last)
}

func (d *diskWatch) seen() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.rising
}
