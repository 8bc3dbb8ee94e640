package lazymerge

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"lorafs/lazymerge/adapter/peft"
	"lorafs/lazymerge/resolve"
	"lorafs/lazymerge/transform"
)

// Stacks of experts. In memory they are parameters [experts, d1, d2]; on disk there may
// be a matrix for each expert and projection, or tensors that are joined, transposed or
// interleaved otherwise. An adapter of either kind, for a whole stack or for one
// expert's layer, becomes a Share for each matrix on disk that it changes.

// stackEdit is an edit of one bare parameter whose place is known.
type stackEdit struct {
	placedEdit
	level  transform.Level
	param  transform.StackParam
	stack  transform.Stack
	stored stored
}

// placeStack finds the parameter that each level of a stack is for, and places it.
func (p *planner) placeStack(e placedEdit, s transform.Stack) error {
	found, err := p.stackParams(e.Module, s)
	if err != nil {
		// The released gpt-oss: blocks of four-bit numbers in place of the parameter.
		if m, _ := p.names.Find(e.Module, s.Params[0].Name+"_blocks"); m.Name != "" {
			return &QuantizedError{Base: p.base.Ref(), Method: cmp.Or(p.c.quantization(), "blocks"), Tensor: m.Name}
		}
	}
	switch {
	case err != nil && s.Plain == nil:
		e.Param = s.Params[0].Name
		return p.missing(e, err)
	case err != nil:
		e.Transform, e.Param = s.Plain, "weight"
		return p.placeOne(e)
	case len(found) > len(s.Levels):
		outer := e.Module + strings.Repeat(".base_layer", len(s.Levels))
		return p.of(e.Adapter, &peft.MissingTensorError{File: p.file(e.Adapter), Module: outer, Want: "lora_A", Have: e.Keys})
	case len(found) < len(s.Levels):
		e.Param = s.Params[0].Name
		e.Keys = keysOf(s.Levels[:len(s.Levels)-len(found)])
		return p.missing(e, &resolve.NotFoundError{Module: e.Module, Param: e.Param})
	case !p.sortByLevel(e, s, found):
		e.Param = found[0].Name
		return p.missing(e, &resolve.AmbiguousError{Module: e.Module, Param: e.Param, Candidates: paramNames(found)})
	}
	for i, level := range s.Levels {
		x := stackEdit{placedEdit: e, level: level, param: found[i], stack: s}
		x.Param, x.Keys = found[i].Name, keysOf(s.Levels[i:i+1])
		if err := p.placeLevel(x); err != nil {
			return err
		}
	}
	return nil
}

// maxLevels bounds the orders that are tried.
const maxLevels = 6

func paramNames(params []transform.StackParam) []string {
	var names []string
	for _, x := range params {
		names = append(names, x.Name)
	}
	return names
}

func keysOf(levels []transform.Level) []string {
	var keys []string
	for _, l := range levels {
		keys = append(keys, l.A.Name, l.B.Name)
	}
	return keys
}

// stackParams lists those of the stack's parameters that the base's module has. The
// error is that of the first where it has none.
func (p *planner) stackParams(module string, s transform.Stack) ([]transform.StackParam, error) {
	var found []transform.StackParam
	var first error
	for _, param := range s.Params {
		_, _, err := p.names.Parameter(module, param.Name)
		var converted *resolve.ConvertedError
		switch {
		case err == nil || errors.As(err, &converted):
			found = append(found, param)
		case first == nil:
			first = err
		}
	}
	if len(found) == 0 {
		return nil, first
	}
	return found, nil
}

// customary is the order of registration in all architectures of the tables.
var customary = []string{"gate_proj", "up_proj", "gate_up_proj", "gate_up_proj_bias", "down_proj", "down_proj_bias"}

