// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"errors"
	"fmt"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/capture"
)

func TestErrorsThatMayPass(t *testing.T) {
	o := &options{MayPass: regexp.MustCompile("^(?:.*quota.*|exactly this)$")}
	cause := permanentf("read", "x", "wait", "over the quota of today")
	for _, c := range []struct {
		err  error
		want bool
	}{
		{cause, true},
		{fmt.Errorf("snapshot: %w", errors.Join(errors.New("another"), permanentf("a", "b", "c", "%w", errors.New("exactly this")))), true},
		{permanentf("read", "x", "", "not exactly this"), false},
		{permanentf("read", "x", "", "quota: %w", &gapError{from: 1, to: 2, why: "quota"}), false},
		{fmt.Errorf("quota: %w", &capture.InvariantError{Rule: "I2"}), false},
	} {
		got := o.pass(c.err)
		require.ErrorIs(t, got, c.err)
		require.Equal(t, c.want, retriable(got), "%v", c.err)
		require.Equal(t, c.err.Error(), got.Error())
	}
	require.NoError(t, o.pass(nil))
	require.False(t, retriable((&options{}).pass(cause)))
}

func TestErrorsThatMayPassAreOpenedAgain(t *testing.T) {
	f := newFixture(t, "publication.autocreate.mode", "disabled")
	f.Exec(t, `create table a(id int primary key); insert into a values (1)`)
	f.refused("", "Publication autocreation is disabled")
	_, err := f.with(retriableErrors, "Publication autocreation .*").tryOpen("")
	require.ErrorContains(t, err, "Publication autocreation is disabled")
	require.True(t, retriable(err))

	// In the snapshot: the role may not read the table.
	role := f.Database + "_r"
	f.Exec(t, `create role `+role+` login replication password 'Secret-0815'; create publication pub_`+f.Database+` for all tables`)
	t.Cleanup(func() { f.Exec(t, `drop owned by `+role+`; drop role `+role) })
	s := f.with("database.user", role, "database.password", "Secret-0815", retriableErrors, ".*permission denied for table a.*").open("")
	_, _, err = s.tryNext(deadline)
	require.ErrorContains(t, err, "permission denied for table a")
	require.True(t, retriable(err))
}

// The guard's messages move the slot of a database where nothing happens, and are no events.
func TestGuardMessagesMoveTheSlot(t *testing.T) {
	f := newFixture(t, "snapshot.mode", "no_data", "slot.guard.interval.ms", "20", "slot.message.interval.ms", "20", "status.update.interval.ms", "20")
	f.Exec(t, `create table a(id int primary key)`)
	s := f.open("")
	start := f.confirmed()
	waitFor(t, "a position behind a message", func() bool {
		events, at := s.next()
		require.Empty(t, events)
		s.commit(at)
		p, err := parsePosition(at)
		require.NoError(t, err)
		return p.Type == typeMessage
	})
	waitFor(t, "the confirmation", func() bool { return f.confirmed() > start })
	f.Exec(t, `insert into a values (1)`)
	require.Equal(t, []string{"c a {id=1} -> {id=1}"}, s.read(1))
}

func TestGuardMessagesAreChecked(t *testing.T) {
	def := definition()
	for _, c := range []struct{ name, value string }{{"slot.guard.interval.ms", "0"}, {"read.only", "true"}} {
		_, problems := def.Parse(minimal(map[string]string{"slot.message.interval.ms": "1000", c.name: c.value}))
		require.Len(t, problems, 1)
		require.Equal(t, "slot.message.interval.ms", problems[0].Property)
	}
	_, problems := def.Parse(minimal(map[string]string{"slot.message.interval.ms": "1000"}))
	require.Empty(t, problems)
}
