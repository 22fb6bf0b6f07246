// SPDX-License-Identifier: Apache-2.0

// Package registry asks a Confluent-compatible schema registry: ids of schemas for what is written, schemas of ids for what
// is read.
//
// The main type is Client, which is safe for concurrent use. It keeps what it was told: the answers never change, but for
// the latest version of a subject, which is kept too, as the original does. Several URLs are tried in turn. It does not try
// again: an Error that may pass says so, and whoever runs the task waits and tries again.
package registry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
)

// Options are the settings of a Client.
type Options struct {
	URLs           []string // user information in them is used for all
	User, Password string   // basic authentication
	Token          string   // bearer authentication
	Normalize      bool
	Timeout        time.Duration // of one question; 0 is 60 s
}

// The types of schemas.
const (
	Avro     = "AVRO"
	JSON     = "JSON"
	Protobuf = "PROTOBUF"
)

// Schema is a registered schema and those that it refers to, each behind what it needs itself.
type Schema struct {
	ID         int
	Type       string
	Text       string
	References []Reference
}

// Reference is a schema by the name under which another one refers to it.
type Reference struct{ Name, Text string }

// Error is a question that was not answered, or answered with a refusal.
type Error struct {
	Op        string // what was asked for
	Err       error
	temporary bool
}

// Error names the question.
func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }

// Unwrap is the cause.
func (e *Error) Unwrap() error { return e.Err }

// Temporary says whether the registry may answer another time: it is away, or overloaded.
func (e *Error) Temporary() bool { return e.temporary }

// Retriable is Temporary.
func (e *Error) Retriable() bool { return e.temporary }

// Client asks one registry.
type Client struct {
	client    *sr.Client
	normalize bool
	timeout   time.Duration

	mu  sync.Mutex // guards the maps; not held while the registry is asked
	ids map[question]int
	// schemas are by id, latest by subject.
	schemas map[int]Schema
	latest  map[string]Schema
}

// question is what ids are kept by.
type question struct {
	subject, kind, text string
	register            bool
}

func (q *question) schema() sr.Schema {
	var t sr.SchemaType
	_ = t.UnmarshalText([]byte(q.kind)) // the names are those of this package
	return sr.Schema{Type: t, Schema: q.text}
}

// New makes a Client. It asks nothing yet.
func New(o Options) (*Client, error) {
	var urls []string
	for _, text := range o.URLs {
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("the address of the schema registry is no http or https URL: %q", withoutUser(text))
		}
		if u.User != nil && o.User == "" {
			o.User = u.User.Username()
			o.Password, _ = u.User.Password()
		}
		u.User = nil
		urls = append(urls, u.String())
	}
	if o.Timeout <= 0 {
		o.Timeout = 60 * time.Second
	}
	opts := []sr.ClientOpt{sr.URLs(urls...), sr.UserAgent("freshet"), sr.HTTPClient(&http.Client{Timeout: o.Timeout})}
	if o.User != "" {
		opts = append(opts, sr.BasicAuth(o.User, o.Password))
	}
	if o.Token != "" {
		opts = append(opts, sr.BearerToken(o.Token))
	}
	client, err := sr.NewClient(opts...)
	if err != nil {
		return nil, fmt.Errorf("set up the client of the schema registry: %w", err)
	}
	return &Client{
		client: client, normalize: o.Normalize, timeout: o.Timeout,
		ids: map[question]int{}, schemas: map[int]Schema{}, latest: map[string]Schema{},
	}, nil
}

// withoutUser hides what may be a password in a broken URL.
func withoutUser(text string) string {
	if i := strings.LastIndexByte(text, '@'); i >= 0 {
		return "****" + text[i:]
	}
	return text
}

func (c *Client) context(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.normalize {
		ctx = sr.WithParams(ctx, sr.Normalize)
	}
	return context.WithTimeout(ctx, c.timeout)
}

// Register is the id of a schema of a type under a subject, which gets it as a new version if it does not have it.
func (c *Client) Register(ctx context.Context, subject, kind, text string) (int, error) {
	q := question{subject, kind, text, true}
	return c.id(ctx, q, func(ctx context.Context) (int, error) {
		return c.client.RegisterSchema(ctx, subject, q.schema(), -1, -1)
	})
}

