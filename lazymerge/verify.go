package lazymerge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// State is what Verify found of one tensor.
type State string

const (
	Equal      State = "equal"          // the same bytes
	Close      State = "close"          // within the tolerance between two right merges
	Rounded    State = "other-rounding" // right, but rounded another way
	NotApplied State = "not-applied"    // the base's values
	Twice      State = "applied-twice"  // the delta was added twice
	Scaled     State = "wrong-scaling"  // the delta was added with another factor
	Differs    State = "differs"        // none of these
	Missing    State = "missing"        // the merged model lacks it
	Extra      State = "extra"          // the pair does not have it
	Misshapen  State = "shape-or-dtype" // not comparable
	BaseOnly   State = "base-differs"   // a tensor that no edit touches is not the base's
)

// TensorVerdict is the finding on one tensor.
type TensorVerdict struct {
	Name     string  `json:"name"`
	State    State   `json:"state"`
	Detail   string  `json:"detail,omitempty"`
	Elements int64   `json:"elements,omitempty"`
	Differs  int64   `json:"differs,omitempty"` // elements that are not equal
	MaxDiff  float64 `json:"max_diff,omitempty"`
	Factor   float64 `json:"factor,omitempty"` // of the delta, by least squares; 1 is right
}

// Verdict is the finding on a merged model.
type Verdict struct {
	OK      bool            `json:"ok"`
	Counts  map[State]int   `json:"counts"`
	Tensors []TensorVerdict `json:"tensors"`
}

func (s State) good() bool { return s == Equal || s == Close || s == Rounded }

// Verify holds the merged model at dir against base and adapter, tensor by tensor.
// It reads both as streams and keeps no tensor in memory. progress may be nil and
// counts bytes.
func Verify(ctx context.Context, m *Model, dir string, progress func(done, total int64)) (*Verdict, error) {
	other, err := OpenBase(dir)
	if err != nil {
		return nil, err
	}
	v := &verifier{ctx: ctx, model: m, other: other, progress: progress}
	defer func() { _ = other.Close() }()
	var verdict *Verdict
	err = guard(func() error {
		verdict, err = v.run()
		return changed(err)
	})
	return verdict, err
}

type verifier struct {
	ctx         context.Context
	model       *Model
	other       *Base
	plan        *planner                       // of the component in hand
	theirs      map[string]*safetensors.Tensor // its tensors in the merged model that are not compared yet
	progress    func(done, total int64)
	done, total int64
}

func (v *verifier) run() (*Verdict, error) {
	for _, p := range v.model.plans {
		for _, o := range p.outputs {
			n, err := o.info.Bytes()
			if err != nil {
				return nil, err
			}
			v.total += n
		}
	}
	verdict := &Verdict{OK: true, Counts: map[State]int{}}
	for _, p := range v.model.plans {
		if err := v.component(p, verdict); err != nil {
			return nil, err
		}
	}
	return verdict, nil
}

// component compares one component of a pipeline, or the model.
func (v *verifier) component(p *planner, verdict *Verdict) error {
	v.plan, v.theirs = p, map[string]*safetensors.Tensor{}
	for _, c := range v.other.components {
		if len(v.other.components) > 1 && c.dir.Dir != p.c.dir.Dir {
			continue
		}
		for _, s := range c.slots {
			v.theirs[s.name] = s.from
		}
	}
	for _, o := range p.outputs {
		t, err := v.tensor(o)
		if err != nil {
			return fmt.Errorf("verify %s: %w", o.info.Name, err)
		}
		t.Name = p.c.treePath(t.Name)
		verdict.book(t)
	}
	for _, name := range slices.Sorted(maps.Keys(v.theirs)) {
		verdict.book(TensorVerdict{Name: p.c.treePath(name), State: Extra})
	}
	return nil
}

// spelling is the name under which the merged model holds a tensor: checkpoints of
// bare and of task models differ by a first component ("model.", "bert.").
func (v *verifier) spelling(name string) string {
	if _, ok := v.theirs[name]; ok {
		return name
	}
	if _, rest, ok := strings.Cut(name, "."); ok {
		if _, ok := v.theirs[rest]; ok {
			return rest
		}
	}
	for other := range v.theirs {
		if _, rest, ok := strings.Cut(other, "."); ok && rest == name {
			return other
		}
	}
	return name
}

func (v *Verdict) book(t TensorVerdict) {
	v.Tensors = append(v.Tensors, t)
	v.Counts[t.State]++
	v.OK = v.OK && t.State.good()
}

