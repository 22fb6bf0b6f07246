// SPDX-License-Identifier: Apache-2.0

package standalone

import "freshet/connect"

// Reports are the states of all connectors, in the order of creation.
func (h *Herder) Reports() []connect.ConnectorReport {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]connect.ConnectorReport, 0, len(h.order))
	for _, name := range h.order {
		i := h.connectors[name]
		r := connect.ConnectorReport{
			Name: name, Type: i.kind(), Class: i.given["connector.class"], State: i.target, Tasks: []connect.TaskReport{},
		}
		if _, failure := i.failure(); failure != nil {
			r.State, r.Cause = connect.Failed, connect.RedactText(failure.Error())
		}
		for n, t := range i.tasks {
			task := t.Report()
			task.ID = n
			r.Tasks = append(r.Tasks, task)
		}
		out = append(out, r)
	}
	return out
}
