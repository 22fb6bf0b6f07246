// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"freshet/config"
	"freshet/connect"
)

// table lists the routes.
func (a *api) table() []route {
	if a.o.Admin == AdminOnly {
		return a.adminRoutes()
	}
	get := func(h handler) method { return method{http.MethodGet, h} }
	put := func(h handler) method { return method{http.MethodPut, h} }
	post := func(h handler) method { return method{http.MethodPost, h} }
	remove := func(h handler) method { return method{http.MethodDelete, h} }
	patch := func(h handler) method { return method{http.MethodPatch, h} }
	path := func(p string, methods ...method) route {
		return route{path: strings.FieldsFunc(p, func(r rune) bool { return r == '/' }), methods: methods, media: mediaJSON}
	}
	routes := []route{
		path("/", get(a.root)),
		path("/health", get(a.health)),
		path("/connectors", get(a.list), post(a.create)),
		path("/connectors/:name", get(a.info), remove(a.remove)),
		path("/connectors/:name/config", get(a.config), put(a.putConfig), patch(a.patchConfig)),
		path("/connectors/:name/status", get(a.status)),
		path("/connectors/:name/restart", post(a.restart)),
		path("/connectors/:name/pause", put(a.pause)),
		path("/connectors/:name/resume", put(a.resume)),
		path("/connectors/:name/stop", put(a.stop)),
		path("/connectors/:name/tasks", get(a.tasks), post(a.putTasks)),
		path("/connectors/:name/fence", put(a.fence)),
		path("/connectors/:name/tasks/#task/status", get(a.taskStatus)),
		path("/connectors/:name/tasks/#task/restart", post(a.restartTask)),
		path("/connectors/:name/topics", get(a.topics)),
		path("/connectors/:name/topics/reset", put(a.resetTopics)),
		path("/connectors/:name/offsets", get(a.offsets), patch(a.patchOffsets), remove(a.deleteOffsets)),
		path("/connector-plugins", get(a.plugins)),
		path("/connector-plugins/:plugin/config", get(a.pluginConfig)),
		path("/connector-plugins/:plugin/config/validate", put(a.validate)),
	}
	routes = append(routes, a.snapshotRoutes()...)
	routes = append(routes, a.letterRoutes()...)
	routes = append(routes, a.watchRoutes()...)
	routes = append(routes, a.openapiRoutes()...)
	if a.o.Admin == AdminToo {
		routes = append(routes, a.adminRoutes()...)
	}
	if a.o.Topics != nil {
		routes = append(routes, a.topicRoutes()...)
	}
	return routes
}

func ok(body any) (reply, error) { return reply{status: http.StatusOK, body: body}, nil }

func (a *api) root(*request) (reply, error) {
	id := ""
	if a.o.ClusterID != nil {
		id = a.o.ClusterID()
	}
	return ok(rootInfo{connect.CompatibleVersion, a.o.Commit, id})
}

func (a *api) health(*request) (reply, error) {
	if why := a.starting(); why != "" {
		return reply{status: http.StatusServiceUnavailable, body: healthInfo{"starting", "Worker is still starting up. " + why}}, nil
	}
	return ok(healthInfo{"healthy", "Worker has completed startup and is ready to handle requests."})
}

// expanded is what ?expand= adds for a connector.
type expanded struct {
	Status *connect.Status `json:"status,omitempty"`
	Info   *connect.Info   `json:"info,omitempty"`
}

func (a *api) list(r *request) (reply, error) {
	names, err := a.o.Herder.Connectors(r.Context())
	if err != nil {
		return reply{}, err
	}
	if g := grantOf(r.Context()); g != nil {
		names = slices.DeleteFunc(names, func(name string) bool { return !g.covers(name) })
	}
	expand, given := r.URL.Query()["expand"]
	if !given {
		if names == nil {
			names = []string{}
		}
		return ok(names)
	}
	out := map[string]expanded{}
	for _, name := range names {
		var e expanded
		status, serr := a.o.Herder.Status(r.Context(), name)
		info, ierr := a.o.Herder.Info(r.Context(), name)
		if serr != nil || ierr != nil {
			continue // deleted meanwhile
		}
		for _, what := range expand {
			switch what {
			case "status":
				shown := a.hidden(status)
				e.Status = &shown
			case "info":
				e.Info = &info
			}
		}
		out[name] = e
	}
	return ok(out)
}

