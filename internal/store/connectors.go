// SPDX-License-Identifier: Apache-2.0

package store

// What the standalone herder keeps: connector configurations, target states, and status values. Each change is durable
// when its call returns. Unlike the log, these calls reopen a failed DB by themselves: each stands alone, so none can
// become durable out of order.

// Connector is a connector's name and configuration.
type Connector struct {
	Name   string
	Config []byte // JSON
}

// PutConnector keeps a connector's configuration (JSON), new or changed.
func (db *DB) PutConnector(name string, config []byte) error {
	return db.update(func(b *Batch) { b.put(appendName(b.key[:0], spaceConnector, name), append(b.val[:0], config...)) })
}

// DeleteConnector forgets a connector: its configuration and its target state. Its marks and offsets stay.
func (db *DB) DeleteConnector(name string) error {
	return db.update(func(b *Batch) {
		b.delete(appendName(b.key[:0], spaceConnector, name))
		b.delete(appendName(b.key[:0], spaceTarget, name))
	})
}

// Connectors returns all connectors by name.
func (db *DB) Connectors() ([]Connector, error) {
	var out []Connector
	err := db.scan("read connectors", []byte{spaceConnector}, nil, func(k, v []byte) (bool, error) {
		out = append(out, Connector{Name: string(k[1:]), Config: append([]byte(nil), v...)})
		return true, nil
	})
	return out, err
}

// PutTargetState keeps the state that a connector should be in.
func (db *DB) PutTargetState(name, state string) error {
	return db.update(func(b *Batch) { b.put(appendName(b.key[:0], spaceTarget, name), append(b.val[:0], state...)) })
}

// TargetState returns the state that a connector should be in, "" if none was put.
func (db *DB) TargetState(name string) (string, error) {
	return db.text("read a target state", spaceTarget, name)
}

// PutStatus keeps a status value.
func (db *DB) PutStatus(key string, value []byte) error {
	return db.update(func(b *Batch) { b.put(appendName(b.key[:0], spaceStatus, key), append(b.val[:0], value...)) })
}

// DeleteStatus forgets a status value.
func (db *DB) DeleteStatus(key string) error {
	return db.update(func(b *Batch) { b.delete(appendName(b.key[:0], spaceStatus, key)) })
}

// Status returns a status value, nil if there is none.
func (db *DB) Status(key string) ([]byte, error) {
	var out []byte
	_, err := db.get("read a status", appendName(nil, spaceStatus, key), func(v []byte) error {
		out = append([]byte{}, v...)
		return nil
	})
	return out, err
}

// Statuses calls f with the status values whose key begins with prefix, by key. value is valid until f returns.
func (db *DB) Statuses(prefix string, f func(key string, value []byte)) error {
	return db.scan("read status", appendName(nil, spaceStatus, prefix), nil, func(k, v []byte) (bool, error) {
		f(string(k[1:]), v)
		return true, nil
	})
}

// update makes one change durable.
func (db *DB) update(f func(b *Batch)) error {
	if err := db.Reopen(); err != nil {
		return err
	}
	b := db.NewBatch()
	f(b)
	return b.Commit()
}