func (v *verifier) tensor(o *output) (TensorVerdict, error) {
	t := TensorVerdict{Name: o.info.Name}
	name := v.spelling(o.info.Name)
	theirs := v.theirs[name]
	delete(v.theirs, name)
	if theirs == nil {
		t.State = Missing
		if o.added && o.root != nil {
			t.Detail = "tied to " + o.root.name + ", from which it must differ"
		}
		return t, nil
	}
	if theirs.DType != o.info.DType || !slices.Equal(theirs.Shape, o.info.Shape) {
		t.State = Misshapen
		t.Detail = fmt.Sprintf("%s %v, expected %s %v", theirs.DType, theirs.Shape, o.info.DType, o.info.Shape)
		if slices.Equal(theirs.Shape, o.info.Shape) {
			t.Detail += fmt.Sprintf(": merged or saved in another dtype than the base; load the base with dtype %s to compare", o.info.DType)
		}
		return t, nil
	}
	d, err := v.compare(o, theirs, v.model.opt.Rounding)
	if err != nil {
		return t, err
	}
	t.Elements, t.Differs, t.MaxDiff = d.n, d.differs, d.max
	t.State, t.Factor = d.state(o)
	t.Detail = d.detail(t)
	if t.State == Rounded || v.mayRound(o, d, t) {
		return v.whichRounding(o, theirs, t)
	}
	return t, nil
}

// mayRound tells whether a tensor that is not right may be so under another rounding:
// some leave more than the last bit open. Adapters of a stack cancel each other; factors
// of 16 bits are off by more than their sum shows.
func (v *verifier) mayRound(o *output, d *difference, t TensorVerdict) bool {
	switch {
	case t.State.good() || !o.edited() || d.offBase == 0:
		return false
	case t.State == Differs && v.model.opt.stack != nil:
		return true
	}
	return narrow(o.info.DType) && math.Abs(t.Factor-1) < 0.75
}

func narrow(d safetensors.DType) bool { return d == safetensors.BF16 || d == safetensors.F16 }

// otherRoundings are those that a right merge may have, and what a user is told of it.
var otherRoundings = []struct {
	transform.Rounding
	detail string
}{
	{transform.PEFT, "rounded as with --rounding peft"},
	{transform.Once, "rounded as with --rounding once"},
	{transform.Twice, "rounded as with --rounding twice"},
	{transform.Narrow, "factors rounded to the base's dtype first, as by diffusers' fuse_lora"},
	{transform.NarrowProduct, "all steps rounded to the base's dtype, as by diffusers' fuse_lora on a GPU"},
	{transform.NarrowScaled, "factors rounded to the base's dtype with the scale in them, as by diffusers' fuse_lora"},
}

// whichRounding names the rounding under which a tensor is right.
func (v *verifier) whichRounding(o *output, theirs *safetensors.Tensor, t TensorVerdict) (TensorVerdict, error) {
	if t.State == Rounded {
		t.Detail = "right up to rounding; not one of lorafs' (a merge in 16 bits, or on a GPU)"
	}
	for _, r := range otherRoundings {
		if r.Rounding == v.model.opt.Rounding || r.Rounding > transform.Twice && !narrow(o.info.DType) {
			continue
		}
		d, err := v.compare(o, theirs, r.Rounding)
		if err != nil {
			return t, err
		}
		if d.close(o) {
			t.State, t.Detail = Rounded, r.detail
			return t, nil
		}
	}
	return t, nil
}

// difference sums up how theirs (M), ours (E) and the base (W) lie to each other.
type difference struct {
	n, differs, offBase int64
	beyond              int64   // elements off by more than two steps of the dtype at their scale
	max, top            float64 // largest |M-E|, largest |E|
	dd, md, mm          float64 // Σ(E-W)², Σ(M-W)(E-W), Σ(M-W)²
}

const verifyRows = 256 << 10 // bytes compared at a time

// compare streams the tensor under the rounding r.
func (v *verifier) compare(o *output, theirs *safetensors.Tensor, r transform.Rounding) (*difference, error) {
	d := &difference{}
	if !floating(o.info.DType) {
		return d, v.compareBytes(o, theirs, d)
	}
	m, err := v.model.rounded(v.plan, o, r, true)
	if err != nil {
		return nil, err
	}
	if m.rows == 0 || m.rowBytes == 0 {
		return d, nil
	}
	step := min(m.aligned(max(1, verifyRows/m.rowBytes)), m.rows)
	buf := make([]byte, step*m.rowBytes)
	var row [3][]float32
	for i := range row {
		row[i] = make([]float32, int64(len(buf))*8/int64(o.info.DType.Bits()))
	}
	for lo := int64(0); lo < m.rows; lo += step {
		hi := min(lo+step, m.rows)
		part := buf[:(hi-lo)*m.rowBytes]
		if err := m.compute(v.ctx, part, lo, hi); err != nil {
			return nil, err
		}
		if err := d.block(m, theirs, part, lo, hi, row); err != nil {
			return nil, err
		}
		if r == v.model.opt.Rounding {
			v.step(int64(len(part)))
		}
	}
	return d, nil
}

func (v *verifier) step(n int64) {
	if v.done += n; v.progress != nil {
		v.progress(v.done, v.total)
	}
}

