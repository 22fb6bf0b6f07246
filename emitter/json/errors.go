// SPDX-License-Identifier: Apache-2.0

package json

import "freshet/emitter"

// DataError is a value or schema that the converter refuses.
type DataError = emitter.DataError

func refuse(message string) error { return emitter.Refuse(message) }

func inField(name string, err error) error { return emitter.InField(name, err) }
