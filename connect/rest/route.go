// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"freshet/connect"
)

// route is one path of the API. The standard mux is not used, as it redirects unclean paths and words 404 and 405 itself.
type route struct {
	path    []string // segments; ":x" takes any, "#x" a number
	methods []method // in the order that OPTIONS tells them
	media   string   // of bodies
	stream  func(w http.ResponseWriter, r *http.Request, args []string)
}

type method struct {
	name    string
	handler handler
}

// handler answers a request, or fails with an error that says its status.
type handler func(r *request) (reply, error)

// request is a request with the variable segments of its path.
type request struct {
	*http.Request
	args []string
	read *bytes.Buffer // what has been read of the body
}

// reply is an answer. A nil body is none.
type reply struct {
	status   int
	body     any
	location string
	untyped  bool // without Content-Type
}

const mediaJSON = "application/json"

// bare is an answer of the web framework itself, without Content-Type.
func bare(status int) reply {
	return reply{status: status, body: failure{status, "HTTP " + strconv.Itoa(status) + " " + http.StatusText(status)}, untyped: true}
}

// split cuts a path into its decoded segments. One slash at the end is of no meaning; a matrix part (;x=y) is cut off.
func split(path string) ([]string, error) {
	path = strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/")
	if path == "" {
		return nil, nil
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		s, _, _ = strings.Cut(s, ";")
		decoded, err := url.PathUnescape(s)
		if err != nil {
			return nil, badPath("Bad escape in the path")
		}
		if decoded != s && (decoded == "." || decoded == "..") {
			return nil, badPath("Encoded dot segment in the path")
		}
		if decoded == "" {
			return nil, badPath("Empty segment in the path")
		}
		for _, c := range decoded {
			if c < 0x20 || c == 0x7f {
				return nil, badPath("Control character in the path")
			}
		}
		segments[i] = decoded
	}
	return segments, nil
}

func badPath(message string) error {
	return &connect.Error{Code: http.StatusBadRequest, Message: message}
}

func (a *api) match(segments []string) (*route, []string) {
	for i := range a.routes {
		if args, ok := a.routes[i].matches(segments); ok {
			return &a.routes[i], args
		}
	}
	return nil, nil
}

func (m *route) matches(segments []string) (args []string, ok bool) {
	if len(segments) != len(m.path) {
		return nil, false
	}
	for i, p := range m.path {
		switch {
		case p[0] == ':', p[0] == '#':
			args = append(args, segments[i])
		case p != segments[i]:
			return nil, false
		}
	}
	return args, true
}

// number says whether the segments that must be numbers are.
func (m *route) number(segments []string) bool {
	for i, p := range m.path {
		if p[0] != '#' {
			continue
		}
		if _, err := strconv.Atoi(segments[i]); err != nil {
			return false
		}
	}
	return true
}

// handler is that of a method; HEAD is GET without the body, which net/http leaves out.
func (m *route) handler(name string) (handler, bool) {
	if name == http.MethodHead {
		name = http.MethodGet
	}
	for _, x := range m.methods {
		if x.name == name {
			return x.handler, true
		}
	}
	return nil, false
}

// options tells the methods, in the order of Kafka Connect's web framework.
func (a *api) options(w http.ResponseWriter, m *route) {
	have := map[string]bool{http.MethodOptions: true}
	for _, x := range m.methods {
		have[x.name] = true
	}
	have[http.MethodHead] = have[http.MethodGet]
	var names []string
	for _, name := range []string{"HEAD", "DELETE", "POST", "GET", "OPTIONS", "PUT", "PATCH"} {
		if have[name] {
			names = append(names, name)
		}
	}
	w.Header().Set("Allow", strings.Join(names, ","))
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write([]byte(strings.Join(names, ", "))) // nobody left to tell
}

// form checks what the client accepts and sends.
func form(r *http.Request, media string) (refusal reply, ok bool) {
	if accept := r.Header.Values("Accept"); len(accept) > 0 && !accepts(strings.Join(accept, ","), media) {
		return bare(http.StatusNotAcceptable), false
	}
	if r.ContentLength == 0 {
		return reply{}, true
	}
	given := r.Header.Get("Content-Type")
	if sent, _, err := mime.ParseMediaType(given); err != nil || sent != media {
		refusal = bare(http.StatusUnsupportedMediaType)
		refusal.untyped = given != ""
		return refusal, false
	}
	return reply{}, true
}

func accepts(header, media string) bool {
	kind, _, _ := strings.Cut(media, "/")
	for item := range strings.SplitSeq(header, ",") {
		given, params, err := mime.ParseMediaType(strings.TrimSpace(item))
		if err != nil || params["q"] == "0" {
			continue
		}
		if given == "*/*" || given == kind+"/*" || given == media {
			return true
		}
	}
	return false
}

// send writes an answer. Bodies are small and made whole before, so that HEAD knows their length.
func (a *api) send(w http.ResponseWriter, answer reply) {
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	if answer.location != "" {
		header.Set("Location", answer.location)
	}
	if answer.body == nil {
		w.WriteHeader(answer.status)
		return
	}
	var body bytes.Buffer
	e := json.NewEncoder(&body)
	e.SetEscapeHTML(false)
	if err := e.Encode(answer.body); err != nil {
		a.o.Log.Error("answer has no JSON form", "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	text := bytes.TrimSuffix(body.Bytes(), []byte("\n"))
	header["Content-Type"] = nil
	if !answer.untyped {
		header.Set("Content-Type", mediaJSON)
	}
	header.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(answer.status)
	_, _ = w.Write(text) // nobody left to tell
}
