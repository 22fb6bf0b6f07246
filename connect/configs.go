// SPDX-License-Identifier: Apache-2.0

package connect

import (
	"fmt"
	"maps"
)

// Submitted is the configuration that a request means: with the connector's name in it, and stored texts in the place of
// their masks. stored is nil for a new connector. The error is that of another name.
func (w *Worker) Submitted(name string, cfg, stored map[string]string) (map[string]string, error) {
	if given, ok := cfg["name"]; ok && given != NullValue && given != name {
		return nil, &Error{400, fmt.Sprintf("Connector name configuration (%s) doesn't match connector name in the URL (%s)", given, name)}
	}
	cfg = maps.Clone(cfg)
	if cfg == nil {
		cfg = map[string]string{}
	}
	if _, ok := cfg["name"]; !ok {
		cfg["name"] = name
	}
	if stored != nil {
		cfg = w.Unmask(cfg, stored)
	}
	return cfg, nil
}

// Patched is a stored configuration with some properties changed; NullValue takes one away.
func (w *Worker) Patched(stored, changes map[string]string) (map[string]string, error) {
	cfg := maps.Clone(stored)
	for property, value := range w.Unmask(changes, stored) {
		cfg[property] = value
		if value == NullValue {
			delete(cfg, property)
		}
	}
	if _, ok := cfg["name"]; !ok {
		return nil, &Error{400, InvalidConfig([]string{`Missing required configuration "name" which has no default value.`})}
	}
	return cfg, nil
}

// Shown is a stored configuration as it may leave the process: secrets masked. The class may be unknown.
func (w *Worker) Shown(stored map[string]string) map[string]string {
	plugin, err := w.plugins.Find(stored["connector.class"])
	if err != nil {
		return Redact(nil, stored)
	}
	return Redact(&plugin.Def, stored)
}

// KindOf is source, sink or, where the class of a stored configuration is not known, unknown.
func (w *Worker) KindOf(stored map[string]string) string {
	plugin, err := w.plugins.Find(stored["connector.class"])
	if err != nil {
		return "unknown"
	}
	return plugin.Kind
}

// Messages of Kafka Connect about connectors and tasks, for errors with a status.

// NotFound is the answer to questions about a connector that does not exist.
func NotFound(name string) error { return &Error{404, "Connector " + name + " not found"} }

// Unknown is the answer to requests to pause, resume or stop one.
func Unknown(name string) error { return &Error{404, "Unknown connector " + name} }

// UnknownRestart is the answer to requests to restart one.
func UnknownRestart(name string) error { return &Error{404, "Unknown connector: " + name} }

// UnknownTask is the answer to requests to restart a task that does not exist.
func UnknownTask(id TaskID) error {
	return &Error{404, fmt.Sprintf("Unknown task: %s-%d", id.Connector, id.Task)}
}

// NoStatus is the answer where nothing is known of the state.
func NoStatus(name string) error { return &Error{404, "No status found for connector " + name} }

// Exists is the answer to the creation of a connector that there is.
func Exists(name string) error { return &Error{409, fmt.Sprintf("Connector %s already exists", name)} }

// NotStopped is the answer to changes of positions while tasks may run.
func NotStopped(name string) error {
	return &Error{400, fmt.Sprintf("Connectors must be in the STOPPED state before their offsets can be modified. "+
		"This can be done for the specified connector by issuing a 'PUT' request to the '/connectors/%s/stop' endpoint", name)}
}

// OnlySources is the answer to requests for snapshots of a connector that is none of a source.
func OnlySources(name, kind string) error {
	return &Error{400, "Connector " + name + " is a " + kind + ": only sources have snapshots"}
}
