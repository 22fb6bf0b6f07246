// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"net/http"

	"freshet/connect"
)

// snapshotRoutes are freshet's own: snapshots of a source's tables while it streams.
func (a *api) snapshotRoutes() []route {
	at := func(path ...string) []string {
		return append([]string{"connectors", ":connector", "snapshots"}, path...)
	}
	return []route{
		{path: at(), media: mediaJSON, methods: []method{{http.MethodGet, a.listSnapshots}, {http.MethodPost, a.startSnapshot}}},
		{path: at(":id"), media: mediaJSON, methods: []method{{http.MethodGet, a.snapshot}, {http.MethodDelete, a.deleteSnapshot}}},
		{path: at(":id", "pause"), media: mediaJSON, methods: []method{{http.MethodPut, a.pauseSnapshot(true)}}},
		{path: at(":id", "resume"), media: mediaJSON, methods: []method{{http.MethodPut, a.pauseSnapshot(false)}}},
	}
}

func (a *api) listSnapshots(r *request) (reply, error) {
	return a.ofSnapshots(r, func(s *connect.Snapshots) (reply, error) {
		jobs, err := s.List()
		return reply{status: http.StatusOK, body: jobs}, err
	})
}

// ofSnapshots answers with what use makes of the connector's snapshots.
func (a *api) ofSnapshots(r *request, use func(*connect.Snapshots) (reply, error)) (answer reply, err error) {
	err = a.o.Herder.Snapshots(r.Context(), r.args[0], func(s *connect.Snapshots) (err error) {
		answer, err = use(s)
		return err
	})
	return answer, err
}

func (a *api) startSnapshot(r *request) (reply, error) {
	var q connect.SnapshotRequest
	if err := readBody(r, &q); err != nil {
		return reply{}, &connect.Error{Code: http.StatusBadRequest, Message: err.Error()}
	}
	if g := grantOf(r.Context()); g != nil && len(q.Conditions) > 0 && !g.has(admin) {
		return reply{}, forbidden(g, "conditions are SQL of the source and take %s", admin)
	}
	return a.ofSnapshots(r, func(s *connect.Snapshots) (reply, error) {
		job, err := s.Start(q)
		return reply{status: http.StatusAccepted, body: job}, err
	})
}

func (a *api) snapshot(r *request) (reply, error) {
	return a.ofSnapshots(r, func(s *connect.Snapshots) (reply, error) {
		job, err := s.Get(r.args[1])
		return reply{status: http.StatusOK, body: job}, err
	})
}

// deleteSnapshot forgets one that has ended (204), or cancels it (202).
func (a *api) deleteSnapshot(r *request) (reply, error) {
	return a.ofSnapshots(r, func(s *connect.Snapshots) (reply, error) {
		gone, err := s.Delete(r.args[1])
		if gone {
			return reply{status: http.StatusNoContent}, err
		}
		return reply{status: http.StatusAccepted}, err
	})
}

func (a *api) pauseSnapshot(paused bool) handler {
	return func(r *request) (reply, error) {
		return a.ofSnapshots(r, func(s *connect.Snapshots) (reply, error) {
			return reply{status: http.StatusAccepted}, s.Pause(r.args[1], paused)
		})
	}
}
