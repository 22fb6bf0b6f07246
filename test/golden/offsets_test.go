// SPDX-License-Identifier: Apache-2.0

package golden

import (
	"encoding/json"
	"fmt"
)

// offsetMembers are the members that a position of PostgreSQL may have, with the types of their values. Which of them are
// there depends on what was read last: an idle server's position has the fewest.
var offsetMembers = map[string]string{
	"lsn": "number", "lsn_proc": "number", "lsn_commit": "number", "txId": "number", "ts_usec": "number",
	"messageType": "string", "snapshot": "string", "snapshot_completed": "bool", "last_snapshot_record": "bool",
	"incremental_snapshot_primary_key": "string", "incremental_snapshot_maximum_key": "string", "incremental_snapshot_collections": "string",
	"incremental_snapshot_correlation_id": "string", "freshet_snapshots": "object",
	"transaction_id": "string", "lsn_message": "number", "system_id": "number", "timeline": "number",
}

// offsetsFile is what GET /connectors/{name}/offsets answers.
type offsetsFile struct {
	Offsets []struct {
		Partition map[string]string `json:"partition"`
		Offset    map[string]any    `json:"offset"`
	} `json:"offsets"`
}

func parseOffsets(text []byte) (offsetsFile, error) {
	var f offsetsFile
	err := json.Unmarshal(text, &f)
	return f, err
}

// typeName is the JSON type of a decoded value.
func typeName(v any) string {
	switch v.(type) {
	case float64:
		return "number"
	case string:
		return "string"
	case bool:
		return "bool"
	default:
		return fmt.Sprintf("%T", v)
	}
}
