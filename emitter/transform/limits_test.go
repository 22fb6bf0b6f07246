// SPDX-License-Identifier: Apache-2.0

package transform_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"freshet/emitter/transform"
)

// TestExpressionsHaveLimits: neither a long expression nor one that would not end takes the worker along.
func TestExpressionsHaveLimits(t *testing.T) {
	problems := problemsOf(t, filterClass, "language", "cel", "condition", "true"+strings.Repeat(" && true", 10_000))
	require.Len(t, problems, 1)
	require.Contains(t, problems[0].Message, "expression code point size exceeds limit")

	deep := strings.Repeat("(", 1000) + "true" + strings.Repeat(")", 1000)
	require.NotEmpty(t, problemsOf(t, filterClass, "language", "cel", "condition", deep))

	list := "[" + strings.Repeat("1,", 99) + "1]"
	grows := "'aaaaaaaaaa'" + strings.Repeat(".replace('a', 'aaaaaaaaaa')", 30)
	for name, condition := range map[string]string{
		"loops within loops":    list + ".all(a, " + list + ".all(b, " + list + ".all(c, " + list + ".all(d, a + b + c + d > 0))))",
		"a text that grows":     grows + " == ''",
		"a text of many texts":  list + ".map(a, " + list + ".map(b, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa').join('bbbbbbbbbbbbbbbbbbbbbbb')).join('" + strings.Repeat("c", 5000) + "') == '' || " + grows + " == ''",
		"a loop over the value": list + ".all(a, " + list + ".all(b, " + list + ".all(c, value.op == 'u' && " + list + ".all(d, value.after.id == 7))))",
	} {
		t.Run(name, func(t *testing.T) {
			chain := oneTransform(t, filterClass, "language", "cel", "condition", condition)
			begin := time.Now()
			_, err := chain.Apply(sample())
			var refused *transform.Error
			require.ErrorAs(t, err, &refused, "the record is refused, and errors.tolerance decides")
			require.ErrorContains(t, err, "it takes more than 5000000 steps for the record")
			require.Less(t, time.Since(begin), 20*time.Second)
		})
	}
	keep, err := oneTransform(t, filterClass, "language", "cel", "condition", list+".all(a, "+list+".exists(b, a == b && value.after.tags.exists(x, x == 'red')))").Apply(sample())
	require.NoError(t, err)
	require.True(t, keep, "what ends is not kept from it")
}
