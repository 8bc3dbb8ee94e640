package pickle

// stepContainer does the instructions that make and fill tuples, lists, dicts and sets.
func (d *decoder) stepContainer(op byte) (bool, error) {
	switch op {
	case opEmptyTuple:
		return true, d.push(Tuple{})
	case opEmptyList:
		return true, d.pushed(&List{}, d.spend(slotCost))
	case opEmptyDict:
		return true, d.pushed(&Dict{}, d.spend(dictCost))
	case opEmptySet:
		return true, d.pushed(&Set{}, d.spend(slotCost))
	case opTuple1, opTuple2, opTuple3:
		items, err := d.popN(int(op) - opTuple1 + 1)
		if err != nil {
			return true, err
		}
		t, err := d.tuple(items)
		return true, d.pushed(t, err)
	case opTuple, opList, opFrozenSet, opDict:
		return true, d.collect(op)
	case opAppend, opAppends, opAddItems, opSetItem, opSetItems:
		return true, d.fill(op)
	}
	return false, nil
}

// collect makes a container of all above the mark.
func (d *decoder) collect(op byte) error {
	items, err := d.popMark()
	if err != nil {
		return err
	}
	if op == opDict {
		dict := &Dict{}
		if err := d.setAll(dict, items); err != nil {
			return err
		}
		return d.pushed(dict, d.spend(dictCost))
	}
	t, err := d.tuple(items)
	if err != nil {
		return err
	}
	switch op {
	case opList:
		return d.push(&List{Items: t})
	case opFrozenSet:
		return d.push(&Set{Items: t})
	}
	return d.push(t)
}

// fill adds to the container below.
func (d *decoder) fill(op byte) error {
	items, err := d.additions(op)
	if err != nil {
		return err
	}
	target, err := d.top()
	if err != nil {
		return err
	}
	if op == opSetItem || op == opSetItems {
		return d.setIn(target, items)
	}
	if err := d.spend(int64(slotCost * len(items))); err != nil {
		return err
	}
	switch c := target.(type) {
	case *List:
		c.Items = append(c.Items, items...)
	case *Set:
		c.Items = append(c.Items, items...)
	case *Object:
		c.Items = append(c.Items, items...)
	default:
		return refuse("append to %s", kindOf(target))
	}
	return nil
}

// additions are what an instruction adds: one item, one pair, or all above the mark.
func (d *decoder) additions(op byte) ([]any, error) {
	switch op {
	case opAppend:
		return d.popN(1)
	case opSetItem:
		return d.popN(2)
	}
	return d.popMark()
}

func (d *decoder) setIn(target any, items []any) error {
	switch c := target.(type) {
	case *Dict:
		return d.setAll(c, items)
	case *Object:
		if c.Entries == nil {
			if err := d.spend(dictCost); err != nil {
				return err
			}
			c.Entries = &Dict{}
		}
		return d.setAll(c.Entries, items)
	}
	return refuse("set an item of %s", kindOf(target))
}

// setAll sets pairs of keys and values.
func (d *decoder) setAll(dict *Dict, pairs []any) error {
	if len(pairs)%2 != 0 {
		return refuse("a key without a value")
	}
	dict.reserve(len(pairs) / 2)
	for i := 0; i < len(pairs); i += 2 {
		if err := d.set(dict, pairs[i], pairs[i+1]); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) set(dict *Dict, key, value any) error {
	cost := int64(entryCost)
	if dict.Len() < few {
		cost = fewCost
	}
	if err := d.spend(cost); err != nil {
		return err
	}
	hashed, ok := d.hasher.hash(key)
	switch {
	case d.left < 0:
		return errBudget
	case !ok:
		return refuse("%s as a key", kindOf(key))
	}
	dict.set(key, hashed, value)
	return nil
}

// kindOf names a value's kind, for messages.
func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "None"
	case bool:
		return "a bool"
	case int64:
		return "an int"
	case float64:
		return "a float"
	case string:
		return "a string"
	case []byte:
		return "bytes"
	case Tuple:
		return "a tuple"
	case *List:
		return "a list"
	case *Dict:
		return "a dict"
	case *Set:
		return "a set"
	case Global:
		return "the name " + shorten(v.String())
	case *Object:
		return "an object of " + shorten(v.Class.String())
	}
	return "another value"
}
