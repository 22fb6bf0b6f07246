// SPDX-License-Identifier: Apache-2.0

package mysql

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/go-sql-driver/mysql"

	"freshet/sinks/jdbc/dialect"
)

// Hints of more than one number.
const (
	hintWiden    = "widen the column in the target, or correct the value at the source; then restart the task"
	hintValue    = "correct the value at the source, or change the column's type in the target; then restart the task"
	hintRow      = "correct the row at the source or the table in the target, then restart the task"
	hintNotNull  = "make the column nullable or give it a default in the target, or correct the row at the source; then restart the task"
	hintUnique   = "insert.mode=upsert overwrites existing keys; another unique index of the target has to go or the rows that hold it"
	hintForeign  = "write the referenced table too, or drop the foreign key in the target"
	hintReadOnly = "the server is read-only: it may be a replica, or was one; point connection.url at the primary"
	hintDisk     = "the server has no room left: free some on its disk"
	hintGrant    = "grant the user of connection.username what the statement needs"
)

// meaning is the class of an error number and the next step.
type meaning struct {
	class dialect.Class
	hint  string
}

// numbers are what the error numbers of MySQL and MariaDB mean. Those that are not here go by their SQLSTATE.
var numbers = map[uint16]meaning{
	1205: {dialect.Retry, ""}, 1213: {dialect.Retry, ""}, 1020: {dialect.Retry, ""}, 1206: {dialect.Retry, ""}, 3572: {dialect.Retry, ""}, // locks
	1040: {dialect.Retry, ""}, 1203: {dialect.Retry, ""}, 1226: {dialect.Retry, ""}, // connections
	1053: {dialect.Retry, ""}, 1077: {dialect.Retry, ""}, 1079: {dialect.Retry, ""}, 1317: {dialect.Retry, ""}, 1927: {dialect.Retry, ""}, // shutdown, kill
	2006: {dialect.Retry, ""}, 2013: {dialect.Retry, ""}, 4031: {dialect.Retry, ""},
	1158: {dialect.Retry, ""}, 1159: {dialect.Retry, ""}, 1160: {dialect.Retry, ""}, 1161: {dialect.Retry, ""},
	1969: {dialect.Retry, ""}, 3024: {dialect.Retry, ""}, 3101: {dialect.Retry, ""}, 1180: {dialect.Retry, ""},
	1037: {dialect.Retry, ""}, 1038: {dialect.Retry, ""}, 1041: {dialect.Retry, ""}, // memory
	1021: {dialect.Retry, hintDisk}, 1114: {dialect.Retry, hintDisk}, 3: {dialect.Retry, hintDisk}, 1026: {dialect.Retry, hintDisk},
	1290: {dialect.Retry, hintReadOnly}, 1836: {dialect.Retry, hintReadOnly}, 1792: {dialect.Retry, hintReadOnly},

	1146: {dialect.Stale, ""}, 1054: {dialect.Stale, ""}, 1051: {dialect.Stale, ""}, 1136: {dialect.Stale, ""}, 1412: {dialect.Stale, ""}, 1932: {dialect.Stale, ""},

	1062: {dialect.Refuse, hintUnique}, 1586: {dialect.Refuse, hintUnique}, 1169: {dialect.Refuse, hintUnique},
	1048: {dialect.Refuse, hintNotNull}, 1364: {dialect.Refuse, hintNotNull},
	1406: {dialect.Refuse, hintWiden}, 1264: {dialect.Refuse, hintWiden}, 1690: {dialect.Refuse, hintWiden},
	1265: {dialect.Refuse, hintValue}, 1292: {dialect.Refuse, hintValue}, 1366: {dialect.Refuse, hintValue}, 1367: {dialect.Refuse, hintValue},
	1411: {dialect.Refuse, hintValue}, 1300: {dialect.Refuse, hintValue}, 1416: {dialect.Refuse, hintValue}, 3037: {dialect.Refuse, hintValue},
	3140: {dialect.Refuse, hintValue}, 3141: {dialect.Refuse, hintValue}, 3144: {dialect.Refuse, hintValue}, 3643: {dialect.Refuse, hintValue},
	6138: {dialect.Refuse, hintValue}, 6136: {dialect.Refuse, hintValue},
	1451: {dialect.Refuse, hintForeign}, 1452: {dialect.Refuse, hintForeign}, 1216: {dialect.Refuse, hintForeign}, 1217: {dialect.Refuse, hintForeign},
	3819: {dialect.Refuse, hintRow}, 4025: {dialect.Refuse, hintRow}, 1369: {dialect.Refuse, hintRow}, 1644: {dialect.Refuse, hintRow},
	1526: {dialect.Refuse, hintRow}, 1748: {dialect.Refuse, hintRow},

	1044: {dialect.Other, hintGrant}, 1142: {dialect.Other, hintGrant}, 1143: {dialect.Other, hintGrant}, 1227: {dialect.Other, hintGrant},
	1046: {dialect.Other, "name the database in connection.url, or in collection.name.format"},
	1071: {dialect.Other, "the key is too long for an index: create the table by hand with shorter columns"},
	1118: {dialect.Other, "the row is too long: create the table by hand with columns of type text"},
	1153: {dialect.Other, "raise max_allowed_packet on the server"},
}

// states are the classes of SQLSTATE that tell something.
var states = map[string]meaning{
	"08": {dialect.Retry, ""}, "40": {dialect.Retry, ""}, "22": {dialect.Refuse, hintValue}, "23": {dialect.Refuse, hintRow},
	"44": {dialect.Refuse, hintRow}, "45": {dialect.Refuse, hintRow},
}

// Classify goes by number, then by SQLSTATE; what has none is trouble with the connection, unless it is a value or a context.
func (*Dialect) Classify(err error) (class dialect.Class, hint string) {
	var my *mysql.MySQLError
	var value *valueError
	var setUp *setUpError
	var network net.Error
	switch {
	case errors.As(err, &value):
		return dialect.Refuse, hintValue
	case errors.As(err, &setUp):
		return dialect.Other, setUp.hint
	case errors.As(err, &my):
		m, ok := numbers[my.Number]
		if !ok {
			m = states[string(my.SQLState[:2])]
		}
		if my.Number == 1290 && !strings.Contains(my.Message, "read-only") && !strings.Contains(my.Message, "read_only") {
			m = meaning{} // another option that forbids the statement
		}
		return m.class, m.hint
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, driver.ErrBadConn), errors.Is(err, mysql.ErrInvalidConn), errors.Is(err, mysql.ErrMalformPkt),
		errors.Is(err, mysql.ErrPktSync), errors.Is(err, mysql.ErrPktSyncMul), errors.Is(err, mysql.ErrBusyBuffer),
		errors.Is(err, context.DeadlineExceeded):
		return dialect.Retry, ""
	}
	return dialect.Other, ""
}
