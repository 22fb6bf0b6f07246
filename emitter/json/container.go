// SPDX-License-Identifier: Apache-2.0

package json

import (
	"strconv"

	"freshet/change"
)

// array reads an array. Anything else is an empty one.
func (r *reader) array(pl *plan, c byte) (change.Value, error) {
	if c != '[' {
		_, err := r.skip()
		return r.b.Run(change.Array, r.b.NewRow(0)), err
	}
	return r.items(pl.elem)
}

var freePlan = &plan{optional: true}

// items reads the items of an array.
func (r *reader) items(elem *plan) (change.Value, error) {
	if err := r.enter(); err != nil {
		return change.Value{}, err
	}
	mark := len(r.stack)
	for first := true; ; first = false {
		more, err := r.next(']', first)
		if err != nil {
			return change.Value{}, err
		}
		if !more {
			return r.pop(change.Array, mark), nil
		}
		v, err := r.value(elem)
		if err != nil {
			return change.Value{}, err
		}
		r.stack = append(r.stack, v)
	}
}

// pop makes a run of what is on the stack above mark.
func (r *reader) pop(k change.Kind, mark int) change.Value {
	items := r.stack[mark:]
	row := r.b.NewRow(len(items))
	copy(r.b.Values(row), items)
	r.stack = r.stack[:mark]
	return r.b.Run(k, row)
}

// object reads a map with text keys.
func (r *reader) object(pl *plan, c byte) (change.Value, error) {
	if c != '{' {
		return change.Value{}, r.wrongKind("Maps with string fields should be encoded as JSON objects, but found ", c)
	}
	return r.entries(pl.elem)
}

// entries reads the members of an object.
func (r *reader) entries(elem *plan) (change.Value, error) {
	return r.collect('}', elem, (*reader).entry)
}

// entry reads one "key":value onto the stack.
func (r *reader) entry(elem *plan) error {
	key, err := r.string()
	if err != nil {
		return err
	}
	if err = r.consume(':'); err != nil {
		return err
	}
	v, err := r.value(elem)
	if err != nil {
		return err
	}
	r.stack = append(r.stack, key, v)
	return nil
}

// pairs reads a map with other keys: an array of pairs.
func (r *reader) pairs(pl *plan, c byte) (change.Value, error) {
	return r.listed(pl, c, "Maps with non-string fields should be encoded as JSON arrays of tuples, but found ", (*reader).pair)
}

// listed reads a map from an array, whose items entry reads onto the stack.
func (r *reader) listed(pl *plan, c byte, wrong string, entry func(*reader, *plan) error) (change.Value, error) {
	if c != '[' {
		return change.Value{}, r.wrongKind(wrong, c)
	}
	return r.collect(']', pl, entry)
}

// collect reads a map to its end, whose entries entry reads onto the stack.
func (r *reader) collect(end byte, pl *plan, entry func(*reader, *plan) error) (change.Value, error) {
	if err := r.enter(); err != nil {
		return change.Value{}, err
	}
	mark := len(r.stack)
	for first := true; ; first = false {
		more, err := r.next(end, first)
		if err != nil {
			return change.Value{}, err
		}
		if !more {
			r.dropRepeated(mark)
			return r.pop(change.Map, mark), nil
		}
		if err = entry(r, pl); err != nil {
			return change.Value{}, err
		}
	}
}

// pair reads one [key,value] onto the stack.
func (r *reader) pair(pl *plan) error {
	if c := r.peek(); c != '[' {
		return r.wrongKind("Found invalid map entry instead of array tuple: ", c)
	}
	if err := r.enter(); err != nil {
		return err
	}
	n := 0
	for first := true; ; first = false {
		more, err := r.next(']', first)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		side := pl.key
		if n > 0 {
			side = pl.elem
		}
		if n > 1 {
			side = freePlan
		}
		v, err := r.value(side)
		if err != nil {
			return err
		}
		if n < 2 {
			r.stack = append(r.stack, v)
		}
		n++
	}
	if n != 2 {
		return refuse("Found invalid map entry, expected length 2 but found :" + strconv.Itoa(n))
	}
	return nil
}

// dropRepeated keeps the last of the entries above mark that have the same key, at the place of the first.
func (r *reader) dropRepeated(mark int) {
	entries := r.stack[mark:]
	const few = 16
	if len(entries) <= 2*few {
		kept := entries[:0]
		for i := 0; i < len(entries); i += 2 {
			kept = r.keep(kept, entries[i], entries[i+1])
		}
		r.stack = r.stack[:mark+len(kept)]
		return
	}
	seen := make(map[string]int, len(entries)/2)
	kept := entries[:0]
	for i := 0; i < len(entries); i += 2 {
		key := r.keyText(entries[i])
		if at, ok := seen[key]; ok {
			kept[at+1] = entries[i+1]
			continue
		}
		seen[key] = len(kept)
		kept = append(kept, entries[i], entries[i+1])
	}
	r.stack = r.stack[:mark+len(kept)]
}

func (r *reader) keep(kept []change.Value, key, v change.Value) []change.Value {
	for i := 0; i < len(kept); i += 2 {
		if r.b.EqualValues(kept[i], key) {
			kept[i+1] = v
			return kept
		}
	}
	return append(kept, key, v)
}

// keyText tells keys apart: their kind and their JSON.
func (r *reader) keyText(v change.Value) string {
	r.scratch, _ = appendFree(append(r.scratch[:0], byte(v.Kind())), r.b, v)
	return string(r.scratch)
}
