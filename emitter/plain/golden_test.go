// SPDX-License-Identifier: Apache-2.0

package plain_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/change"
	"freshet/emitter"
	"freshet/emitter/plain"
	"freshet/emitter/topic"
	"freshet/test/notation"
)

// ownWrites are recorded writes that say something of the recorder's objects, by their text, and what is written here.
var ownWrites = map[string]string{
	"java.nio.HeapByteBuffer[pos=1 lim=3 cap=3]": "java.nio.HeapByteBuffer[pos=0 lim=2 cap=2]", // the buffer was a window
	"[B@50d13246":  "java.nio.HeapByteBuffer[pos=0 lim=1 cap=1]", // an address: there is one kind of bytes here
	"\x01\x02\x03": "\x02\x03",                                   // the window again, of which the original writes all
}

// javaOnly are the parts of messages that name classes of the recorder.
var javaOnly = strings.NewReplacer("java.util.Arrays$ArrayList", "java.util.ArrayList", "java.util.LinkedHashMap", "java.util.HashMap")

func TestGoldenPlainConverters(t *testing.T) {
	for _, p := range plain.Plugins() {
		name := p.Class[strings.LastIndexByte(p.Class, '.')+1:]
		for i, c := range notation.Cases(t, "plain-"+name+".jsonl") {
			t.Run(fmt.Sprintf("%s/%d", name, i), func(t *testing.T) {
				converter, err := plain.New(c.Class, c.Config)
				require.NoError(t, err)
				if c.Op == "toConnectData" {
					readCase(t, converter, &c)
				} else {
					writeCase(t, converter, &c)
				}
			})
		}
	}
}

func writeCase(t *testing.T, converter *plain.Converter, c *notation.Case) {
	var b change.Batch
	typ := notation.Type(t, c.Schema)
	v := notation.Value(t, &b, typ, c.Value)
	encoder, err := converter.Compile(typ)
	require.NoError(t, err)
	require.Nil(t, encoder.Head())
	got, ok, err := encoder.Append([]byte("x"), &b, v)
	if c.Error != nil {
		requireError(t, c, err)
		return
	}
	require.NoError(t, err)
	want := c.Out.Bytes(t)
	require.Equal(t, want != nil, ok)
	if own, ok := ownWrites[string(want)]; ok {
		want = []byte(own)
	}
	require.Equal(t, "x"+string(want), string(got))
}

func readCase(t *testing.T, converter *plain.Converter, c *notation.Case) {
	var b change.Batch
	typ, v, err := converter.DecodeData(&b, "t", topic.Data{Body: c.In.Bytes(t)})
	if c.Error != nil {
		requireError(t, c, err)
		return
	}
	require.NoError(t, err)
	want := notation.Type(t, c.Schema)
	require.Equal(t, want, typ)
	require.Equal(t, notation.Render(&b, notation.Value(t, &b, want, c.Value)), notation.Render(&b, v))
}

// requireError compares message and cause; the cause of a failed cast goes on about modules of Java.
func requireError(t *testing.T, c *notation.Case, err error) {
	t.Helper()
	var data *emitter.DataError
	require.ErrorAs(t, err, &data)
	require.Equal(t, javaOnly.Replace(c.Error[0][1]), data.Message)
	if len(c.Error) > 1 {
		cause, _, _ := strings.Cut(javaOnly.Replace(c.Error[1][1]), " (")
		require.EqualError(t, data.Err, cause)
	}
	require.False(t, data.Retriable())
}

func TestGoldenPlainConfigs(t *testing.T) {
	n := 0
	for _, c := range notation.Cases(t, "bad-configs.jsonl") {
		if !strings.HasSuffix(c.Class, "StringConverter") {
			continue
		}
		n++
		_, err := plain.New(c.Class, c.Config)
		require.EqualError(t, err, c.Error[0][1])
	}
	require.NotZero(t, n)
}

// A text goes through every encoding and back; what an encoding does not have is a question mark.
func TestStringEncodings(t *testing.T) {
	for _, c := range []struct{ encoding, text, wire, back string }{
		{"utf8", "é😀", "é😀", "é😀"},
		{"ISO-8859-1", "é", "\xe9", "é"},
		{"latin1", "aé€", "a\xe9?", "aé?"},
		{"US-ASCII", "aé", "a?", "a?"},
		{"UTF-16", "", "", ""},
		{"UTF-16LE", "a", "a\x00", "a"},
		{"windows-1252", "€", "\x80", "€"},
	} {
		converter, err := plain.New("StringConverter", map[string]string{"converter.encoding": c.encoding})
		require.NoError(t, err)
		encoder, err := converter.Compile(nil)
		require.NoError(t, err)
		var b change.Batch
		wire, ok, err := encoder.Append(nil, &b, b.Text(c.text))
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, c.wire, string(wire), c.encoding)
		_, v, err := converter.DecodeData(&b, "t", topic.Data{Body: append([]byte{}, wire...)})
		require.NoError(t, err)
		require.Equal(t, c.back, b.String(v), c.encoding)
	}
}

// Nothing is allocated for a value once there is room.
func TestPlainAllocatesNothing(t *testing.T) {
	converter, err := plain.New("string", nil)
	require.NoError(t, err)
	typ := notation.Type(t, []byte(`{"type":"STRUCT","fields":[["a",{"type":"INT32"}],["f",{"type":"FLOAT64"}],["s",{"type":"STRING"}]]}`))
	encoder, err := converter.Compile(typ)
	require.NoError(t, err)
	var b change.Batch
	v := notation.Run(&b, change.Struct, []change.Value{change.IntValue(1), change.FloatValue(1.5), b.Text("x")})
	dst := make([]byte, 0, 256)
	require.Zero(t, testing.AllocsPerRun(100, func() { dst, _, _ = encoder.Append(dst[:0], &b, v) }))
	require.Equal(t, "Struct{a=1,f=1.5,s=x}", string(dst))
}