// sortByLevel brings the parameters in the order of the stack's levels: that of
// registration, or where nobody knows it the only one in which the factors fit. ok is
// false when there is none.
func (p *planner) sortByLevel(e placedEdit, s transform.Stack, params []transform.StackParam) (ok bool) {
	order := customary
	if bare, known := p.names.Bare(e.Module); known {
		order = bare.Params
	}
	place := func(x transform.StackParam) int { return slices.Index(order, x.Name) }
	if len(params) == 1 || !slices.ContainsFunc(params, func(x transform.StackParam) bool { return place(x) < 0 }) {
		slices.SortFunc(params, func(a, b transform.StackParam) int { return place(a) - place(b) })
		return true
	}
	if len(params) > maxLevels {
		return false
	}
	var fitting [][]transform.StackParam
	permute(params, 0, func() {
		for i, x := range params {
			if !p.fits(stackEdit{placedEdit: e, level: s.Levels[i], param: x, stack: s}) {
				return
			}
		}
		fitting = append(fitting, slices.Clone(params))
	})
	if len(fitting) != 1 {
		return false
	}
	copy(params, fitting[0])
	return true
}

// permute calls try with every order of the elements from i on.
func permute[T any](s []T, i int, try func()) {
	if i == len(s) {
		try()
		return
	}
	for j := i; j < len(s); j++ {
		s[i], s[j] = s[j], s[i]
		permute(s, i+1, try)
		s[i], s[j] = s[j], s[i]
	}
}

// fits tells whether a level's factors have the shapes that the parameter asks for.
func (p *planner) fits(x stackEdit) bool {
	m, converted, err := p.names.Parameter(x.Module, x.param.Name)
	if err != nil && !errors.As(err, &converted) {
		return false
	}
	if x.stored, err = p.stored(m, converted, 0); err != nil || p.checkLevel(x) != nil {
		return false
	}
	swapped, turned := x.orientations()
	return swapped || turned
}

func (p *planner) placeLevel(x stackEdit) error {
	m, converted, err := p.names.Parameter(x.Module, x.Param)
	if err != nil && !errors.As(err, &converted) {
		return err
	}
	if converted == nil && len(p.shape(m.Name)) != 3 {
		return p.placeMatrix(x)
	}
	if x.stored, err = p.stored(m, converted, 0); err != nil {
		return err
	}
	if err := p.checkLevel(x); err != nil {
		return err
	}
	swapped, turned := x.orientations()
	leaf := leafOf(x.Module)
	switch {
	case !swapped && !turned:
		return p.levelError(x, x.mismatch())
	case swapped && turned && x.stored.experts > 1:
		p.squares = append(p.squares, x) // the others tell
		return nil
	case x.stored.experts > 1 && !x.stored.bySize:
		p.votes[leaf] |= vote(swapped)
	}
	return p.placeShares(x, !swapped)
}

// placeMatrix places the level of a parameter of two dimensions, as a layer's weight.
func (p *planner) placeMatrix(x stackEdit) error {
	if err := p.checkRank(x, 1); err != nil {
		return err
	}
	x.Transform = transform.LowRank{A: x.level.A, B: x.level.B, Scale: x.param.Scale, Layer: transform.Parameter}
	return p.placeOne(x.placedEdit)
}

// checkLevel holds the factors' ranks against the number of experts. Errors:
// *EditError around *transform.ExpertsError or *transform.ShapeError, *peft.RankError.
func (p *planner) checkLevel(x stackEdit) error {
	a, b := x.level.A, x.level.B
	experts := max(x.stored.experts, 1)
	switch {
	case len(a.Shape) != 2 || len(b.Shape) != 2 || a.Shape[0] != b.Shape[1]:
		return p.levelError(x, &transform.ShapeError{Tensor: x.stored.name, Other: b.Name, Want: []int64{x.stored.rows, experts * x.param.Rank}, Got: b.Shape})
	case a.Shape[0]%experts != 0:
		return p.levelError(x, &transform.ExpertsError{Tensor: x.stored.name, Other: a.Name, Rows: a.Shape[0], Experts: experts})
	}
	return p.checkRank(x, experts)
}