func (v *verifier) compareBytes(o *output, theirs *safetensors.Tensor, d *difference) error {
	same, err := sameBytes(o.from, theirs)
	if err != nil {
		return err
	}
	n, err := o.info.Elements()
	if d.n = n; !same {
		d.differs, d.beyond = n, n
	}
	return err
}

func (d *difference) block(m *merged, theirs *safetensors.Tensor, ours []byte, lo, hi int64, row [3][]float32) error {
	got, err := theirs.Slice(lo*m.rowBytes, hi*m.rowBytes)
	if err != nil {
		return err
	}
	n := len(ours) * 8 / m.info.DType.Bits()
	e, g, w := row[0][:n], row[1][:n], row[2][:n]
	if err := errors.Join(safetensors.AsFloat32(e, ours, m.info.DType), safetensors.AsFloat32(g, got, m.info.DType)); err != nil {
		return err
	}
	base := e // of a tensor that replaces the base's there is nothing to compare with
	if m.root != nil || !m.added && slices.Equal(m.info.Shape, m.slot.from.Shape) {
		raw, err := m.slot.from.Slice(lo*m.srcBytes, hi*m.srcBytes)
		if err != nil {
			return err
		}
		if err := safetensors.AsFloat32(w, raw, m.slot.from.DType); err != nil {
			return err
		}
		base = w
	}
	ulp := step(m.info.DType)
	for i := range e {
		d.element(float64(g[i]), float64(e[i]), float64(base[i]), ulp)
	}
	return nil
}

// step is the relative distance of neighbours in the dtype.
func step(d safetensors.DType) float64 {
	switch d {
	case safetensors.BF16:
		return 1.0 / (1 << 7)
	case safetensors.F16:
		return 1.0 / (1 << 10)
	}
	return 1.0 / (1 << 20)
}

func (d *difference) element(got, want, base, ulp float64) {
	d.n++
	delta, off, mine := want-base, got-want, got-base
	if off != 0 || math.IsNaN(off) {
		d.differs++
	}
	if mine != 0 {
		d.offBase++
	}
	size := math.Abs(off)
	if scale := max(math.Abs(want), math.Abs(base), math.Abs(delta)); !(size <= 2*ulp*scale) && size != 0 {
		d.beyond++
	}
	d.max = max(d.max, size)
	d.top = max(d.top, math.Abs(want))
	d.dd += delta * delta
	d.md += mine * delta
	d.mm += mine * mine
}

// close is the tolerance between two right merges of the same rounding, whose sums
// may differ in order: 1e-4 of bf16 and 1e-3 of f16 elements, a few in a tensor too
// small for shares.
func (d *difference) close(o *output) bool {
	const few = 3
	switch o.info.DType {
	case safetensors.BF16:
		return d.beyond == 0 && d.differs <= max(few, d.n/10000)
	case safetensors.F16:
		return d.beyond == 0 && d.differs <= max(few, d.n/1000)
	}
	return d.max <= 2e-5*d.top
}

func (d *difference) state(o *output) (State, float64) {
	switch {
	case d.differs == 0:
		return Equal, 0
	case !o.edited():
		return BaseOnly, 0
	case d.close(o):
		return Close, 0
	case d.dd == 0:
		return Differs, 0
	case d.offBase == 0:
		return NotApplied, 0
	}
	factor := d.md / d.dd
	left := max(0, d.mm-2*factor*d.md+factor*factor*d.dd) // what the best factor leaves
	switch {
	case d.beyond == 0 && d.differs < d.n/2 && math.Abs(factor-1) < 0.05:
		return Rounded, factor
	case left > 0.25*d.mm:
		return Differs, factor
	case math.Abs(factor-2) < 0.1:
		return Twice, factor
	case math.Abs(factor) < 0.02:
		return NotApplied, factor
	case math.Abs(factor-1) > 0.02:
		return Scaled, factor
	case d.beyond == 0:
		return Rounded, factor
	}
	return Differs, factor
}

func (d *difference) detail(t TensorVerdict) string {
	switch t.State {
	case NotApplied:
		return "holds the base's values"
	case Twice, Scaled:
		return fmt.Sprintf("the delta was added with factor %.3g", t.Factor)
	case Differs, BaseOnly, Close:
		return fmt.Sprintf("%d of %d elements, at most %.3g", t.Differs, t.Elements, t.MaxDiff)
	}
	return ""
}

// rounded is the output o of the plan p as merged under another rounding, outside the files of the
// model. overflow passes infinite values on.
func (m *Model) rounded(p *planner, o *output, r transform.Rounding, overflow bool) (*merged, error) {
	again := *o
	var err error
	if again.chain, err = p.bindEdits(o, written(o.chain), r, overflow); err != nil {
		return nil, err
	}
	// A tensor number of its own keeps the cached factors apart.
	opt := m.opt
	opt.Workers, opt.AllowNonFinite = nil, overflow
	return newMerged(&again, Key{Model: m.id, Tensor: -1 - m.scratch.Add(1)}, opt), nil
}