func (a *api) create(r *request) (reply, error) {
	var body createRequest
	if err := readBody(r, &body); err != nil {
		return reply{}, err
	}
	if body.Config == nil || *body.Config == nil {
		return reply{}, malformed("The request has no config")
	}
	name, initial := "", connect.State("")
	if body.Name != nil {
		name = strings.TrimSpace(*body.Name)
	}
	if body.InitialState != nil {
		var err error
		if initial, err = connect.ParseInitialState(*body.InitialState); err != nil || *body.InitialState == "" {
			return reply{}, malformed("initial_state " + *body.InitialState + " is none of RUNNING, PAUSED, STOPPED")
		}
	}
	if err := permitConnector(grantOf(r.Context()), name); err != nil {
		return reply{}, err
	}
	info, _, err := a.o.Herder.Put(r.Context(), name, *body.Config, true, initial)
	if err != nil {
		return reply{}, err
	}
	return reply{http.StatusCreated, info, location(r, name), false}, nil
}

// location is the address of a connector, in the encoding of Kafka Connect's web framework, except that slashes and
// percent signs are encoded too: so the address always leads to the connector.
func location(r *request, name string) string {
	u := url.URL{Scheme: "http", Host: r.Host}
	if r.TLS != nil {
		u.Scheme = "https"
	}
	return u.String() + "/connectors/" + strings.NewReplacer("%3B", ";", "%27", "'").Replace(url.PathEscape(name))
}

func (a *api) info(r *request) (reply, error) {
	info, err := a.o.Herder.Info(r.Context(), r.args[0])
	return reply{status: http.StatusOK, body: info}, err
}

func (a *api) config(r *request) (reply, error) {
	info, err := a.o.Herder.Info(r.Context(), r.args[0])
	return reply{status: http.StatusOK, body: info.Config}, err
}

func (a *api) putConfig(r *request) (reply, error) {
	var cfg properties
	if err := readBody(r, &cfg); err != nil {
		return reply{}, err
	}
	info, created, err := a.o.Herder.Put(r.Context(), r.args[0], cfg, false, "")
	if err != nil {
		return reply{}, err
	}
	if created {
		return reply{http.StatusCreated, info, location(r, r.args[0]), false}, nil
	}
	return ok(info)
}

func (a *api) patchConfig(r *request) (reply, error) {
	var changes properties
	if err := readBody(r, &changes); err != nil {
		return reply{}, err
	}
	info, err := a.o.Herder.Patch(r.Context(), r.args[0], changes)
	return reply{status: http.StatusOK, body: info}, err
}

func (a *api) remove(r *request) (reply, error) {
	return reply{status: http.StatusNoContent}, a.o.Herder.Delete(r.Context(), r.args[0])
}

func (a *api) status(r *request) (reply, error) {
	status, err := a.o.Herder.Status(r.Context(), r.args[0])
	return reply{status: http.StatusOK, body: a.hidden(status)}, err
}

func (a *api) restart(r *request) (reply, error) {
	flag := func(name string) bool { return strings.EqualFold(r.URL.Query().Get(name), "true") }
	tasks, failed := flag("includeTasks"), flag("onlyFailed")
	status, err := a.o.Herder.Restart(r.Context(), r.args[0], tasks, failed)
	if err == nil && !tasks && !failed {
		return reply{status: http.StatusNoContent}, nil
	}
	return reply{status: http.StatusAccepted, body: a.hidden(status)}, err
}

func (a *api) pause(r *request) (reply, error) {
	return reply{status: http.StatusAccepted}, a.o.Herder.Pause(r.Context(), r.args[0])
}

func (a *api) resume(r *request) (reply, error) {
	return reply{status: http.StatusAccepted}, a.o.Herder.Resume(r.Context(), r.args[0])
}

func (a *api) stop(r *request) (reply, error) {
	return reply{status: http.StatusNoContent}, a.o.Herder.Stop(r.Context(), r.args[0])
}

// taskInfo is one entry of GET /connectors/{name}/tasks.
type taskInfo struct {
	ID     connect.TaskID    `json:"id"`
	Config map[string]string `json:"config"`
}

func (a *api) tasks(r *request) (reply, error) {
	configs, err := a.o.Herder.TaskConfigs(r.Context(), r.args[0])
	if err != nil {
		return reply{}, err
	}
	out := make([]taskInfo, len(configs))
	for n, cfg := range configs {
		out[n] = taskInfo{connect.TaskID{Connector: r.args[0], Task: n}, cfg}
	}
	return ok(out)
}

