// SPDX-License-Identifier: Apache-2.0

package confluent

import (
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/emitter/topic"
)

func TestPasswordsInURLsAreHidden(t *testing.T) {
	require.Equal(t, "http://****@a:1,http://b", showURLs("http://u:p@a:1, http://b"))
}

// A message is the same in one piece and with its head apart; heads may be longer than what is shared.
func TestSplit(t *testing.T) {
	for _, d := range []topic.Data{
		{Body: []byte{0, 0, 0, 1, 2, 'x', 'y'}},
		{Head: &topic.Head{Bytes: []byte{0, 0, 0, 1, 2}}, Body: []byte("xy")},
		{Head: &topic.Head{Bytes: []byte{0, 0, 0, 1, 2, 'x'}}, Body: []byte("y")},
		{Head: &topic.Head{Bytes: []byte{0, 0}}, Body: []byte{0, 1, 2, 'x', 'y'}},
	} {
		id, suffix, rest, err := Split(d)
		require.NoError(t, err)
		require.Equal(t, uint32(0x102), id)
		require.Equal(t, "xy", string(suffix)+string(rest))
	}
	for _, d := range []topic.Data{{Body: []byte{}}, {Body: []byte{0, 0, 0, 1}}, {Body: []byte{1, 0, 0, 0, 1}}} {
		_, _, _, err := Split(d)
		require.ErrorContains(t, err, "Unknown magic byte!")
	}
}

func TestParseObject(t *testing.T) {
	o, err := ParseObject([]byte(`{"b": 1, "a": "x", "b": null}`))
	require.NoError(t, err)
	require.Equal(t, []string{"b", "a"}, o.Names)
	require.Equal(t, "null", string(o.Values["b"]))
	text, ok := o.Text("a")
	require.True(t, ok)
	require.Equal(t, "x", text)
	for _, name := range []string{"b", "c"} {
		_, ok = o.Text(name)
		require.False(t, ok)
	}
	for _, broken := range []string{``, `[]`, `{"a"}`, `{"a":`, `{"a":1`, `{"a":}`} {
		_, err = ParseObject([]byte(broken))
		require.Error(t, err, broken)
	}
}
