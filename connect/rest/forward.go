// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"freshet/connect"
)

// Headers of requests between workers, as Kafka Connect's InternalRequestSignature has them.
const (
	headerMAC       = "X-Connect-Authorization"
	headerAlgorithm = "X-Connect-Request-Signature-Algorithm"
)

// agent is the name that workers give themselves among each other.
const agent = "kafka-connect"

// teeBody keeps what is read of a body.
type teeBody struct {
	io.ReadCloser
	read *bytes.Buffer
}

// Read keeps what it reads.
func (t *teeBody) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	t.read.Write(p[:n])
	return n, err
}

// errConflict is the answer to a request that was passed on to a worker that cannot serve it either.
var errConflict = &connect.Error{Code: 409, Message: "Cannot complete request because of a conflicting operation (e.g. worker rebalance)"}

// forward passes a request on to another worker. The query parameter forward says how often that may still happen: from the
// first worker to the leader, and from the leader to the owner of a task.
func (a *api) forward(r *request, target string, body []byte) (reply, error) {
	query := r.URL.Query()
	switch given, ok := query["forward"]; {
	case !ok:
		query.Set("forward", "true")
	case strings.EqualFold(given[0], "true"):
		query.Set("forward", "false")
	default:
		return reply{}, errConflict
	}
	address := strings.TrimSuffix(target, "/") + r.URL.EscapedPath() + "?" + query.Encode()
	a.o.Log.Debug("request is passed on", "method", r.Method, "to", address)
	req, err := http.NewRequestWithContext(r.Context(), r.Method, address, bytes.NewReader(body))
	if err != nil {
		return reply{}, unreachable(err)
	}
	if given := r.Header.Get("Authorization"); given != "" {
		req.Header.Set("Authorization", given)
	}
	resp, text, err := ask(a.o.Forward, req, len(body) > 0) //nolint:bodyclose // ask has read and closed it
	if err != nil {
		return reply{}, err
	}
	answer := reply{status: resp.StatusCode}
	if len(text) > 0 {
		answer.body = json.RawMessage(text)
	}
	if resp.StatusCode == http.StatusCreated {
		var info struct {
			Name string `json:"name"`
		}
		if err := json.Unmarshal(text, &info); err != nil {
			return reply{}, unreachable(err)
		}
		answer.location = location(r, info.Name)
	}
	return answer, nil
}

// unreachable is the answer where another worker does not answer, in Kafka Connect's words.
func unreachable(err error) error {
	var inner *url.Error
	if errors.As(err, &inner) {
		err = inner.Err
	}
	return &connect.Error{Code: 500, Message: "IO Error trying to forward REST request: " + err.Error()}
}

// ask sends a request to another worker. An error that the worker answers is returned as it is.
func ask(client *http.Client, req *http.Request, hasBody bool) (*http.Response, []byte, error) {
	req.Header.Set("Accept", mediaJSON)
	req.Header.Set("User-Agent", agent)
	if hasBody {
		req.Header.Set("Content-Type", mediaJSON)
	}
	straight := *client
	straight.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	resp, err := straight.Do(req)
	if err != nil {
		return nil, nil, unreachable(err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read to its end, or is given up
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return nil, nil, unreachable(err)
	case resp.StatusCode >= http.StatusBadRequest:
		var f failure
		if err := json.Unmarshal(text, &f); err != nil {
			return nil, nil, unreachable(fmt.Errorf("the other worker answered %s", resp.Status))
		}
		return nil, nil, &connect.Error{Code: resp.StatusCode, Message: f.Message}
	case resp.StatusCode >= http.StatusMultipleChoices:
		return nil, nil, &connect.Error{Code: 500, Message: "Unexpected status code when handling forwarded request: " + resp.Status}
	}
	return resp, text, nil
}

// maxAnswer bounds answers of other workers.
const maxAnswer = 64 << 20

// signature are the headers of a request that comes from another worker.
func signature(r *request) connect.Signature {
	return connect.Signature{Algorithm: r.Header.Get(headerAlgorithm), MAC: r.Header.Get(headerMAC), Body: r.read.Bytes()}
}

// putTasks takes the task configurations that another worker made.
func (a *api) putTasks(r *request) (reply, error) {
	var configs []properties
	if err := readBody(r, &configs); err != nil {
		return reply{}, err
	}
	group, ok := a.o.Herder.(connect.Group)
	if !ok {
		return reply{}, &connect.Error{Code: 500, Message: "Kafka Connect in standalone mode does not support externally setting task configurations."}
	}
	plain := make([]map[string]string, len(configs))
	for n, cfg := range configs {
		plain[n] = cfg
	}
	return reply{status: http.StatusNoContent}, group.PutTaskConfigs(r.Context(), r.args[0], plain, signature(r))
}

// fence makes earlier instances of a connector's tasks unable to write.
func (a *api) fence(r *request) (reply, error) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return reply{}, err
	}
	group, ok := a.o.Herder.(connect.Group)
	if !ok {
		return reply{}, &connect.Error{Code: 500, Message: "Kafka Connect in standalone mode does not support exactly-once source connectors."}
	}
	return reply{status: http.StatusNoContent}, group.FenceZombies(r.Context(), r.args[0], signature(r))
}

// Peers asks other workers of the group for what only they may do.
type Peers struct{ Client *http.Client }

// PutTaskConfigs sends the task configurations that are the body of the signature to the leader. Without a code the request
// is not signed.
func (p *Peers) PutTaskConfigs(ctx context.Context, leader, connector string, s connect.Signature) error {
	return p.ask(ctx, http.MethodPost, leader, connector, "tasks", s)
}

// FenceZombies asks the leader to fence.
func (p *Peers) FenceZombies(ctx context.Context, leader, connector string, s connect.Signature) error {
	return p.ask(ctx, http.MethodPut, leader, connector, "fence", s)
}

func (p *Peers) ask(ctx context.Context, verb, worker, connector, what string, s connect.Signature) error {
	address := strings.TrimSuffix(worker, "/") + "/connectors/" + url.PathEscape(connector) + "/" + what
	req, err := http.NewRequestWithContext(ctx, verb, address, bytes.NewReader(s.Body))
	if err != nil {
		return unreachable(err)
	}
	if s.MAC != "" {
		req.Header.Set(headerMAC, s.MAC)
		req.Header.Set(headerAlgorithm, s.Algorithm)
	}
	_, _, err = ask(p.Client, req, len(s.Body) > 0) //nolint:bodyclose // ask has read and closed it
	return err
}