func (p *planner) checkRank(x stackEdit, experts int64) error {
	a := x.level.A
	if len(a.Shape) == 2 && a.Shape[0] == experts*x.param.Rank {
		return nil
	}
	var got int64
	if len(a.Shape) > 0 {
		got = a.Shape[0] / experts
	}
	return p.of(x.Adapter, &peft.RankError{File: p.file(x.Adapter), Tensor: a.Name, Module: x.Module + "." + x.Param, Field: x.param.Field, Config: x.param.Rank, Got: got, Shape: a.Shape})
}

func (p *planner) levelError(x stackEdit, err error) error {
	return p.of(x.Adapter, &EditError{Adapter: p.file(x.Adapter), Base: p.base.Ref(), Tensor: x.stored.name, Keys: x.Keys, Err: err})
}

// orientations tell which ways round the factors fit: B along the rows of a matrix
// (swapped, in PEFT's words), or A (turned). PEFT knows one way for a single expert.
func (x stackEdit) orientations() (swapped, turned bool) {
	in, out := x.level.A.Shape[1], x.level.B.Shape[0]
	swapped = in == x.stored.cols && out == x.stored.rows
	turned = in == x.stored.rows && out == x.stored.cols && !(swapped && x.stored.experts <= 1)
	return swapped, turned
}

func (x stackEdit) mismatch() error {
	s, a, b := x.stored, x.level.A, x.level.B
	e := &transform.ShapeError{Tensor: s.name, Base: []int64{s.experts, s.rows, s.cols}, Other: b.Name, Want: []int64{s.rows, b.Shape[1]}, Got: b.Shape}
	if s.experts == 0 {
		e.Base = e.Base[1:]
	}
	switch in, out := a.Shape[1], b.Shape[0]; {
	case in == s.cols:
	case in == s.rows:
		e.Want = []int64{s.cols, b.Shape[1]}
	case out == s.cols:
		e.Other, e.Want, e.Got = a.Name, []int64{a.Shape[0], s.rows}, a.Shape
	default:
		e.Other, e.Want, e.Got = a.Name, []int64{a.Shape[0], s.cols}, a.Shape
	}
	return e
}

// votes are what the matrices that are not square say about those that are.
type votes uint8

const (
	voteSwapped votes = 1 << iota
	voteTurned
)

func vote(swapped bool) votes {
	if swapped {
		return voteSwapped
	}
	return voteTurned
}

// placeSquares places the stacks of square matrices, which fit both ways round: as the
// others of the file, else as the release of PEFT that wrote it. Errors:
// *OrientationError.
func (p *planner) placeSquares() error {
	for _, x := range p.squares {
		var swapped, known bool
		switch p.votes[leafOf(x.Module)] {
		case voteSwapped:
			swapped, known = true, true
		case voteTurned:
			known = true
		case 0:
			bare, found := p.names.Bare(x.Module)
			swapped, known = x.stack.Layout.Swapped(bare.Transposed, found)
			known = known && !x.stored.bySize
		}
		if !known {
			return p.of(x.Adapter, &OrientationError{Adapter: p.file(x.Adapter), Tensor: x.stored.name, Keys: x.Keys})
		}
		if err := p.placeShares(x, !swapped); err != nil {
			return err
		}
	}
	return nil
}

// placeShares gives every matrix of the parameter its share.
func (p *planner) placeShares(x stackEdit, turned bool) error {
	experts := max(x.stored.experts, 1)
	share := transform.Share{
		A: x.level.A, B: x.level.B, Scale: x.param.Scale, Layer: transform.Parameter,
		Experts: experts, Grouped: x.stack.Grouped, Turned: turned,
	}
	x.how = "stack"
	for _, m := range x.stored.matrices {
		share.Expert = m.expert
		if err := p.placeShare(x.placedEdit, m, share); err != nil {
			return err
		}
	}
	return nil
}

// placeShare places a share of a delta, whose rows are the parameter's, in a matrix.
func (p *planner) placeShare(e placedEdit, m matrix, s transform.Share) error {
	s.Run = m.run
	if m.transposed {
		s.Turned, s.Across = !s.Turned, true
	}
	e.Transform, e.plane = s, m.plane
	if err := p.claimRun(e.Adapter, m, e.Module); err != nil {
		return err
	}
	p.byName[m.tensor].add(e)
	return nil
}

