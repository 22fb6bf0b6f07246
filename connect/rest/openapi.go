// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"net/http"
	"strconv"
	"strings"

	"freshet/capture"
	"freshet/connect"
	"freshet/internal/loglevel"
	"freshet/internal/topicio"
)

// operation describes what one method of a route does, for GET /openapi.json.
type operation struct {
	need    right // of whoever shows a token
	summary string
	query   []parameter
	body    any // an example of its type; nil for none
	status  int // of success
	answer  any // an example of its type; nil for none
	media   string
}

type parameter struct{ name, what string }

// operations are those of all routes. A test holds it to the routes, both ways, so that none goes without a right.
var operations = map[string]operation{
	"GET /":       {need: anyone, summary: "Version of the worker", status: 200, answer: rootInfo{}},
	"GET /health": {need: anyone, summary: "Whether the worker answers, as Kafka Connect says it", status: 200, answer: healthInfo{}},
	"GET /connectors": {
		need: viewer, summary: "Names of the connectors, or with expand an object of them", status: 200, answer: []string{},
		query: []parameter{{"expand", "status or info; may be given twice"}},
	},
	"POST /connectors":                                  {need: admin, summary: "Create a connector", body: createRequest{}, status: 201, answer: connect.Info{}},
	"GET /connectors/{name}":                            {need: viewer, summary: "Configuration and tasks of a connector", status: 200, answer: connect.Info{}},
	"DELETE /connectors/{name}":                         {need: admin, summary: "Delete a connector; its positions and topics stay", status: 204},
	"GET /connectors/{name}/config":                     {need: viewer, summary: "Configuration of a connector, secrets masked", status: 200, answer: properties{}},
	"PUT /connectors/{name}/config":                     {need: admin, summary: "Create a connector (201) or change its configuration", body: properties{}, status: 200, answer: connect.Info{}},
	"PATCH /connectors/{name}/config":                   {need: admin, summary: "Change some properties; null takes one away", body: properties{}, status: 200, answer: connect.Info{}},
	"GET /connectors/{name}/status":                     {need: viewer, summary: "State of a connector and its tasks", status: 200, answer: connect.Status{}},
	"PUT /connectors/{name}/pause":                      {need: operator, summary: "Pause a connector", status: 202},
	"PUT /connectors/{name}/resume":                     {need: operator, summary: "Resume a paused or stopped connector", status: 202},
	"PUT /connectors/{name}/stop":                       {need: operator, summary: "Stop a connector and give its tasks up", status: 204},
	"GET /connectors/{name}/tasks":                      {need: viewer, summary: "Configurations of the tasks", status: 200, answer: []taskInfo{}},
	"POST /connectors/{name}/tasks":                     {need: admin, summary: "Between workers of a group: task configurations for the leader, signed", body: []properties{}, status: 204},
	"PUT /connectors/{name}/fence":                      {need: admin, summary: "Between workers of a group: fence earlier instances of the tasks, signed", status: 204},
	"GET /connectors/{name}/tasks/{task}/status":        {need: viewer, summary: "State of a task", status: 200, answer: connect.TaskStatus{}},
	"POST /connectors/{name}/tasks/{task}/restart":      {need: operator, summary: "Restart a task", status: 204},
	"GET /connectors/{name}/topics":                     {need: viewer, summary: "Topics that a connector has used", status: 200, answer: map[string]map[string][]string{}},
	"PUT /connectors/{name}/topics/reset":               {need: operator, summary: "Forget the topics that a connector has used", status: 202},
	"GET /connectors/{name}/offsets":                    {need: viewer, summary: "Durable positions of a connector", status: 200, answer: offsetsBody{}},
	"PATCH /connectors/{name}/offsets":                  {need: admin, summary: "Change positions of a stopped connector", body: offsetsBody{}, status: 200, answer: message{}},
	"DELETE /connectors/{name}/offsets":                 {need: admin, summary: "Forget the positions of a stopped connector", status: 200, answer: message{}},
	"PUT /connector-plugins/{plugin}/config/validate":   {need: operator, summary: "Check a configuration without keeping it", body: properties{}, status: 200, answer: validation{}},
	"GET /connectors/{connector}/snapshots":             {need: viewer, summary: "Snapshots of a source: the initial one and those on demand", status: 200, answer: []capture.SnapshotJob{}},
	"POST /connectors/{connector}/snapshots":            {need: operator, summary: "Ask for a snapshot of tables", body: connect.SnapshotRequest{}, status: 202, answer: capture.SnapshotJob{}},
	"GET /connectors/{connector}/snapshots/{id}":        {need: viewer, summary: "One snapshot", status: 200, answer: capture.SnapshotJob{}},
	"DELETE /connectors/{connector}/snapshots/{id}":     {need: operator, summary: "Cancel a snapshot (202), or forget one that has ended (204)", status: 202},
	"PUT /connectors/{connector}/snapshots/{id}/pause":  {need: operator, summary: "Hold the snapshots of a connector back", status: 202},
	"PUT /connectors/{connector}/snapshots/{id}/resume": {need: operator, summary: "Let the snapshots of a connector go on", status: 202},
	"GET /connectors/{connector}/dlq":                   {need: viewer, summary: "Open dead letters of a sink by cause", status: 200, answer: []connect.LetterGroup{}},
	"GET /connectors/{connector}/dlq/records":           {need: contents, summary: "Dead letters of a sink", query: []parameter{{"state", "open (the default), retried, discarded or all"}}, status: 200, answer: []connect.Letter{}},
	"POST /connectors/{connector}/dlq/retry":            {need: operator, summary: "Send dead letters through the sink again", body: connect.LetterChoice{}, status: 200, answer: connect.LetterOutcome{}},
	"POST /connectors/{connector}/dlq/discard":          {need: operator, summary: "Give dead letters up", body: connect.LetterChoice{}, status: 200, answer: connect.LetterOutcome{}},
	"GET /admin/loggers":                                {need: viewer, summary: "Levels of the log, by logger", status: 200, answer: map[string]loglevel.Level{}},
	"GET /admin/loggers/{logger}":                       {need: viewer, summary: "Level of a logger", status: 200, answer: loglevel.Level{}},
	"GET /healthz":                                      {need: anyone, summary: "Whether the process can do its work at all", status: 200, answer: probe{}},
	"GET /readyz":                                       {need: anyone, summary: "Whether every task that should run does", status: 200, answer: probe{}},
	"GET /freshet/status":                               {need: viewer, summary: "What the worker does: connectors, lag, slots, snapshots", status: 200, answer: connect.Report{}},
	"GET /freshet/topics":                               {need: viewer, summary: "Topics with their partitions and offsets", status: 200, answer: []topicio.Topic{}},
	"GET /metrics":                                      {need: viewer, summary: "Metrics for Prometheus", status: 200, answer: "", media: mediaText},
	"GET /openapi.json":                                 {need: anyone, summary: "This description", status: 200, answer: map[string]any{}},
	"POST /freshet/topics/{topic}/records":              {need: admin, summary: "Append records, a line of JSON each", body: "", status: 200, answer: produced{}, media: mediaLines},
	"POST /connectors/{name}/restart": {
		need: operator, summary: "Restart a connector (204), with a flag also tasks (202 and the status)", status: 202, answer: connect.Status{},
		query: []parameter{{"includeTasks", "true: tasks too"}, {"onlyFailed", "true: only what is FAILED"}},
	},
	"GET /connector-plugins": {
		need: viewer, summary: "Plug-ins", status: 200, answer: []pluginInfo{}, query: []parameter{{"connectorsOnly", "false: transforms and converters too"}},
	},
	"GET /connector-plugins/{plugin}/config": {
		need: viewer, summary: "Properties of a plug-in", status: 200, answer: []keyInfo{}, query: []parameter{{"version", "a version or ranges such as [4.0,5)"}},
	},
	"PUT /admin/loggers/{logger}": {
		need: operator, summary: "Change the level of a logger, and of all whose names begin like it", body: levelRequest{}, status: 200, answer: []string{},
		query: []parameter{{"scope", "worker (the default), or cluster: all workers of the group, answered by 204"}},
	},
	"GET /freshet/topics/{topic}/records": {
		need: contents, summary: "Records of a topic, a line of JSON each, as they come", status: 200, answer: "", media: mediaLines,
		query: []parameter{{"partition", "this one only"}, {"from", "beginning: the oldest first"}, {"exit", "true: end where the topic ended at the start"}},
	},
}

