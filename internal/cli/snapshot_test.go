// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/capture"
)

func TestSnapshotsForPeople(t *testing.T) {
	var out bytes.Buffer
	a := &app{Env: Env{Out: &out}}
	require.NoError(t, a.writeSnapshots([]capture.SnapshotJob{
		{
			ID: capture.InitialSnapshot, Type: "initial", State: "running", Rows: 30, Left: []string{"public.b"}, Created: time.Unix(0, 0).UTC(),
			Progress: []capture.TableProgress{
				{Table: "public.a", Rows: 20, Estimated: 20, Blocks: 2, BlocksDone: 2, Done: true, RowsPerSec: 10},
				{Table: "public.b", Rows: 10, Estimated: 40, Blocks: 4, BlocksDone: 1, RowsPerSec: 5, ETASeconds: 6},
			},
		},
		{ID: "x", Type: "incremental", State: "queued", Created: time.Unix(0, 0).UTC()},
	}))
	require.Equal(t, `ID                TYPE         STATE    ROWS  TABLES LEFT  CREATED               ERROR
initial-snapshot  initial      running  30    public.b     1970-01-01T00:00:00Z  
x                 incremental  queued   0                  1970-01-01T00:00:00Z  

initial-snapshot
  public.a  20 of about 20 rows, block 2 of 2, done, 10 rows/s
  public.b  10 of about 40 rows, block 1 of 4, 5 rows/s, 6 s left
`, out.String())
}