// claimedRun is the rows of a matrix on disk that a module's delta goes to, or columns.
type claimedRun struct {
	module string
	run    transform.Run
}

// claimRun is claim for a part of a matrix.
func (p *planner) claimRun(adapter int, m matrix, module string) error {
	key := m.tensor
	if m.plane > 0 {
		key = fmt.Sprintf("%s, expert %d", key, m.plane-1)
	}
	for _, c := range p.runs[taking{adapter, key}] {
		if c.module != module && overlap(c.run, m.run) {
			return p.of(adapter, &CollisionError{Adapter: p.file(adapter), Tensor: key, Modules: [2]string{c.module, module}})
		}
	}
	p.runs[taking{adapter, key}] = append(p.runs[taking{adapter, key}], claimedRun{module, m.run})
	if other, taken := p.matched[taking{adapter, m.tensor}]; taken && other != module {
		return p.of(adapter, &CollisionError{Adapter: p.file(adapter), Tensor: m.tensor, Modules: [2]string{other, module}})
	}
	return nil
}

func overlap(a, b transform.Run) bool {
	if a.Stride == b.Stride && (a.At-b.At)%a.Stride != 0 {
		return false
	}
	return a.At < b.At+b.Count*b.Stride && b.At < a.At+a.Count*a.Stride
}

// placeElsewhere places an edit whose parameter is no tensor on disk in the tensors that
// hold it. ok is false when there are none.
func (p *planner) placeElsewhere(e placedEdit, err error) (ok bool, _ error) {
	var converted *resolve.ConvertedError
	if errors.As(err, &converted) {
		return p.placeConverted(e, converted)
	}
	var notFound *resolve.NotFoundError
	if !errors.As(err, &notFound) {
		return false, nil
	}
	if ok, err := p.placeExpert(e); ok || err != nil {
		return ok, err
	}
	for _, elsewhere := range []func(module, param string) (resolve.Storage, bool){p.names.Joined, p.names.Spread} {
		if s, ok := elsewhere(e.Module, e.Param); ok {
			if st, ok := p.layOutSources(s, 0); ok {
				return p.placeRows(e, st)
			}
		}
	}
	return false, nil
}

// placeExpert places the adapter of one expert's layer in the stack that the base
// stores in its place. ok is false when it has none.
func (p *planner) placeExpert(e placedEdit) (ok bool, err error) {
	low, isLow := e.Transform.(transform.LowRank)
	x, known := p.names.Expert(e.Module, e.Param)
	if !isLow || !known || len(low.A.Shape) != 2 || len(low.B.Shape) != 2 {
		return false, nil
	}
	m, converted, err := p.names.Parameter(x.Module, x.Param)
	if err != nil && !errors.As(err, &converted) {
		return false, nil
	}
	st, err := p.stored(m, converted, 0)
	if err != nil || st.experts == 0 {
		return false, nil
	}
	run, columns, err := p.expertRun(x, st, low)
	if err != nil {
		return true, p.of(e.Adapter, &EditError{Adapter: p.file(e.Adapter), Base: p.base.Ref(), Tensor: st.name, Keys: e.Keys, Err: err})
	}
	e.how = "expert"
	share := low.Share()
	share.Layer = transform.Parameter
	for _, m := range st.of(int64(x.Number)) {
		m, fits := st.window(m, run, columns)
		if !fits {
			return false, nil
		}
		if m.run.Count == 0 {
			continue
		}
		if err := p.placeShare(e, m, share); err != nil {
			return true, err
		}
	}
	return true, nil
}

