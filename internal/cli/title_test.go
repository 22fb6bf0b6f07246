// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTakeArgs(t *testing.T) {
	const secret = "Canary-4711"
	for _, c := range []struct{ arg, title string }{
		{"replicate", "replicate"},
		{"", ""},
		{"postgres://app@db/shop", "postgres://app@db/shop"},
		{"--from=postgres://app:Canary-4711@db:5432/shop", "--from=postgres://app:***********@db:5432/shop"},
		{"host=db password=Canary-4711 user=app", "host=db password=*********** user=app"},
		{"postgres://app@db/shop?password=Canary-4711&sslmode=disable", "postgres://app@db/shop?password=***********&sslmode=disable"},
		{"postgres://a:Canary-4711@x,postgres://b:Canary-4711@y", "postgres://a:" + strings.Repeat("*", len("Canary-4711@x,postgres://b:Canary-4711")) + "@y"},
		{"postgres://a:****@x", "postgres://a:****@x"},
	} {
		original := strings.Clone(c.arg) // as the kernel's memory, it may be written to
		args := TakeArgs([]string{original})
		require.Equal(t, []string{c.arg}, args, "what the program gets")
		require.Equal(t, c.title, original, "what others see")
		require.NotContains(t, original, secret)
	}
}
