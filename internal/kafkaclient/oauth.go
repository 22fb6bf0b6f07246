// SPDX-License-Identifier: Apache-2.0

package kafkaclient

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sasl"
	"github.com/twmb/franz-go/pkg/sasl/oauth"

	"freshet/config"
)

// tokens fetches tokens of OAUTHBEARER by the client credentials grant, and keeps the last one until it is nearly over.
type tokens struct {
	endpoint, id, secret, scope string
	client                      *http.Client

	mu    sync.Mutex // guards what follows, over a fetch too: one is enough
	token string
	until time.Time
}

// oauthLogin is the mechanism OAUTHBEARER: tokens of an endpoint, or unsecured ones, which are for tests of brokers.
func oauthLogin(v config.Values, options map[string]string) (sasl.Mechanism, error) {
	if sub := options["unsecuredLoginStringClaim_sub"]; sub != "" {
		return oauth.Oauth(func(context.Context) (oauth.Auth, error) {
			return oauth.Auth{Token: unsecured(sub, time.Now())}, nil
		}), nil
	}
	t := &tokens{
		endpoint: v.Get("sasl.oauthbearer.token.endpoint.url"), scope: first(v.Get("sasl.oauthbearer.scope"), options["scope"]),
		id:     first(v.Get("sasl.oauthbearer.client.credentials.client.id"), options["clientId"]),
		secret: first(v.Get("sasl.oauthbearer.client.credentials.client.secret"), options["clientSecret"]),
		client: &http.Client{Timeout: 10 * time.Second},
	}
	if u, err := url.Parse(t.endpoint); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return nil, errors.New("OAUTHBEARER needs sasl.oauthbearer.token.endpoint.url, an address with http or https")
	}
	if t.id == "" || t.secret == "" {
		return nil, errors.New(`it has no clientId and clientSecret: ...OAuthBearerLoginModule required clientId="..." clientSecret="...";`)
	}
	return oauth.Oauth(func(ctx context.Context) (oauth.Auth, error) {
		token, err := t.get(ctx)
		return oauth.Auth{Token: token}, err
	}), nil
}

func first(texts ...string) string {
	for _, s := range texts {
		if s != "" {
			return s
		}
	}
	return ""
}

// unsecured is a token that nobody signed.
func unsecured(sub string, now time.Time) string {
	claims, _ := json.Marshal(map[string]any{"sub": sub, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}) // always encodes
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims) + "."
}

// get is a token that is good for a while.
func (t *tokens) get(ctx context.Context) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if time.Now().Before(t.until) {
		return t.token, nil
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if t.scope != "" {
		form.Set("scope", t.scope)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, t.endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return "", fmt.Errorf("ask for a token: %w", err)
	}
	r.SetBasicAuth(url.QueryEscape(t.id), url.QueryEscape(t.secret))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := t.client.Do(r)
	if err != nil {
		return "", fmt.Errorf("ask for a token: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return "", fmt.Errorf("ask for a token: %w", err)
	}
	var answer struct {
		Token   string `json:"access_token"`
		Seconds int64  `json:"expires_in"`
	}
	if resp.StatusCode != http.StatusOK || json.Unmarshal(body, &answer) != nil || answer.Token == "" {
		return "", fmt.Errorf("ask for a token at %s: the answer is %s", t.endpoint, resp.Status) // its text may have secrets
	}
	t.token, t.until = answer.Token, time.Now().Add(time.Duration(answer.Seconds)*time.Second*4/5)
	return t.token, nil
}
