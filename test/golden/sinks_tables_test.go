// SPDX-License-Identifier: Apache-2.0

package golden

// sinksSkipped are the recorded cases of the JDBC sink that need what is not served yet, and what that is.
var sinksSkipped = map[string]string{}

// sinkDifference is a case where ours is better than recorded. The expected target is in the folder expected.
type sinkDifference struct {
	why      string
	state    string            // RUNNING, FAILED, or REFUSED by a 400 answer
	says     string            // a pattern of what the failure or refusal says
	consumed map[string]string // where it differs
}

var sinksDifferent = map[string]sinkDifference{}
