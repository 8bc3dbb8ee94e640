package pickle

import "iter"

// Dict is a dict in the order of insertion. The zero Dict is empty; a nil one may be
// read.
type Dict struct {
	keys, values []any
	index        map[any]int // of keys in their hashable form
}

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
	i, ok := d.index[hashed]
	if !ok {
		return nil, false
	}
	return d.values[i], true
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
	if i, ok := d.index[hashed]; ok {
		d.values[i] = value
		return
	}
	if d.index == nil {
		d.index = make(map[any]int, 1)
	}
	d.index[hashed] = len(d.keys)
	d.keys, d.values = append(d.keys, key), append(d.values, value)
}
