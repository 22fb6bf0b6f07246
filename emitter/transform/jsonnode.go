// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// nodeKind says what a JSON value is. Numbers are told apart as Jackson does.
type nodeKind uint8

const (
	nullNode nodeKind = iota
	boolNode
	intNode    // fits in 32 bits
	longNode   // fits in 64 bits
	bigNode    // a whole number beyond
	doubleNode // has a fraction or an exponent
	textNode
	arrayNode
	objectNode
)

// typeName is Jackson's name of the kind.
func (k nodeKind) typeName() string {
	switch k {
	case nullNode:
		return "NULL"
	case boolNode:
		return "BOOLEAN"
	case textNode:
		return "STRING"
	case arrayNode:
		return "ARRAY"
	case objectNode:
		return "OBJECT"
	}
	return "NUMBER"
}

// node is a JSON value.
type node struct {
	kind  nodeKind
	whole int64 // of a whole number; 1 is true
	real  float64
	text  string   // of a text, and a number as written
	names []string // of an object's members; each once, at the place of the first
	items []node   // elements, or values of members
}

// asText is what Jackson's asText gives.
func (n *node) asText() string {
	switch n.kind {
	case boolNode:
		return strconv.FormatBool(n.whole != 0)
	case nullNode:
		return "null"
	}
	return n.text
}

// maxNodeDepth is Jackson's.
const maxNodeDepth = 1000

// parseNode reads the first JSON value of a text; what is behind it does not count.
func parseNode(text string) (*node, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var n node
	if err := n.read(d, 0); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("parse JSON: %w", err)
	}
	return &n, nil
}

func (n *node) read(d *json.Decoder, depth int) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	return n.take(d, token, depth)
}

func (n *node) take(d *json.Decoder, token json.Token, depth int) error {
	switch x := token.(type) {
	case bool:
		n.kind = boolNode
		if x {
			n.whole = 1
		}
	case string:
		n.kind, n.text = textNode, x
	case json.Number:
		n.number(string(x))
	case json.Delim:
		if depth == maxNodeDepth {
			return fmt.Errorf("nested deeper than %d", maxNodeDepth)
		}
		if x == '[' {
			return n.array(d, depth)
		}
		return n.object(d, depth)
	}
	return nil
}

func (n *node) number(s string) {
	n.text = s
	if strings.ContainsAny(s, ".eE") {
		n.kind = doubleNode
		n.real, _ = strconv.ParseFloat(s, 64) // out of range is infinite, as in Java
		return
	}
	var err error
	n.whole, err = strconv.ParseInt(s, 10, 64)
	switch {
	case err != nil:
		n.kind = bigNode
	case n.whole < math.MinInt32 || n.whole > math.MaxInt32:
		n.kind = longNode
	default:
		n.kind = intNode
	}
}

func (n *node) array(d *json.Decoder, depth int) error {
	n.kind = arrayNode
	for d.More() {
		var e node
		if err := e.read(d, depth+1); err != nil {
			return err
		}
		n.items = append(n.items, e)
	}
	_, err := d.Token()
	return err
}

func (n *node) object(d *json.Decoder, depth int) error {
	n.kind = objectNode
	var index map[string]int // only where there are many
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string) // the decoder lets nothing else through
		var e node
		if err := e.read(d, depth+1); err != nil {
			return err
		}
		if index == nil && len(n.names) == 16 {
			index = map[string]int{}
			for i, known := range n.names {
				index[known] = i
			}
		}
		if i := n.find(name, index); i >= 0 {
			n.items[i] = e // the last one counts
			continue
		}
		if index != nil {
			index[name] = len(n.names)
		}
		n.names, n.items = append(n.names, name), append(n.items, e)
	}
	_, err := d.Token()
	return err
}

func (n *node) find(name string, index map[string]int) int {
	if index != nil {
		if i, ok := index[name]; ok {
			return i
		}
		return -1
	}
	for i, known := range n.names {
		if known == name {
			return i
		}
	}
	return -1
}