// The forms of answers that have no type of their own.
type (
	rootInfo struct {
		Version   string `json:"version"`
		Commit    string `json:"commit"`
		ClusterID string `json:"kafka_cluster_id"`
	}
	healthInfo struct {
		Status  string `json:"status"`
		Message string `json:"message"`
	}
	offsetsBody struct {
		Offsets []offset `json:"offsets"`
	}
	levelRequest struct {
		Level string `json:"level"`
	}
)

// openapiRoutes serve the description.
func (a *api) openapiRoutes() []route {
	return []route{{path: []string{"openapi.json"}, media: mediaJSON, methods: []method{{http.MethodGet, func(*request) (reply, error) {
		return ok(describe(a.routes))
	}}}}}
}

// OpenAPI describes every route that there is, in OpenAPI 3.1.
func OpenAPI() map[string]any { return describe(nil) }

// describe describes routes; nil are all that are known.
func describe(routes []route) map[string]any {
	s := newSchemas()
	paths := map[string]any{}
	add := func(verb, path string) {
		item, _ := paths[path].(map[string]any)
		if item == nil {
			item = map[string]any{}
			paths[path] = item
		}
		item[strings.ToLower(verb)] = s.operation(verb, path, operations[verb+" "+path])
	}
	for _, r := range routes {
		for _, m := range r.methods {
			add(m.name, r.template())
		}
	}
	if routes == nil {
		for name := range operations {
			verb, path, _ := strings.Cut(name, " ")
			add(verb, path)
		}
	}
	s.of(failure{})
	return map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title": "freshet", "version": connect.CompatibleVersion,
			"description": "Kafka Connect's REST API, and freshet's own endpoints. Errors have an error_code, which is the status, and a message.",
			"license":     map[string]any{"name": "Apache-2.0", "identifier": "Apache-2.0"},
		},
		"servers":  []any{map[string]any{"url": DefaultListener}},
		"paths":    paths,
		"security": []any{map[string]any{}, map[string]any{"token": []any{}}, map[string]any{"password": []any{}}},
		"components": map[string]any{
			"schemas": s.named,
			"securitySchemes": map[string]any{
				"token":    map[string]any{"type": "http", "scheme": "bearer", "description": "A token of rest.auth.token.file, where the worker has one."},
				"password": map[string]any{"type": "http", "scheme": "basic", "description": "Any user, with a token as the password."},
			},
		},
	}
}

