package diffusion

// relation says that one module of a naming is several of another, one above the
// other: its rows are theirs in order. With a single other it is a renaming. "{}"
// stands for the number of a layer, the same on both sides.
type relation struct {
	one  string
	many []string
	cut  cut // where the rows of one are divided
}

// cut says how many rows each of several modules has of one.
type cut uint8

const (
	equal  cut = iota // as many each
	square            // all but the last: as many as the module has inputs; the last: the rest
	triple            // the first: three times as many as the module has inputs; the second: the rest
	// halves of the one are the other way round in the other, where there are two:
	// a modulation by shift and scale. One of six parts is in the same order.
	swapped
)

// relate adds the names that relations give to the region's modules.
func (t *table) relate(relations []relation) {
	for _, r := range relations {
		for module := range t.modules {
			if n, ok := match(r.one, module); ok {
				t.divide(r, module, n)
			}
			if n, ok := match(r.many[0], module); ok {
				t.join(r, n)
			}
		}
	}
}

// divide names the rows of a module that the region holds as one.
func (t *table) divide(r relation, module, number string) {
	stem := t.modules[module]
	rows, cols := t.size(module)
	if r.cut == swapped && rows == 2*cols {
		t.add(fill(r.many[0], number), swap(stem, rows)...)
		return
	}
	if len(r.many) == 1 {
		t.add(fill(r.many[0], number), piece{stem: stem})
		return
	}
	counts := r.cut.counts(rows, cols, len(r.many))
	first := int64(0)
	for i, count := range counts {
		t.add(fill(r.many[i], number), piece{stem: stem, rows: Rows{First: first, Count: count, Whole: count}})
		first += count
	}
}

// counts are the rows of each part, nil when the module cannot be divided so.
func (c cut) counts(rows, cols int64, parts int) []int64 {
	counts := make([]int64, parts)
	left := rows
	for i := range counts {
		switch {
		case i == parts-1:
			counts[i] = left
		case c == square:
			counts[i] = cols
		case c == triple:
			counts[i] = 3 * cols
		default:
			counts[i] = rows / int64(parts)
		}
		left -= counts[i]
		if counts[i] <= 0 || left < 0 {
			return nil
		}
	}
	if c == equal && rows%int64(parts) != 0 {
		return nil
	}
	return counts
}

// join names the modules of the region that are one in the other naming.
func (t *table) join(r relation, number string) {
	name := fill(r.one, number)
	if len(r.many) == 1 {
		module := fill(r.many[0], number)
		rows, cols := t.size(module)
		if r.cut == swapped && rows == 2*cols {
			t.add(name, swap(t.modules[module], rows)...)
			return
		}
		t.add(name, piece{stem: t.modules[module]})
		return
	}
	var pieces []piece
	whole := int64(0)
	for _, other := range r.many {
		module := fill(other, number)
		rows, _ := t.size(module)
		if rows == 0 {
			return
		}
		pieces = append(pieces, piece{stem: t.modules[module], rows: Rows{Count: rows, From: whole}})
		whole += rows
	}
	for i := range pieces {
		pieces[i].rows.Whole = whole
	}
	t.add(name, pieces...)
}

// swap exchanges the halves of a tensor.
func swap(stem string, rows int64) []piece {
	half := rows / 2
	return []piece{
		{stem: stem, rows: Rows{First: half, Count: half, From: 0, Whole: rows}},
		{stem: stem, rows: Rows{First: 0, Count: half, From: half, Whole: rows}},
	}
}
