// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/emitter/topic"
)

// recorded is the file that Kafka Connect 4.1.1 wrote (golden/connect/standalone/quickstart.json).
const recorded = "aced0005737200116a6176612e7574696c2e486173684d61700507dac1c31660d103000246000a6c6f6164466163746f724900097468726573686f6c6478703f4000000000000c77080000001000000001757200025b42acf317f8060854e002000078700000002d5b226c6f63616c2d66696c652d736f75726365222c7b2266696c656e616d65223a22746573742e747874227d5d7571007e00020000000e7b22706f736974696f6e223a387d78"

// several is what Java 17 writes of three entries, one of them with a null value.
const several = "aced0005737200116a6176612e7574696c2e486173684d61700507dac1c31660d103000246000a6c6f6164466163746f724900097468726573686f6c6478703f4000000000000c77080000001000000003757200025b42acf317f8060854e00200007870000000145b2262222c7b22736572766572223a2279227d5d7571007e0002000000097b226c736e223a327d7571007e0002000000145b2261222c7b22736572766572223a2278227d5d7571007e0002000000097b226c736e223a317d7571007e0002000000175b22676f6e65222c7b22736572766572223a227a227d5d7078"

func TestParseJavaOffsets(t *testing.T) {
	file, err := hex.DecodeString(recorded)
	require.NoError(t, err)
	marks, err := ParseJavaOffsets(file)
	require.NoError(t, err)
	require.Equal(t, []topic.Mark{{Key: `["local-file-source",{"filename":"test.txt"}]`, Value: `{"position":8}`}}, marks)

	many, err := hex.DecodeString(several)
	require.NoError(t, err)
	marks, err = ParseJavaOffsets(many)
	require.NoError(t, err)
	require.Equal(t, []topic.Mark{{Key: `["b",{"server":"y"}]`, Value: `{"lsn":2}`}, {Key: `["a",{"server":"x"}]`, Value: `{"lsn":1}`}}, marks)

	marks, err = ParseJavaOffsets(nil)
	require.NoError(t, err)
	require.Empty(t, marks)
	for n := 1; n < len(file); n++ {
		_, err := ParseJavaOffsets(file[:n])
		require.ErrorIs(t, err, errJava, "%d bytes of it", n)
	}
	_, err = ParseJavaOffsets([]byte(`{"not":"java"} and long enough to be read as far as the class of the map is`))
	require.ErrorIs(t, err, errJava)
}

func FuzzParseJavaOffsets(f *testing.F) {
	file, _ := hex.DecodeString(recorded)
	f.Add(file)
	f.Fuzz(func(t *testing.T, file []byte) {
		marks, err := ParseJavaOffsets(file)
		require.True(t, err == nil || marks == nil)
	})
}

// What is written is what Kafka Connect wrote, and any number of positions can be read again.
func TestAppendJavaOffsets(t *testing.T) {
	file, err := hex.DecodeString(recorded)
	require.NoError(t, err)
	marks, err := ParseJavaOffsets(file)
	require.NoError(t, err)
	require.Equal(t, recorded, hex.EncodeToString(AppendJavaOffsets(nil, marks)))
	for _, n := range []int{0, 2, 13, 1000} {
		var many []topic.Mark
		for i := range n {
			many = append(many, topic.Mark{Key: fmt.Sprintf(`["c",{"n":%d}]`, i), Value: fmt.Sprintf(`{"lsn":%d}`, i)})
		}
		got, err := ParseJavaOffsets(AppendJavaOffsets(nil, many))
		require.NoError(t, err)
		require.Equal(t, many, got)
	}
}
