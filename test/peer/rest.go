// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// worker is what has Kafka Connect's REST API: the peer, or freshet.
type worker struct{ url string }

// call makes a request. An answer from 400 on is an error.
func (w *worker) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, w.url+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode >= http.StatusBadRequest:
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text)
	case out == nil:
		return nil
	}
	return json.Unmarshal(text, out)
}

// status is the answer of GET /connectors/{name}/status.
type status struct {
	Connector struct{ State, Trace string }
	Tasks     []struct{ State, Trace string }
}

func (w *worker) status(ctx context.Context, name string) (status, error) {
	var s status
	err := w.call(ctx, http.MethodGet, "/connectors/"+name+"/status", nil, &s)
	return s, err
}

// failure is the trace of a connector that has failed, "" while it has not.
func (w *worker) failure(ctx context.Context, name string) string {
	s, err := w.status(ctx, name)
	if err != nil {
		return "" // not there yet
	}
	if s.Connector.State == "FAILED" {
		return s.Connector.Trace
	}
	for _, task := range s.Tasks {
		if task.State == "FAILED" {
			return task.Trace
		}
	}
	return ""
}

// until asks until done, for two minutes at most.
func until(ctx context.Context, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok && err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			if err == nil {
				err = ctx.Err()
			}
			return fmt.Errorf("waited for %s: %w", what, err)
		}
	}
}
