// SPDX-License-Identifier: Apache-2.0

package group

import (
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/connect"
	"freshet/connect/cluster/assign"
)

// recordedAssignment is an assignment of a recording, decoded.
type recordedAssignment struct {
	Version      Version         `json:"version"`
	Error        int16           `json:"error"`
	Leader       string          `json:"leader"`
	LeaderURL    string          `json:"leader_url"`
	ConfigOffset int64           `json:"config_offset"`
	Assigned     []recordedShare `json:"assigned"`
	Revoked      []recordedShare `json:"revoked"`
	Delay        int32           `json:"delay"`
}

type recordedShare struct {
	Connector string `json:"connector"`
	Tasks     []int  `json:"tasks"`
}

func (r *recordedAssignment) want() *Assignment {
	if r == nil {
		return nil
	}
	work := func(shares []recordedShare) assign.Work {
		w := assign.Work{}
		for _, s := range shares {
			for _, n := range s.Tasks {
				w = append(w, connect.TaskID{Connector: s.Connector, Task: n})
			}
		}
		return w
	}
	a := &Assignment{
		Version: r.Version, Error: r.Error, Leader: r.Leader, LeaderURL: r.LeaderURL, Offset: r.ConfigOffset,
		Assigned: work(r.Assigned), DelayMs: r.Delay,
	}
	if r.Version != Eager {
		a.Revoked = work(r.Revoked)
	}
	return a
}

// What Kafka Connect's workers told their coordinator is read as it was meant, and written again byte for byte.
func TestRecordedGroups(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "..", "testdata", "golden", "connect", "topics", "group-*.json"))
	require.NoError(t, err)
	members := 0
	for _, path := range files {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		var steps []struct {
			Title   string `json:"title"`
			Members []struct {
				MetadataHex string `json:"metadata_hex"`
				Metadata    struct {
					Version      Version             `json:"version"`
					URL          string              `json:"url"`
					ConfigOffset int64               `json:"config_offset"`
					Allocation   *recordedAssignment `json:"allocation"`
				} `json:"metadata"`
				AssignmentHex string              `json:"assignment_hex"`
				Assignment    *recordedAssignment `json:"assignment"`
			} `json:"members"`
		}
		var whole struct {
			Steps json.RawMessage `json:"steps"`
		}
		if json.Unmarshal(text, &whole) == nil {
			text = whole.Steps
		}
		require.NoError(t, json.Unmarshal(text, &steps), path)
		for _, step := range steps {
			for _, m := range step.Members {
				if m.MetadataHex == "" { // the group was in the middle of a round
					continue
				}
				members++
				raw, err := hex.DecodeString(m.MetadataHex)
				require.NoError(t, err)
				got, err := ParseMetadata(raw)
				require.NoError(t, err, step.Title)
				require.Equal(t, Metadata{
					Version: m.Metadata.Version, URL: m.Metadata.URL, Offset: m.Metadata.ConfigOffset, Has: m.Metadata.Allocation.want(),
				}, got, step.Title)
				require.Equal(t, m.MetadataHex, hex.EncodeToString(got.Append(nil)), step.Title)

				raw, err = hex.DecodeString(m.AssignmentHex)
				require.NoError(t, err)
				assignment, err := ParseAssignment(raw)
				require.NoError(t, err, step.Title)
				require.Equal(t, *m.Assignment.want(), assignment, step.Title)
				require.Equal(t, m.AssignmentHex, hex.EncodeToString(assignment.Append(nil)), step.Title)
			}
		}
	}
	require.Greater(t, members, 8, "the recordings are there")
}

func TestShortAndLongMessages(t *testing.T) {
	whole := Assignment{
		Version: Compatible, Leader: "m", LeaderURL: "u", Offset: 3,
		Assigned: assign.Work{{Connector: "c", Task: assign.Instance}, {Connector: "c", Task: 1}}, Revoked: assign.Work{{Connector: "d", Task: 0}}, DelayMs: 5,
	}
	bytes := whole.Append(nil)
	got, err := ParseAssignment(append(bytes, 1, 2, 3))
	require.NoError(t, err, "a newer version may add fields")
	require.Equal(t, whole, got)
	got, err = ParseAssignment(bytes[:len(bytes)-4])
	require.NoError(t, err)
	require.Zero(t, got.DelayMs)

	metadata := Metadata{Version: Sessioned, URL: "u", Offset: 1, Has: &whole}
	bytes = metadata.Append(nil)
	for n := range bytes {
		_, err := ParseMetadata(bytes[:n])
		if n != 2+2+1+8 { // without the last field it is whole
			require.Error(t, err, "%d of %d bytes", n, len(bytes))
		}
	}
}

func FuzzParse(f *testing.F) {
	a := Assignment{Version: Sessioned, Leader: "m", Assigned: assign.Work{{Connector: "c", Task: 1}}}
	m := Metadata{Version: Sessioned, URL: "u", Has: &a}
	f.Add(a.Append(nil))
	f.Add(m.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := ParseAssignment(b); err == nil {
			again, err := ParseAssignment(a.Append(nil))
			require.NoError(t, err)
			require.ElementsMatch(t, a.Assigned, again.Assigned)
		}
		if m, err := ParseMetadata(b); err == nil {
			_, err := ParseMetadata(m.Append(nil))
			require.NoError(t, err)
		}
	})
}
