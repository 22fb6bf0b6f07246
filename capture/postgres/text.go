// SPDX-License-Identifier: Apache-2.0

package postgres

import (
	"freshet/change"
	"freshet/schema"
)

// textForm is a type whose values are emitted as the server writes them, under a semantic name or none.
func textForm(name string) builder {
	version := 0
	if name != "" {
		version = 1
	}
	typ := schema.Type{Kind: schema.String, Name: name, Version: version}
	return func(u typeUse) form {
		return form{typ: typ, decode: decodeText, fallback: "", unavailable: placeholderText(u.o)}
	}
}

// defaultedText is textForm for a type whose column defaults are emitted; zero stands for function calls.
func defaultedText(name, zero string) builder {
	build := textForm(name)
	return func(u typeUse) form {
		f := build(u)
		f.zero, f.defaulted = zero, true
		return f
	}
}

func decodeText(b *change.Batch, text []byte) (change.Value, error) { return b.TextOf(text), nil }
