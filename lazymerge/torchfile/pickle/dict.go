package pickle

import (
	"iter"
	"slices"
)

// Dict is a dict in the order of insertion. The zero Dict is empty; a nil one may be
// read.
type Dict struct {
	keys, values []any
	hashed       []any       // the keys in their hashable form, while they are few
	index        map[any]int // of them, afterwards
}

// few is up to how many keys are looked for one after the other: most dicts hold the
// state of an object, and there may be millions.
const few = 8

// lookupBudget bounds the work of making the key of one Get comparable.
const lookupBudget = 1 << 20

// Len is the number of entries.
func (d *Dict) Len() int {
	if d == nil {
		return 0
	}
	return len(d.keys)
}

// Get finds the value of a key, which is equal to another as it is in Python: 1, 1.0
// and True are one key. Objects are equal only to themselves.
func (d *Dict) Get(key any) (any, bool) {
	if d.Len() == 0 {
		return nil, false
	}
	left := lookupBudget
	h := hasher{pay: func(n int) bool { left -= n; return left >= 0 }}
	hashed, ok := h.hash(key)
	if !ok {
		return nil, false
	}
	i, ok := d.find(hashed)
	if !ok {
		return nil, false
	}
	return d.values[i], true
}

func (d *Dict) find(hashed any) (int, bool) {
	if d.index == nil {
		i := slices.Index(d.hashed, hashed)
		return i, i >= 0
	}
	i, ok := d.index[hashed]
	return i, ok
}

// All goes through the entries.
func (d *Dict) All() iter.Seq2[any, any] {
	return func(yield func(any, any) bool) {
		for i := range d.Len() {
			if !yield(d.keys[i], d.values[i]) {
				return
			}
		}
	}
}

// set adds or replaces an entry whose key is hashed.
func (d *Dict) set(key, hashed, value any) {
	if i, ok := d.find(hashed); ok {
		d.values[i] = value
		return
	}
	switch {
	case len(d.keys) < few:
		d.hashed = append(d.hashed, hashed)
	case d.index == nil:
		d.index = make(map[any]int, 2*few)
		for i, h := range d.hashed {
			d.index[h] = i
		}
		d.hashed = nil
	}
	if d.index != nil {
		d.index[hashed] = len(d.keys)
	}
	d.keys, d.values = append(d.keys, key), append(d.values, value)
}

// reserve makes room for the entries of a new dict.
func (d *Dict) reserve(n int) {
	if n <= few && d.keys == nil {
		d.keys, d.values, d.hashed = make([]any, 0, n), make([]any, 0, n), make([]any, 0, n)
	}
}
