package lazymerge

import (
	"slices"

	"lorafs/lazymerge/resolve"
	"lorafs/lazymerge/transform"
)

// stored is where the matrices of a parameter in memory lie on disk.
type stored struct {
	name       string // a tensor of it, for messages
	experts    int64  // its first dimension; 0: it is one matrix
	rows, cols int64  // of a matrix, as in memory
	bySize     bool   // rows and cols may change places in memory
	matrices   []matrix
}

// matrix is a matrix on disk that holds rows of one of the parameter's.
type matrix struct {
	tensor string
	plane  int64 // 1 + index along the tensor's first dimension; 0: the tensor is the matrix
	expert int64
	run    transform.Run // the parameter's rows in those of the matrix, or its columns if transposed
	// transposed: the matrix' columns are the parameter's rows.
	transposed bool
	partial    bool // it holds others' rows too
}

// stored finds the matrices of a parameter: of the tensor of m, or of those that it is
// made from. part is the rows of the parameter where the base does not tell. The error
// is from where they cannot be told.
func (p *planner) stored(m resolve.Match, from *resolve.ConvertedError, part int64) (stored, error) {
	s := resolve.Storage{Sources: [][]string{{m.Name}}, Parts: 1}
	if from != nil {
		var ok bool
		if s, ok = from.Storage(); !ok {
			return stored{}, from
		}
	}
	st, ok := p.layOutSources(s, part)
	switch {
	case ok:
		return st, nil
	case from != nil:
		return st, from
	}
	return st, &resolve.NotFoundError{Module: m.Name}
}

// layOutExperts lays out a stack of which each matrix is a tensor, or several that are
// joined by rows.
func (p *planner) layOutExperts(st *stored, s resolve.Storage) bool {
	st.experts = int64(len(s.Sources[0]))
	for _, names := range s.Sources {
		first := p.shape(names[0])
		if len(first) != 2 || int64(len(names)) != st.experts || st.rows > 0 && first[1] != st.cols {
			return false
		}
		for e, name := range names {
			if !slices.Equal(p.shape(name), first) {
				return false
			}
			st.matrices = append(st.matrices, matrix{tensor: name, expert: int64(e), run: transform.Run{Stride: 1, First: st.rows, Count: first[0]}})
		}
		st.rows, st.cols = st.rows+first[0], first[1]
	}
	return true
}

// runsOf places the rows of a matrix on disk in the parameter's, as far as they are its.
func runsOf(s resolve.Storage, rows, size int64) ([]transform.Run, bool) {
	index := int64(s.Part)
	switch {
	case s.Alternating && s.Parts == 1:
		return []transform.Run{{At: 0, Stride: 2, Count: rows / 2}, {At: 1, Stride: 2, First: rows / 2, Count: rows / 2}}, rows%2 == 0
	case s.Alternating:
		return []transform.Run{{At: index, Stride: 2, Count: rows / 2}}, rows%2 == 0
	case s.Shares != nil:
		var before, sum int64
		for i, n := range s.Shares {
			sum += n
			if i < s.Part {
				before += n
			}
		}
		unit := rows / sum
		return []transform.Run{{At: before * unit, Stride: 1, Count: s.Shares[s.Part] * unit}}, rows%sum == 0
	case s.Unequal:
		run := transform.Run{Stride: 1, Count: size}
		switch {
		case s.Part == s.Parts-1:
			run.At = rows - size
		case s.Part == 1 && s.Parts == 3: // keys, which are as many as the values behind them
			run.At = rows - 2*size
		case s.Part > 0:
			return nil, false
		}
		return []transform.Run{run}, size > 0 && run.At >= 0 && run.At+size <= rows
	}
	first, count := part{s.Part, s.Parts}.rows(rows)
	return []transform.Run{{At: first, Stride: 1, Count: count}}, true
}

// of lists the matrices of one expert.
func (s stored) of(expert int64) []matrix {
	var found []matrix
	for _, m := range s.matrices {
		if m.expert == expert {
			found = append(found, m)
		}
	}
	return found
}

// window is what the matrix holds of a window of the parameter, whose rows are named by
// run: At and Stride are the parameter's, and the delta's begin at 0. With columns, run
// counts the parameter's columns. fits is false where the two cannot be combined.
func (s stored) window(m matrix, run transform.Run, columns bool) (w matrix, fits bool) {
	whole := m.run == transform.Run{Stride: 1, Count: s.rows} && !m.partial
	w = m
	w.partial = true
	switch {
	case columns:
		w.run, w.transposed = run, !m.transposed
		return w, whole
	case run.Stride > 1:
		w.run = run
		return w, whole
	}
	lo, hi := max(m.run.First, run.At), min(m.run.First+m.run.Count, run.At+run.Count)
	w.run = transform.Run{At: m.run.At + (lo-m.run.First)*m.run.Stride, Stride: m.run.Stride, First: lo - run.At, Count: max(hi-lo, 0)}
	return w, true
}

func (p *planner) layOutSources(s resolve.Storage, part int64) (stored, bool) {
	st := stored{name: s.Sources[0][0], bySize: s.BySize}
	if s.Stacked {
		return st, p.layOutExperts(&st, s)
	}
	swap := s.Swap[0] != s.Swap[1] && !s.BySize
	for i, names := range s.Sources {
		shape := p.shape(names[0])
		dims := len(shape)
		if dims != 2 && dims != 3 || s.Join != dims-2 && len(s.Sources)*s.Parts > 1 || s.Alternating && s.Join != dims-2 {
			return st, false
		}
		if s.Swap[0] != s.Swap[1] && (min(s.Swap[0], s.Swap[1]) != dims-2 || max(s.Swap[0], s.Swap[1]) != dims-1) {
			return st, false
		}
		rows, cols, experts := shape[dims-2], shape[dims-1], int64(0)
		if dims == 3 {
			experts = shape[0]
		}
		if swap {
			rows, cols = cols, rows
		}
		if i > 0 && (cols != st.cols || experts != st.experts) {
			return st, false
		}
		st.cols, st.experts = cols, experts
		runs, ok := runsOf(s, rows, part)
		if !ok {
			return st, false
		}
		for e := range max(experts, 1) {
			for _, run := range runs {
				run.First += st.rows
				m := matrix{tensor: names[0], expert: e, run: run, transposed: swap, partial: run.Count < rows}
				if dims == 3 {
					m.plane = e + 1
				}
				st.matrices = append(st.matrices, m)
			}
		}
		for _, run := range runs {
			st.rows += run.Count
		}
	}
	return st, true
}
