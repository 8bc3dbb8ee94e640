package pickle

// Bytes that values take beside their content, as Go lays them out; the stack and
// slices grow by doubling.
const (
	slotCost   = 16 * 3
	objectCost = 128
	dictCost   = 96
	fewCost    = 72 // of an entry of a small dict
	entryCost  = 2*slotCost + 64
)

// maxMemo is the highest entry of the memo, whose instructions have 32 bits.
const maxMemo = 1<<32 - 1

// push pays for the stack where it has not been as high before.
func (d *decoder) push(v any) error {
	if len(d.stack) == d.highest {
		d.highest++
		if err := d.spend(slotCost); err != nil {
			return err
		}
	}
	d.stack = append(d.stack, v)
	return nil
}

// floor is where the current mark's items begin.
func (d *decoder) floor() int {
	if len(d.marks) == 0 {
		return 0
	}
	return d.marks[len(d.marks)-1]
}

func (d *decoder) pop() (any, error) {
	if len(d.stack) <= d.floor() {
		return nil, refuse("the stack is empty")
	}
	v := d.stack[len(d.stack)-1]
	d.stack = d.stack[:len(d.stack)-1]
	return v, nil
}

// popN takes n values, in the order in which they were pushed, which stay valid until
// the next push.
func (d *decoder) popN(n int) ([]any, error) {
	if len(d.stack)-d.floor() < n {
		return nil, refuse("the stack is empty")
	}
	v := d.stack[len(d.stack)-n:]
	d.stack = d.stack[:len(d.stack)-n]
	return v, nil
}

func (d *decoder) top() (any, error) {
	if len(d.stack) <= d.floor() {
		return nil, refuse("the stack is empty")
	}
	return d.stack[len(d.stack)-1], nil
}

func (d *decoder) mark() error {
	if len(d.marks) >= d.o.MaxDepth {
		return refuse("nested more than %d deep", d.o.MaxDepth)
	}
	d.marks = append(d.marks, len(d.stack))
	return nil
}

// popMark takes the items above the last mark, which stay valid until the next push.
func (d *decoder) popMark() ([]any, error) {
	if len(d.marks) == 0 {
		return nil, refuse("no mark on the stack")
	}
	items := d.stack[d.floor():]
	d.stack = d.stack[:d.floor()]
	d.marks = d.marks[:len(d.marks)-1]
	return items, nil
}

// tuple makes a tuple of items.
func (d *decoder) tuple(items []any) (Tuple, error) {
	if err := d.spend(int64(16*len(items) + 24)); err != nil {
		return nil, err
	}
	return append(make(Tuple, 0, len(items)), items...), nil
}

// remember puts the top of the stack into the memo.
func (d *decoder) remember(i uint64) error {
	v, err := d.top()
	if err != nil {
		return err
	}
	if err := d.spend(slotCost); err != nil {
		return err
	}
	if i > maxMemo {
		return refuse("memo entry %d", i)
	}
	_, far := d.far[int(i)]
	switch {
	case i < uint64(len(d.memo)):
		d.memo[i] = v
	case i == uint64(len(d.memo)) && !far:
		d.memo = append(d.memo, v)
	default:
		if d.far == nil {
			d.far = make(map[int]any)
		}
		d.far[int(i)] = v
		return d.spend(entryCost)
	}
	return nil
}

// recall pushes an entry of the memo.
func (d *decoder) recall(i uint64) error {
	if i < uint64(len(d.memo)) {
		return d.push(d.memo[i])
	}
	if v, ok := d.far[int(min(i, maxMemo+1))]; ok {
		return d.push(v)
	}
	return refuse("memo entry %d was never made", i)
}

// memoized is the number of entries, which is where MEMOIZE puts the next.
func (d *decoder) memoized() uint64 { return uint64(len(d.memo) + len(d.far)) }
