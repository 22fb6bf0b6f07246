// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"freshet/capture"
	"freshet/connect"
	"freshet/emitter/topic"
	"freshet/internal/topicio"
)

// Client asks a running worker. It is safe for concurrent use.
type Client struct {
	base  string
	token string
	http  *http.Client
}

// ErrUnauthorized is the answer to a request without a token of the worker.
var ErrUnauthorized = errors.New("the worker asks for a token: name a file that holds one with --token-file or FRESHET_TOKEN_FILE")

// ClientOptions is what a worker may ask for.
type ClientOptions struct {
	// Token is one of the worker's rest.auth.token.file; "" for none.
	Token string
	// Roots are the certificates that an https worker's is verified with; nil are the system's.
	Roots *x509.CertPool
}

// NewClient makes a client of the worker at a URL. Redirects are not followed.
func NewClient(base string, o ClientOptions) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("worker %q is not a URL such as %s", base, DefaultListener)
	}
	c := &Client{
		base: strings.TrimSuffix(base, "/"), token: o.Token,
		http: &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }},
	}
	if o.Roots != nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.TLSClientConfig = &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12}
		c.http.Transport = transport
	}
	return c, nil
}

// Ping asks for GET / and returns the version that the worker tells.
func (c *Client) Ping(ctx context.Context, patience time.Duration) (version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var root struct {
		Version string `json:"version"`
	}
	if err := c.json(ctx, "/", &root); err != nil {
		return "", err
	}
	return root.Version, nil
}

// Topics lists the topics.
func (c *Client) Topics(ctx context.Context) ([]topicio.Topic, error) {
	var out []topicio.Topic
	err := c.json(ctx, "/freshet/topics", &out)
	return out, err
}

// Tail writes the lines of a topic's records to w, as topicio.Tail does.
func (c *Client) Tail(ctx context.Context, o topicio.TailOptions, w io.Writer) error {
	q := url.Values{}
	if o.Partition != topic.AnyPartition {
		q.Set("partition", strconv.Itoa(int(o.Partition)))
	}
	if o.FromBeginning {
		q.Set("from", "beginning")
	}
	if o.ExitAtEnd {
		q.Set("exit", "true")
	}
	resp, err := c.do(ctx, http.MethodGet, "/freshet/topics/"+url.PathEscape(o.Topic)+"/records?"+q.Encode(), nil)
	if err != nil {
		return ended(ctx, err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return ended(ctx, fmt.Errorf("read topic %q: %w", o.Topic, err))
	}
	if cause := resp.Trailer.Get(failureTrailer); cause != "" {
		return errors.New(cause)
	}
	return nil
}

// ended turns the error of a request that the caller gave up into none.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // the caller gave up
	}
	return err
}

// Produce sends lines and returns how many records are durable in the topic.
func (c *Client) Produce(ctx context.Context, name string, in io.Reader) (int, error) {
	resp, err := c.do(ctx, http.MethodPost, "/freshet/topics/"+url.PathEscape(name)+"/records", in)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var answer produced
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return 0, fmt.Errorf("answer of the worker: %w", err)
	}
	if answer.Error != "" {
		return answer.Produced, errors.New(answer.Error)
	}
	return answer.Produced, nil
}

// Snapshots lists the snapshots on demand of a connector.
func (c *Client) Snapshots(ctx context.Context, connector string) ([]capture.SnapshotJob, error) {
	var out []capture.SnapshotJob
	err := c.json(ctx, snapshotsPath(connector), &out)
	return out, err
}

// StartSnapshot asks for one.
func (c *Client) StartSnapshot(ctx context.Context, connector string, r connect.SnapshotRequest) (capture.SnapshotJob, error) {
	var job capture.SnapshotJob
	body, err := json.Marshal(r)
	if err != nil {
		return job, err
	}
	resp, err := c.doMedia(ctx, http.MethodPost, snapshotsPath(connector), bytes.NewReader(body), mediaJSON)
	if err != nil {
		return job, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&job); err != nil {
		return job, fmt.Errorf("answer of the worker: %w", err)
	}
	return job, nil
}

// PauseSnapshot holds one back, or lets it go on.
func (c *Client) PauseSnapshot(ctx context.Context, connector, id string, paused bool) error {
	what := "/resume"
	if paused {
		what = "/pause"
	}
	return c.send(ctx, http.MethodPut, snapshotsPath(connector)+"/"+url.PathEscape(id)+what)
}

// CancelSnapshot cancels one, or forgets one that has ended.
func (c *Client) CancelSnapshot(ctx context.Context, connector, id string) error {
	return c.send(ctx, http.MethodDelete, snapshotsPath(connector)+"/"+url.PathEscape(id))
}

func snapshotsPath(connector string) string {
	return "/connectors/" + url.PathEscape(connector) + "/snapshots"
}

// send sends a request without a body and wants no answer but success.
func (c *Client) send(ctx context.Context, method, path string) error {
	resp, err := c.doMedia(ctx, method, path, nil, mediaJSON)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// json asks for a JSON document.
func (c *Client) json(ctx context.Context, path string, into any) error {
	resp, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("answer of %s%s: %w", c.base, path, err)
	}
	return nil
}

// do sends a request. An answer that is no success becomes an error with the worker's message, unless it is one of
// Produce, which tells how far it came.
func (c *Client) do(ctx context.Context, method, path string, body io.Reader) (*http.Response, error) {
	return c.doMedia(ctx, method, path, body, mediaLines)
}

func (c *Client) doMedia(ctx context.Context, method, path string, body io.Reader, media string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		r.Header.Set("Content-Type", media)
		r.Header.Set("Accept", media)
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusUnauthorized {
		return nil, ErrUnauthorized
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what is there is enough
	var e struct {
		failure
		produced
	}
	if err := json.Unmarshal(text, &e); err == nil && (e.Message != "" || e.Error != "") {
		if e.Error != "" {
			return nil, fmt.Errorf("%s (%d record(s) before it are in the topic)", e.Error, e.Produced)
		}
		return nil, errors.New(e.Message)
	}
	return nil, fmt.Errorf("%s %s: %s", method, c.base+path, resp.Status)
}
