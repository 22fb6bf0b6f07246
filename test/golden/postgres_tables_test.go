// SPDX-License-Identifier: Apache-2.0

package golden

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// postgresSkipped are the recorded cases that need what is not served yet, and what that is.
var postgresSkipped = map[string]string{}

// postgresDifferent are the cases whose recording is a defect of the original, and what is right instead. Their expected
// output is in expected/postgres.
var postgresDifferent = map[string]string{
	"column-exclude":                      "an excluded key column keeps its value in the key, in snapshots too, and its schema in the stream",
	"column-include":                      "a key column that is not included keeps its value in the key, in snapshots too, and its schema in the stream",
	"config-definitions":                  "the default of plugin.name is pgoutput; a list of columns is of type LIST, not INT",
	"default-values":                      "a literal default with a quote is whole; generated columns have no default",
	"domain-over-enum-fails":              "captured in the form of the base type instead of a failed task",
	"error-slot-active":                   "the second connector fails before it reads a row",
	"generated-identity":                  "generated columns have no default",
	"name-type":                           "a key of type name has its value in streamed deletes, not the empty text",
	"names-case-duplicate":                "columns that differ by case only are two columns instead of a failed task",
	"session-timezone":                    "the proleptic date before Christ in snapshots as in the stream",
	"snapshot-configuration-based":        "one snapshot, not one at each start",
	"temporal-extremes":                   "the proleptic date in snapshots as in the stream; overflow saturates",
	"temporal-extremes-connect":           "the proleptic date in snapshots as in the stream; overflow saturates",
	"temporal-nanoseconds-notnull-delete": "what stands for an empty value elsewhere, in place of a missing required one, instead of a failed task",
	"types-basic-scalars":                 "streamed values of type name are the values, not null",
	"toast-required-unsupported":          "the placeholder of the type instead of a failed task",
}

// postgresSentences are what the message of a connector that does not start, or stops, must tell, as regular
// expressions. The recorded ones are Java's; the next step is ours.
var postgresSentences = map[string][]string{
	"error-filtered-no-table":          {"Unable to create filtered publication", "No table filters found for filtered publication", "next step"},
	"error-invalid-values":             {"28 error\\(s\\)", "slot name must contain only digits", "given: Bad-Slot"},
	"error-missing-options":            {"The 'database.hostname' value is invalid: A value is required"},
	"error-no-such-database":           {`database "pg2_no_such_db" does not exist`, "next step"},
	"error-no-such-host":               {`127\.0\.0\.1:5999.*refused`, "next step"},
	"error-no-such-role":               {`"pg2_nobody"`, "next step"},
	"error-publication-for-all-tables": {"A logical publication for all tables named 'pg2_pub_all' .* is already active on the server and can not be altered", "next step"},
	"error-publication-missing":        {"Publication autocreation is disabled, please create one and restart the connector", "CREATE PUBLICATION"},
	"error-slot-other-plugin":          {"please make sure to use a distinct replication slot name for each", `replication slot "pg2_slot_plug" already exists`, "next step"},
	"event-converting-failure-fail":    {"Failed to properly convert data value for 'public.sp.n' of type numeric", "next step"},
	"slot-drop-on-stop":                {slotGone, "changes from .* (are|may be) lost", "next step"},
	"slot-dropped-initial":             {slotGone, "changes from .* (are|may be) lost", "next step"},
}

const slotGone = `The connector is trying to read change stream starting at .* no longer available on the server\. ` +
	`Reconfigure the connector to use a snapshot mode when needed`

// postgresAccepted are the properties of a case that the original refuses and we do not, and why.
var postgresAccepted = map[string]map[string]string{
	"error-invalid-values": {"snapshot.mode": "never, the mode of former versions, is taken for no_data with a warning"},
}

// postgresSince is the major version of PostgreSQL that a case needs, where 14 is too old.
var postgresSince = map[string]int{
	"cloudevents-json": 15, // empty transactions, which cannot be told here: their values are null
	"numeric-double":   15, // negative scales
	"numeric-precise":  15,
	"numeric-string":   15,
}

// noEmptyTransactions is the first version of PostgreSQL whose pgoutput leaves out transactions without changes of what is
// published. Those of older servers are told by transaction metadata, here as in the original.
const noEmptyTransactions = 15

// withoutEmptyTransactions takes BEGIN and END of such transactions out.
func withoutEmptyTransactions(lines []string) []string {
	var out []string
	begun := -1 // place of the last BEGIN in out
	for _, line := range lines {
		switch {
		case strings.Contains(line, `"status":"BEGIN"`):
			begun = len(out)
		case strings.Contains(line, `"status":"END"`) && strings.Contains(line, `"event_count":0`) && begun >= 0:
			out = slices.Delete(out, begun, begun+1)
			continue
		}
		out = append(out, line)
	}
	return out
}

// postgresUnordered takes out what is in no order: the original's own runs differ in it.
var postgresUnordered = map[string]func(t *testing.T, lines []string) []string{
	"snapshot-parallel": oneLast,
}

// oneLast checks that one record of a snapshot is its last and one its first, and takes out which ones they are: that
// depends on which of the tables read at the same time ends last.
func oneLast(t *testing.T, lines []string) []string {
	t.Helper()
	all := strings.Join(lines, "\n")
	for _, marker := range []string{"first", "last"} {
		require.Equal(t, 1, strings.Count(all, `"snapshot":"`+marker+`"`), "records marked %q", marker)
		all = strings.ReplaceAll(all, `"snapshot":"`+marker+`"`, `"snapshot":"`+marker+`_in_data_collection"`)
	}
	return strings.Split(all, "\n")
}
