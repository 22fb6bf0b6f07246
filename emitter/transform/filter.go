// SPDX-License-Identifier: Apache-2.0

package transform

import "freshet/config"

var filterKind = kind{
	plugin: config.Plugin{
		Name: "Filter", Class: "org.apache.kafka.connect.transforms.Filter", Kind: "transformation", Version: Version,
	},
	make: func(config.Values) (Transform, error) { return filter{}, nil },
}

// filter drops every record: it is of use behind a predicate.
type filter struct{}

// Apply drops the record.
func (filter) Apply(*Record) (bool, error) { return false, nil }
