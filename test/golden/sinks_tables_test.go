// SPDX-License-Identifier: Apache-2.0

package golden

// sinksSkipped are the recorded cases of the JDBC sink that need what is not served yet, and what that is.
var sinksSkipped = map[string]string{}

// sinkDifference is a case where ours is better than recorded. The expected target is in the folder expected; without
// files there the target stays empty.
type sinkDifference struct {
	why      string
	state    string            // of the task; REFUSED is a 400 answer
	says     string            // a pattern of what the failure or refusal says
	consumed map[string]string // where it differs
}

const (
	saidAtOnce   = "a configuration that cannot work is refused with its reason, not a FAILED task"
	causeIsShown = "the driver's cause, the address and the next step are told"
	tailIsKept   = "records that a transform drops are committed"
	nullStays    = "an explicit null in a complete change event stays null"
	anyTime      = "a time outside of a day is written where the column holds it"
	exactDecimal = "a decimal without precision or with a scale of its own keeps its value"
)

var sinksDifferent = map[string]sinkDifference{
	"config-bad-insert-mode": {
		why: saidAtOnce, state: "REFUSED",
		says: `Invalid value replace for configuration insert\.mode: String must be one of: upsert, insert, update`,
	},
	"config-bad-url": {why: saidAtOnce, state: "REFUSED", says: `configuration connection\.url: No suitable driver`},
	"config-delete-key-none": {
		why: saidAtOnce, state: "REFUSED",
		says: `When 'delete\.enabled' is set to 'true', the 'primary\.key\.mode' option must be set to 'record_key'\.`,
	},
	"pg-dlq-write-error": {
		why: "with a dead letter queue the record that the target refuses is in it, and the others are written", state: "RUNNING",
		consumed: map[string]string{"snk1.e": "3/3"},
	},
	"config-missing-required": {
		why: saidAtOnce, state: "REFUSED",
		says: `(?s)Missing required configuration "connection\.url".*connection\.username: A value is required`,
	},
	"pg-delete-key-record-value": {
		why: saidAtOnce, state: "REFUSED",
		says: `When 'delete\.enabled' is set to 'true', the 'primary\.key\.mode' option must be set to 'record_key'\.`,
	},
	"pg-field-include-exclude": {why: saidAtOnce, state: "REFUSED", says: `Please specify only one\.`},
	"pg-upsert-key-none":       {why: saidAtOnce, state: "REFUSED", says: `When using UPSERT, please define 'primary\.key\.mode'`},
	"pg-upsert-no-key-mode":    {why: saidAtOnce, state: "REFUSED", says: `When using UPSERT, please define 'primary\.key\.mode'`},
	"pg-validate-only-missing": {
		why: saidAtOnce, state: "REFUSED",
		says: `Invalid value validate-only for configuration schema\.evolution: String must be one of: none, basic`,
	},
	"pg-nokey-delete-enabled": {
		why: "a delete without key columns would empty the table", state: "REFUSED",
		says: `When 'delete\.enabled' is set to 'true', the 'primary\.key\.mode' option must be set to 'record_key'\.`,
	},

	"pg-bad-credentials":  {why: causeIsShown, state: "FAILED", says: `at .*:\d+, database .*, as "snk_nobody": .*(role "snk_nobody" does not exist|password authentication failed for user "snk_nobody").*: check connection\.username`},
	"pg-missing-database": {why: causeIsShown, state: "FAILED", says: `database "snk_nosuch" does not exist.*: create the database`},
	"pg-unreachable":      {why: causeIsShown + "; the task tries again", state: "RESTARTING", says: `at 127\.0\.0\.1:5999, .*connection refused: check host and port`},

	"pg-key-fields-no-match-delete": {
		why: "a delete without key columns would empty the table", state: "FAILED",
		says: `no key fields defined: primary\.key\.fields is "nosuch", the record has "id"`, consumed: map[string]string{"snk1.life": "0/4"},
	},
	"pg-key-fields-no-match-upsert": {
		why: "no table without a key is left behind", state: "FAILED",
		says: `Cannot write to table snk1_life with no key fields defined: primary\.key\.fields is "nosuch"`,
	},

	"pg-persons-insert-unwrap": {why: tailIsKept, state: "RUNNING", consumed: map[string]string{"snk1.persons": "6/6"}},
	"pg-persons-unwrap":        {why: tailIsKept, state: "RUNNING", consumed: map[string]string{"snk1.persons": "6/6"}},

	"pg-connect-types":        {why: exactDecimal, state: "RUNNING"},
	"pg-decimal-no-precision": {why: exactDecimal, state: "RUNNING"},
	"pg-special-numbers":      {why: exactDecimal + "; infinite timestamps and dates stay infinite, NaN stays NaN", state: "RUNNING"},

	"pg-array-decimal-error":      {why: "arrays of numeric are written", state: "RUNNING", consumed: map[string]string{"snk1.public.arr": "1/1"}},
	"pg-defaults-time-error":      {why: "the default of a time column is a time", state: "RUNNING", consumed: map[string]string{"snk1.public.defs": "1/1"}},
	"pg-evolution-add-remove":     {why: nullStays, state: "RUNNING"},
	"pg-existing-enum-error":      {why: "a text is cast to the enum of the column", state: "RUNNING", consumed: map[string]string{"snk1.cst": "1/1"}},
	"pg-existing-identity":        {why: "the value of the record overrides the identity", state: "RUNNING", consumed: map[string]string{"snk1.idn": "1/1"}},
	"pg-key-change-headers-error": {why: "headers are not read unless they are the key", state: "RUNNING", consumed: map[string]string{"snk1.public.life": "11/11"}},
	"pg-key-primitive":            {why: "a primitive key is the column of primary.key.fields", state: "RUNNING", consumed: map[string]string{"snk1.prim": "1/1"}},
	"pg-message-record":           {why: "logical messages are left out", state: "RUNNING", consumed: map[string]string{"snk1.msg": "1/1"}},
	"pg-nested-struct-error":      {why: "a struct without semantic name is written as JSON", state: "RUNNING", consumed: map[string]string{"snk1.st": "1/1"}},
	"pg-toast-placeholder":        {why: "a value that the database did not send leaves the column as it is", state: "RUNNING", consumed: map[string]string{"snk1.public.toast": "2/2"}},
	"pg-toast-placeholder-text":   {why: "a value that the database did not send leaves the column as it is", state: "RUNNING"},
	"pg-tombstone-first":          {why: "a tombstone for a table that does not exist deletes nothing", state: "RUNNING", consumed: map[string]string{"snk1.b": "2/2"}},
	"pg-types-plain":              {why: "points need no PostGIS", state: "RUNNING", consumed: map[string]string{"snk1.public.kinds": "2/2"}},
	"pg-types-propagated":         {why: "points need no PostGIS", state: "RUNNING", consumed: map[string]string{"snk1.public.kinds": "2/2"}},
	"pg-unnest-same-key":          {why: "a key that comes twice in a batch is written once, as it was last", state: "RUNNING", consumed: map[string]string{"snk1.b": "3/3"}},

	"mysql-array-error":          {why: "arrays are written as JSON", state: "RUNNING", consumed: map[string]string{"snk1.ar": "1/1"}},
	"mysql-decimal-no-precision": {why: exactDecimal, state: "RUNNING", consumed: map[string]string{"snk1.dz": "1/1"}},
	"mysql-enum-comma-error":     {why: "a comma inside of an enum's value is part of it; " + anyTime, state: "RUNNING", consumed: map[string]string{"snk1.snk_src.wild": "1/1"}},
	"mysql-evolution-add-number": {why: nullStays, state: "RUNNING"},
	"mysql-evolution-add-remove": {why: nullStays, state: "FAILED", says: `Field 'city' doesn't have a default value`},
	"mysql-negative-time":        {why: anyTime, state: "RUNNING", consumed: map[string]string{"snk1.snk_src.wild": "1/1"}},
	"mysql-special-numbers": {
		why: "NaN, which no column of MySQL holds, is refused, not written as 0", state: "FAILED", says: `column "f8" of type double has no value NaN`,
		consumed: map[string]string{"snk1.public.nums": "0/1"},
	},
	"mysql-special-numbers-big": {why: exactDecimal, state: "RUNNING"},
	"mysql-types-from-postgres": {why: exactDecimal, state: "RUNNING"},
	"mysql-zoned-time-error":    {why: "a time with an offset is kept as a text", state: "RUNNING", consumed: map[string]string{"snk1.public.kinds": "1/1"}},
}