// expertRun is the rows of an expert's matrix in a stack that a layer of the expert is,
// or the columns. Errors: *transform.ExpertsError, *transform.ShapeError,
// *OrientationError.
func (p *planner) expertRun(x resolve.Expert, st stored, low transform.LowRank) (run transform.Run, columns bool, err error) {
	in, out, n := low.A.Shape[1], low.B.Shape[0], int64(x.Sources)
	rows := in == st.cols && out*n == st.rows
	columns = in == st.rows && out*n == st.cols
	switch {
	case int64(x.Number) >= st.experts:
		return run, false, &transform.ExpertsError{Tensor: st.name, Other: low.A.Name, Rows: low.A.Shape[0], Expert: int64(x.Number), Experts: st.experts}
	case rows && columns:
		bare, _ := p.names.Bare(x.Module)
		if !x.ByRule && !bare.Transposed || st.bySize {
			return run, false, &OrientationError{Adapter: p.recipe.File, Tensor: st.name, Keys: []string{low.A.Name, low.B.Name}}
		}
		columns = !x.ByRule
	case !rows && !columns:
		return run, false, &transform.ShapeError{
			Tensor: st.name, Base: []int64{st.experts, st.rows, st.cols}, Other: low.B.Name, Want: []int64{st.rows / n, low.B.Shape[1]}, Got: low.B.Shape,
		}
	}
	if x.Alternating {
		return transform.Run{At: int64(x.Source), Stride: n, Count: out}, columns, nil
	}
	return transform.Run{At: int64(x.Source) * out, Stride: 1, Count: out}, columns, nil
}

// placeConverted places a layer's low-rank delta in the tensors that the loader joins,
// splits or transposes to make its weight.
func (p *planner) placeConverted(e placedEdit, converted *resolve.ConvertedError) (ok bool, err error) {
	var size int64
	if low, ok := e.Transform.(transform.LowRank); ok && len(low.B.Shape) > 0 {
		size = low.B.Shape[0]
	}
	st, err := p.stored(resolve.Match{}, converted, size)
	if err != nil {
		return false, nil
	}
	return p.placeRows(e, st)
}

// placeRows places a layer's low-rank delta in the matrices that hold its rows.
func (p *planner) placeRows(e placedEdit, st stored) (ok bool, err error) {
	low, isLow := e.Transform.(transform.LowRank)
	if !isLow || low.MiCA || low.Layer != transform.Linear || len(low.A.Shape) != 2 || len(low.B.Shape) != 2 || st.experts > 0 {
		return false, nil
	}
	if low.A.Shape[1] != st.cols || low.B.Shape[0] != st.rows {
		x := stackEdit{level: transform.Level{A: low.A, B: low.B}, stored: st}
		return true, p.of(e.Adapter, &EditError{Adapter: p.file(e.Adapter), Base: p.base.Ref(), Tensor: st.name, Keys: e.Keys, Err: x.mismatch()})
	}
	e.how = "converted"
	share := low.Share()
	for _, m := range st.matrices {
		if err := p.placeShare(e, m, share); err != nil {
			return true, err
		}
	}
	return true, nil
}

// asParameter gives the delta of a layer that is none any more in memory the rounding
// that PEFT merges it with since.
func (p *planner) asParameter(e *placedEdit, disk string) {
	low, ok := e.Transform.(transform.LowRank)
	if !ok || low.MiCA || low.Layer != transform.Linear || e.Param != "weight" {
		return
	}
	bare, _ := p.names.Bare(e.Module)
	if slices.Contains(bare.Params, "weight") || p.names.Stacked(disk) {
		low.Layer = transform.Parameter
		e.Transform = low
	}
}

func leafOf(module string) string { return module[strings.LastIndexByte(module, '.')+1:] }

func (p *planner) shape(tensor string) []int64 {
	if o := p.byName[tensor]; o != nil {
		return o.info.Shape
	}
	return nil
}

// OrientationError says that a stack's factors fit its square matrices both ways round,
// and that nothing tells which is meant.
type OrientationError struct {
	Adapter, Tensor string
	Keys            []string
}

func (e *OrientationError) Error() string {
	return fmt.Sprintf("%s: %s fit the square matrices of %s both ways round, and neither other tensors nor peft_version tell which is meant",
		e.Adapter, strings.Join(e.Keys, ", "), e.Tensor)
}
