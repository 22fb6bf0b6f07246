// SPDX-License-Identifier: Apache-2.0

package backing

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/connect"
)

func requireNote(t testing.TB, n *Notes, key, want string) {
	t.Helper()
	got, err := n.Status(key)
	require.NoError(t, err)
	require.Equal(t, want, string(got))
}

func claim(t testing.TB, n *Notes, key, want string) {
	t.Helper()
	got, err := n.Claim(key)
	require.NoError(t, err)
	require.Equal(t, want, string(got))
}

// A worker that stood still while its task moved does not undo what the next one wrote: not by what it writes after it has
// read on, and not by what was on its way to the brokers.
func TestNoteOfAnEarlierOwner(t *testing.T) {
	fake := newFake(t)
	o := optionsFor("notes", fake.ListenAddrs()...)
	frozen, next := &Notes{Offsets: startOffsets(t, o)}, &Notes{Offsets: startOffsets(t, o)}
	require.ErrorIs(t, frozen.PutStatus("c", []byte("0")), connect.ErrClaimed, "nobody has claimed it")
	claim(t, frozen, "c", "")
	require.NoError(t, frozen.PutStatus("c", []byte("1")))
	requireNote(t, next, "c", "1")
	written := raw(t, o.Offsets.Name, fake.ListenAddrs()...)
	late := written[len(written)-1]

	claim(t, next, "c", "1")
	require.NoError(t, next.PutStatus("c", []byte("2")))
	require.ErrorIs(t, frozen.PutStatus("c", []byte("1 and more")), connect.ErrClaimed)
	everywhere := func(want string) {
		t.Helper()
		for _, n := range []*Notes{frozen, next, {Offsets: startOffsets(t, o)}} {
			requireNote(t, n, "c", want)
		}
	}
	everywhere("2")
	for _, r := range written { // its claim too
		require.NoError(t, frozen.Offsets.journal.write(t.Context(), record(string(late.Key), r.Value)))
	}
	everywhere("2")
	require.NoError(t, next.PutStatus("c", []byte("3")))
	everywhere("3")

	// Nor does it bring back what was deleted, also where another connector has got the name.
	require.NoError(t, next.DeleteStatus("c"))
	require.NoError(t, frozen.Offsets.journal.write(t.Context(), record(string(late.Key), late.Value)))
	everywhere("")
	claim(t, next, "c", "")
	require.NoError(t, next.PutStatus("c", []byte("4")))
	require.NoError(t, frozen.Offsets.journal.write(t.Context(), record(string(late.Key), late.Value)))
	everywhere("4")

	// It may have the task again.
	claim(t, frozen, "c", "4")
	require.NoError(t, frozen.PutStatus("c", []byte("5")))
	require.ErrorIs(t, next.PutStatus("c", []byte("6")), connect.ErrClaimed)
	everywhere("5")
}

// Who is not in the group claims nothing, and of two that claim at the same time one.
func TestClaimsThatAreVoid(t *testing.T) {
	fake := newFake(t)
	o := optionsFor("claims", fake.ListenAddrs()...)
	a, b := &Notes{Offsets: startOffsets(t, o)}, &Notes{Offsets: startOffsets(t, o)}
	claim(t, b, "c", "")
	require.NoError(t, b.PutStatus("c", []byte("1")))
	a.Alive = func() bool { return false }
	_, err := a.Claim("c")
	require.ErrorIs(t, err, connect.ErrClaimed)
	require.NoError(t, b.PutStatus("c", []byte("2")))
	a.Alive = func() bool { // it was, and stands still before it writes
		claim(t, b, "c", "2")
		return true
	}
	_, err = a.Claim("c")
	require.ErrorIs(t, err, connect.ErrClaimed)
	require.NoError(t, b.PutStatus("c", []byte("3")))
	requireNote(t, a, "c", "3")
}

// Notes without an owner were kept by an earlier version.
func TestNoteWithoutOwner(t *testing.T) {
	fake := newFake(t)
	o := optionsFor("early", fake.ListenAddrs()...)
	n := &Notes{Offsets: startOffsets(t, o)}
	key, err := noteKey("c")
	require.NoError(t, err)
	value, err := json.Marshal(map[string]string{"note": "1"})
	require.NoError(t, err)
	require.NoError(t, n.Offsets.journal.write(t.Context(), record(key, value)))
	claim(t, n, "c", "1")
	require.NoError(t, n.PutStatus("c", []byte("2")))
	require.NoError(t, n.Offsets.journal.write(t.Context(), record(key, value)))
	requireNote(t, n, "c", "2")
}