// template is the path with its variables in braces.
func (m *route) template() string {
	var b strings.Builder
	for _, p := range m.path {
		b.WriteByte('/')
		if p[0] == ':' || p[0] == '#' {
			p = "{" + p[1:] + "}"
		}
		b.WriteString(p)
	}
	if b.Len() == 0 {
		return "/"
	}
	return b.String()
}

func (s *schemas) operation(verb, path string, o operation) map[string]any {
	media := o.media
	if media == "" {
		media = mediaJSON
	}
	success := map[string]any{"description": "Done"}
	if o.answer != nil {
		kind := media
		if _, lines := o.answer.(produced); lines {
			kind = mediaJSON
		}
		success["content"] = map[string]any{kind: map[string]any{"schema": s.of(o.answer)}}
	}
	out := map[string]any{
		"operationId": operationID(verb, path),
		"summary":     o.summary,
		"description": "Where the worker asks for tokens: for " + o.need.String() + ".",
		"responses": map[string]any{
			strconv.Itoa(o.status): success,
			"default":              map[string]any{"description": "An error", "content": map[string]any{mediaJSON: map[string]any{"schema": s.of(failure{})}}},
		},
	}
	var parameters []any
	for segment := range strings.SplitSeq(path, "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			kind := "string"
			if name == "task}" {
				kind = "integer"
			}
			parameters = append(parameters, map[string]any{"name": strings.TrimSuffix(name, "}"), "in": "path", "required": true, "schema": map[string]any{"type": kind}})
		}
	}
	for _, q := range o.query {
		parameters = append(parameters, map[string]any{"name": q.name, "in": "query", "description": q.what, "schema": map[string]any{"type": "string"}})
	}
	if parameters != nil {
		out["parameters"] = parameters
	}
	if o.body != nil {
		out["requestBody"] = map[string]any{"required": true, "content": map[string]any{media: map[string]any{"schema": s.ofBody(o.body)}}}
	}
	return out
}

// operationID is a name such as getConnectorsNameConfig.
func operationID(verb, path string) string {
	var id strings.Builder
	id.WriteString(strings.ToLower(verb))
	for _, word := range strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune("/{}-.", r) }) {
		id.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return id.String()
}
