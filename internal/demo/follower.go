// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// event is what the demo shows of a record.
type event struct {
	Offset  int64
	Key     string
	Op      string // "tombstone" for a null value
	After   string // "null" for a delete
	Arrived time.Time
}

// record is a line of the worker's record stream.
type record struct {
	Offset int64           `json:"offset"`
	Key    json.RawMessage `json:"key"`
	Value  json.RawMessage `json:"value"`
}

// follower reads the records of a topic while they come.
type follower struct {
	worker *process
	topic  string
	next   int64 // offset of the next new record
	events chan event
	cancel context.CancelFunc
	done   chan struct{}
}

func follow(ctx context.Context, w *process, topic string) (*follower, error) {
	f := &follower{worker: w, topic: topic, events: make(chan event, 256)}
	return f, f.again(ctx)
}

// again begins to read from a worker that was started; records seen already are left out.
func (f *follower) again(ctx context.Context) error {
	f.close()
	ctx, cancel := context.WithCancel(ctx)
	var res *http.Response
	err := until(ctx, "topic "+f.topic, func() (bool, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.worker.url+"/freshet/topics/"+f.topic+"/records?from=beginning", nil)
		if err != nil {
			return false, err
		}
		if res, err = http.DefaultClient.Do(req); err != nil { //nolint:bodyclose // the reading goroutine closes it
			return false, err
		}
		if res.StatusCode != http.StatusOK { // there is no record yet
			return false, res.Body.Close()
		}
		return true, nil
	})
	if err != nil {
		cancel()
		return err
	}
	f.cancel, f.done = cancel, make(chan struct{})
	go func() {
		defer close(f.done)
		defer res.Body.Close()
		f.read(ctx, bufio.NewReaderSize(res.Body, 1<<20))
	}()
	return nil
}

// read ends with the stream.
func (f *follower) read(ctx context.Context, lines *bufio.Reader) {
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var r record
		if json.Unmarshal(line, &r) != nil || r.Offset < f.next {
			continue
		}
		f.next = r.Offset + 1
		select {
		case f.events <- eventOf(r):
		case <-ctx.Done():
			return
		}
	}
}

func eventOf(r record) event {
	var key struct{ Payload json.RawMessage }
	var value struct {
		Payload struct {
			Op    string
			After json.RawMessage
		}
	}
	_ = json.Unmarshal(r.Key, &key) // both come from our own worker
	e := event{Offset: r.Offset, Key: string(key.Payload), Op: "tombstone", Arrived: time.Now()}
	if string(r.Value) != "null" {
		_ = json.Unmarshal(r.Value, &value)
		e.Op, e.After = value.Payload.Op, string(value.Payload.After)
	}
	return e
}

// take waits for the next n events.
func (f *follower) take(ctx context.Context, n int) ([]event, error) {
	timeout := time.NewTimer(30 * time.Second)
	defer timeout.Stop()
	var out []event
	for len(out) < n {
		select {
		case e := <-f.events:
			out = append(out, e)
		case <-timeout.C:
			return out, fmt.Errorf("waited too long for event %d of %d", len(out)+1, n)
		case <-ctx.Done():
			return out, ctx.Err()
		}
	}
	return out, nil
}

// close ends the reading goroutine.
func (f *follower) close() {
	if f.cancel != nil {
		f.cancel()
		<-f.done
		f.cancel = nil
	}
}