// Lookup is the id of a schema of a type that the subject has.
func (c *Client) Lookup(ctx context.Context, subject, kind, text string) (int, error) {
	q := question{subject, kind, text, false}
	return c.id(ctx, q, func(ctx context.Context) (int, error) {
		found, err := c.client.LookupSchema(ctx, subject, q.schema())
		return found.ID, err
	})
}

func (c *Client) id(ctx context.Context, q question, ask func(context.Context) (int, error)) (int, error) {
	c.mu.Lock()
	id, ok := c.ids[q]
	c.mu.Unlock()
	if ok {
		return id, nil
	}
	ctx, cancel := c.context(ctx)
	defer cancel()
	id, err := ask(ctx)
	if err != nil {
		op := "look up the schema of subject %q in the registry"
		if q.register {
			op = "register the schema of subject %q"
		}
		return 0, failed(fmt.Sprintf(op, q.subject), err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids[q] = id
	return id, nil
}

// Latest is the latest version of a subject.
func (c *Client) Latest(ctx context.Context, subject string) (Schema, error) {
	c.mu.Lock()
	s, ok := c.latest[subject]
	c.mu.Unlock()
	if ok {
		return s, nil
	}
	asking, cancel := c.context(ctx)
	defer cancel()
	found, err := c.client.SchemaByVersion(asking, subject, -1)
	if err == nil {
		s, err = c.whole(asking, found.ID, found.Schema)
	}
	if err != nil {
		return Schema{}, failed(fmt.Sprintf("ask the registry for the latest schema of subject %q", subject), err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.latest[subject] = s
	return s, nil
}

// Schema is the schema of an id.
func (c *Client) Schema(ctx context.Context, id int) (Schema, error) {
	c.mu.Lock()
	s, ok := c.schemas[id]
	c.mu.Unlock()
	if ok {
		return s, nil
	}
	asking, cancel := c.context(ctx)
	defer cancel()
	found, err := c.client.SchemaByID(asking, id)
	if err == nil {
		s, err = c.whole(asking, id, found)
	}
	if err != nil {
		return Schema{}, failed(fmt.Sprintf("ask the registry for schema %d", id), err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.schemas[id] = s
	return s, nil
}

// Of is the schema if it is of a type.
func (s Schema) Of(kind string) (Schema, error) {
	if s.Type != kind {
		return s, fmt.Errorf("schema %d is of type %s, not %s", s.ID, s.Type, kind)
	}
	return s, nil
}

// maxReferences bounds what one schema may refer to.
const maxReferences = 1000

// whole adds the schemas that one refers to.
func (c *Client) whole(ctx context.Context, id int, found sr.Schema) (Schema, error) {
	s := Schema{ID: id, Type: found.Type.String(), Text: found.Schema}
	seen := map[sr.SchemaReference]bool{}
	var add func(refs []sr.SchemaReference) error
	add = func(refs []sr.SchemaReference) error {
		for _, ref := range refs {
			if seen[ref] {
				continue
			}
			if seen[ref] = true; len(seen) > maxReferences {
				return errors.New("it refers to too many schemas")
			}
			of, err := c.client.SchemaByVersion(ctx, ref.Subject, ref.Version)
			if err != nil {
				return fmt.Errorf("reference %q: %w", ref.Name, err)
			}
			if err := add(of.References); err != nil {
				return err
			}
			s.References = append(s.References, Reference{ref.Name, of.Schema.Schema})
		}
		return nil
	}
	return s, add(found.References)
}

// failed tells what may pass from what the registry refuses.
func failed(op string, err error) error {
	out := &Error{Op: op, Err: err, temporary: true}
	var answer *sr.ResponseError
	if errors.As(err, &answer) {
		switch answer.StatusCode {
		case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
			http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		default:
			out.temporary = false
		}
		if answer.Message != "" {
			out.Err = fmt.Errorf("%s (status %d, error code %d)", answer.Message, answer.StatusCode, answer.ErrorCode)
		}
		return out
	}
	var transport *url.Error
	out.temporary = errors.As(err, &transport) || errors.Is(err, context.DeadlineExceeded)
	return out
}
