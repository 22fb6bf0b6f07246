// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"freshet/connect"
)

// LetterGroups are the open dead letters of a sink connector by cause.
func (c *Client) LetterGroups(ctx context.Context, connector string) ([]connect.LetterGroup, error) {
	var out []connect.LetterGroup
	err := c.json(ctx, lettersPath(connector, ""), &out)
	return out, err
}

// Letters are its dead letters of a state: open, retried, discarded or all.
func (c *Client) Letters(ctx context.Context, connector, state string) ([]connect.Letter, error) {
	var out []connect.Letter
	err := c.json(ctx, lettersPath(connector, "/records?state="+url.QueryEscape(state)), &out)
	return out, err
}

// RetryLetters sends dead letters into the target once more.
func (c *Client) RetryLetters(ctx context.Context, connector string, choice connect.LetterChoice) (connect.LetterOutcome, error) {
	return c.settleLetters(ctx, lettersPath(connector, "/retry"), choice)
}

// DiscardLetters gives dead letters up.
func (c *Client) DiscardLetters(ctx context.Context, connector string, choice connect.LetterChoice) (connect.LetterOutcome, error) {
	return c.settleLetters(ctx, lettersPath(connector, "/discard"), choice)
}

func (c *Client) settleLetters(ctx context.Context, path string, choice connect.LetterChoice) (out connect.LetterOutcome, err error) {
	body, err := json.Marshal(choice)
	if err != nil {
		return out, err
	}
	resp, err := c.doMedia(ctx, http.MethodPost, path, bytes.NewReader(body), mediaJSON)
	if err != nil {
		return out, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil {
		return out, fmt.Errorf("answer of the worker: %w", err)
	}
	return out, nil
}

func lettersPath(connector, rest string) string {
	return "/connectors/" + url.PathEscape(connector) + "/dlq" + rest
}
