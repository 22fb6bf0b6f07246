// SPDX-License-Identifier: Apache-2.0

package connect

import "context"

// ElsewhereError is the error of a request that another worker of the group must serve.
type ElsewhereError struct {
	URL string // of the other worker's REST API
}

// Error is for the log: whoever takes the request passes it on.
func (e *ElsewhereError) Error() string { return "another worker must serve the request: " + e.URL }

// NoKnownLeader is the answer where it is not known which worker must serve a request.
func NoKnownLeader() error {
	return &Error{409, "Cannot complete request momentarily due to no known leader URL, likely because a rebalance was underway."}
}

// StaleConfiguration is the answer to a request that would have to wait for the end of a rebalance.
func StaleConfiguration() error {
	return &Error{409, "Cannot complete request momentarily due to stale configuration (typically caused by a concurrent config change)"}
}

// Signature is how a worker shows that it is one of the group: the values of its request's headers, "" where one is missing.
type Signature struct {
	Algorithm string // such as HmacSHA256
	MAC       string // base64 of the code of Body
	Body      []byte // the request's, as it came
}

// Group is a Herder that is the leader for others: they ask it for what only the leader may do. Requests come signed.
type Group interface {
	// PutTaskConfigs stores what the worker that runs a connector made of its configuration.
	PutTaskConfigs(ctx context.Context, connector string, configs []map[string]string, s Signature) error
	// FenceZombies makes earlier instances of an exactly-once connector's tasks unable to write.
	FenceZombies(ctx context.Context, connector string, s Signature) error
}
