// SPDX-License-Identifier: Apache-2.0

package schema

// Names of semantic types: Connect's own and Debezium's.
const (
	Decimal          = "org.apache.kafka.connect.data.Decimal" // bytes: unscaled value, big-endian two's complement; parameter "scale"
	ConnectDate      = "org.apache.kafka.connect.data.Date"
	ConnectTime      = "org.apache.kafka.connect.data.Time"
	ConnectTimestamp = "org.apache.kafka.connect.data.Timestamp"

	Date           = "io.debezium.time.Date"           // int32: days since 1970-01-01
	Time           = "io.debezium.time.Time"           // int32: ms of the day
	MicroTime      = "io.debezium.time.MicroTime"      // int64
	NanoTime       = "io.debezium.time.NanoTime"       // int64
	Timestamp      = "io.debezium.time.Timestamp"      // int64: ms since the epoch
	MicroTimestamp = "io.debezium.time.MicroTimestamp" // int64
	NanoTimestamp  = "io.debezium.time.NanoTimestamp"  // int64
	ZonedTime      = "io.debezium.time.ZonedTime"      // string
	ZonedTimestamp = "io.debezium.time.ZonedTimestamp" // string
	IsoDate        = "io.debezium.time.IsoDate"
	IsoTime        = "io.debezium.time.IsoTime"
	IsoTimestamp   = "io.debezium.time.IsoTimestamp"
	MicroDuration  = "io.debezium.time.MicroDuration" // int64: µs
	Interval       = "io.debezium.time.Interval"      // string: ISO 8601 period with all six parts
	Year           = "io.debezium.time.Year"          // int32

	Bits                 = "io.debezium.data.Bits" // bytes, little-endian; parameter "length"
	JSON                 = "io.debezium.data.Json"
	XML                  = "io.debezium.data.Xml"
	UUID                 = "io.debezium.data.Uuid"
	Ltree                = "io.debezium.data.Ltree"
	Tsvector             = "io.debezium.data.Tsvector"
	Enum                 = "io.debezium.data.Enum" // string; parameter "allowed"
	EnumSet              = "io.debezium.data.EnumSet"
	VariableScaleDecimal = "io.debezium.data.VariableScaleDecimal" // struct{scale int32, value bytes}
	Point                = "io.debezium.data.geometry.Point"
	Geometry             = "io.debezium.data.geometry.Geometry"
	Geography            = "io.debezium.data.geometry.Geography"
	DoubleVector         = "io.debezium.data.DoubleVector"
	FloatVector          = "io.debezium.data.FloatVector"
	SparseDoubleVector   = "io.debezium.data.SparseDoubleVector"

	// Literal is a string: a value as its database prints and reads it. Its parameter "type" names the database's type if
	// that is a built-in one. Debezium has no such type.
	Literal = "freshet.data.Literal"
)
