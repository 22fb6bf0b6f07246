// SPDX-License-Identifier: Apache-2.0

package schema_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"freshet/schema"
)

func TestJavaOrder(t *testing.T) {
	cases := []struct{ given, want []string }{ // as recorded
		{[]string{"public.t1", "public.t2"}, []string{"public.t2", "public.t1"}},
		{[]string{"public.e", "public.nokey", "public.t"}, []string{"public.t", "public.nokey", "public.e"}},
		{
			[]string{"connector_name", "status", "scanned_collection", "total_rows_scanned", "data_collections"},
			[]string{"scanned_collection", "connector_name", "total_rows_scanned", "status", "data_collections"},
		},
		{nil, nil},
	}
	for _, c := range cases {
		require.Equal(t, c.want, schema.JavaOrder(c.given))
	}
	require.Equal(t, []string{"current_collection_in_progress", "connector_name", "maximum_key", "last_processed_key", "data_collections"},
		schema.JavaCopyOrder([]string{"connector_name", "current_collection_in_progress", "maximum_key", "last_processed_key", "data_collections"}))
	// 😀 hashes as its two surrogates, 0xD83D*31+0xDE00 = 1772899; a table of 32 buckets holds 13 and more.
	many := []string{"😀", "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"}
	require.ElementsMatch(t, many, schema.JavaOrder(append([]string(nil), many...)))
	require.Equal(t, []string{"q", "a"}, schema.JavaOrder([]string{"q", "a"}), "one bucket for both keeps their order")
}
