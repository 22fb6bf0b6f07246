// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"context"
	"net/http"

	"freshet/connect"
)

// letterKeeper is a herder that knows the dead letters of its connectors.
type letterKeeper interface {
	Letters(ctx context.Context, name string) (*connect.Letters, error)
}

// letterRoutes are freshet's own: the records in the dead letter queues of sinks.
func (a *api) letterRoutes() []route {
	if _, ok := a.o.Herder.(letterKeeper); !ok {
		return nil
	}
	at := func(path ...string) []string {
		return append([]string{"connectors", ":connector", "dlq"}, path...)
	}
	return []route{
		{path: at(), media: mediaJSON, methods: []method{{http.MethodGet, a.letterGroups}}},
		{path: at("records"), media: mediaJSON, methods: []method{{http.MethodGet, a.listLetters}}},
		{path: at("retry"), media: mediaJSON, methods: []method{{http.MethodPost, a.settleLetters((*connect.Letters).Retry)}}},
		{path: at("discard"), media: mediaJSON, methods: []method{{http.MethodPost, a.settleLetters((*connect.Letters).Discard)}}},
	}
}

func (a *api) letters(r *request) (*connect.Letters, error) {
	return a.o.Herder.(letterKeeper).Letters(r.Context(), r.args[0])
}

func (a *api) letterGroups(r *request) (reply, error) {
	l, err := a.letters(r)
	if err != nil {
		return reply{}, err
	}
	groups, err := l.Groups(r.Context())
	return reply{status: http.StatusOK, body: groups}, err
}

// listLetters lists those of a state; open ones unless the request names another, or all.
func (a *api) listLetters(r *request) (reply, error) {
	l, err := a.letters(r)
	if err != nil {
		return reply{}, err
	}
	state := r.URL.Query().Get("state")
	switch state {
	case "":
		state = connect.LetterOpen
	case "all":
		state = ""
	case connect.LetterOpen, connect.LetterRetried, connect.LetterDiscarded:
	default:
		return reply{}, &connect.Error{Code: http.StatusBadRequest, Message: "state is none of open, retried, discarded, all"}
	}
	letters, err := l.List(r.Context(), state)
	return reply{status: http.StatusOK, body: letters}, err
}

func (a *api) settleLetters(settle func(*connect.Letters, context.Context, connect.LetterChoice) (connect.LetterOutcome, error)) handler {
	return func(r *request) (reply, error) {
		var choice connect.LetterChoice
		if err := readBody(r, &choice); err != nil {
			return reply{}, &connect.Error{Code: http.StatusBadRequest, Message: err.Error()}
		}
		l, err := a.letters(r)
		if err != nil {
			return reply{}, err
		}
		out, err := settle(l, r.Context(), choice)
		return reply{status: http.StatusOK, body: out}, err
	}
}