func (a *api) taskStatus(r *request) (reply, error) {
	n, _ := strconv.Atoi(r.args[1]) // the route takes numbers only
	if status, err := a.o.Herder.Status(r.Context(), r.args[0]); err == nil {
		for _, t := range a.hidden(status).Tasks {
			if t.ID == n {
				return ok(t)
			}
		}
	}
	return reply{}, &connect.Error{Code: 404, Message: fmt.Sprintf("No status found for task %s-%d", r.args[0], n)}
}

func (a *api) restartTask(r *request) (reply, error) {
	n, _ := strconv.Atoi(r.args[1]) // the route takes numbers only
	return reply{status: http.StatusNoContent}, a.o.Herder.RestartTask(r.Context(), connect.TaskID{Connector: r.args[0], Task: n})
}

func (a *api) topics(r *request) (reply, error) {
	if a.o.NoTracking {
		return reply{}, errNoTracking
	}
	names, err := a.o.Herder.Topics(r.Context(), r.args[0])
	if err != nil {
		return reply{}, err
	}
	return ok(map[string]map[string][]string{r.args[0]: {"topics": names}})
}

func (a *api) resetTopics(r *request) (reply, error) {
	switch {
	case a.o.NoTracking:
		return reply{}, errNoTracking
	case a.o.NoTopicReset:
		return reply{}, &connect.Error{Code: http.StatusForbidden, Message: "Topic tracking reset is disabled."}
	}
	return reply{status: http.StatusAccepted}, a.o.Herder.ResetTopics(r.Context(), r.args[0])
}

var errNoTracking = &connect.Error{Code: http.StatusForbidden, Message: "Topic tracking is disabled."}

// offset is one entry of GET /connectors/{name}/offsets.
type offset struct {
	Partition json.RawMessage `json:"partition"`
	Offset    json.RawMessage `json:"offset"`
}

func (a *api) offsets(r *request) (reply, error) {
	found, err := a.o.Herder.Offsets(r.Context(), r.args[0])
	if err != nil {
		return reply{}, err
	}
	out := make([]offset, len(found))
	for i, f := range found {
		out[i] = offset{json.RawMessage(f.Partition), json.RawMessage(f.Offset)}
	}
	return ok(map[string][]offset{"offsets": out})
}

func (a *api) patchOffsets(r *request) (reply, error) {
	var body struct {
		Offsets []*offset `json:"offsets"`
	}
	if err := readBody(r, &body); err != nil {
		return reply{}, err
	}
	if len(body.Offsets) == 0 {
		return reply{}, &connect.Error{Code: 400, Message: "Partitions / offsets need to be provided for an alter offsets request"}
	}
	offsets := make([]connect.Offset, len(body.Offsets))
	for i, o := range body.Offsets {
		if o == nil {
			return reply{}, malformed("An entry of offsets is null")
		}
		offsets[i] = connect.Offset{Partition: notNull(o.Partition), Offset: notNull(o.Offset)}
	}
	if err := a.o.Herder.SetOffsets(r.Context(), r.args[0], offsets); err != nil {
		return reply{}, err
	}
	return ok(message{a.changed(r, "altered")})
}

// notNull is a JSON text, "" for null.
func notNull(raw json.RawMessage) string {
	if string(raw) == "null" {
		return ""
	}
	return string(raw)
}

func (a *api) deleteOffsets(r *request) (reply, error) {
	if err := a.o.Herder.ResetOffsets(r.Context(), r.args[0]); err != nil {
		return reply{}, err
	}
	return ok(message{a.changed(r, "reset")})
}

// changed tells that positions were changed, and whether that was all there is to do.
func (a *api) changed(r *request, how string) string {
	info, err := a.o.Herder.Info(r.Context(), r.args[0])
	if err == nil && slices.ContainsFunc(a.o.Herder.Plugins(), func(p config.Plugin) bool {
		return p.Kind == info.Type && p.OffsetsElsewhere && p.Matches(info.Config["connector.class"])
	}) {
		return fmt.Sprintf("The Connect framework-managed offsets for this connector have been %[1]s successfully. However, if this connector manages offsets externally, "+
			"they will need to be manually %[1]s in the system that the connector uses.", how)
	}
	return "The offsets for this connector have been " + how + " successfully"
}

type message struct {
	Message string `json:"message"`
}
