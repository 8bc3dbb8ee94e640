package integration

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"

	"lorafs/safetensors"
)

// values is a tensor read into memory.
type values struct {
	safetensors.Info
	raw []byte
}

func readValues(t *safetensors.Tensor) (values, error) {
	n, err := t.Bytes()
	if err != nil {
		return values{}, err
	}
	raw, err := t.Slice(0, n)
	return values{t.Info, bytes.Clone(raw)}, err
}

func (v values) floats() ([]float32, error) {
	n, err := v.Elements()
	if err != nil {
		return nil, err
	}
	out := make([]float32, n)
	return out, safetensors.AsFloat32(out, v.raw, v.DType)
}

// mantissa is the number of stored mantissa bits of the 16-bit types.
var mantissa = map[safetensors.DType]int{safetensors.BF16: 7, safetensors.F16: 10}

// share is the part of a tensor's elements that may be off by a unit in the
// last place: PEFT sums in the order of its BLAS, which flips ties.
var share = map[safetensors.DType]float64{safetensors.BF16: 1e-4, safetensors.F16: 1e-3}

// spare is allowed in any tensor however small, and chance so many deviations above
// the expected number: of thousands of small tensors some have more flips than their
// share. (Of LyCORIS' own sums up to three in a tensor of 192 are not the exact
// ones rounded.) What a wrong rounding changes is a tenth of a tensor and more, and the
// tally over all tensors keeps the strict share.
const (
	spare  = 4
	chance = 5
)

// noise is what a type of adapter whose reference is itself not exact is allowed: so many
// times the usual share, and as many elements of any tensor. Zeros stand for the usual.
type noise struct {
	share float64
	spare int
}

func (n noise) or(other noise) noise {
	return noise{max(n.share, other.share), max(n.spare, other.spare)}
}

// most is how many of n elements may be off when a share of them is.
func (n noise) most(share float64, elements int) int {
	expected := share * max(n.share, 1) * float64(elements)
	return max(spare, n.spare, int(expected+chance*math.Sqrt(expected)))
}

// fp32Error is the error allowed in fp32, relative to the largest magnitude.
const fp32Error = 2e-5

// merging says how a tensor came to be: the unmerged values, nil when there are
// none, and whether the delta was rounded before it was added.
type merging struct {
	base        []float32
	twice       bool
	noise       noise
	approximate float64 // allowed as well, relative to the largest magnitude; 0 as a rule
}

// approximateShare is the part of a tensor's elements that may use what approximate
// allows.
const approximateShare = 0.05

// allowance is how far an element may be off: a unit in the last place of the
// sum. Where base and delta nearly cancel, that is less than the fp32 error of
// the delta, which is relative to the terms that it is a sum of: those of the
// largest delta, say. Where the delta was rounded too, a unit of the delta may be many of
// the small sum, and ties rounded to even make two units of the sum out of one.
func (m merging) allowance(i int, sum, unitOfSum, largest float64, bits int, d safetensors.DType) float64 {
	if i >= len(m.base) {
		return unitOfSum
	}
	base := math.Abs(float64(m.base[i]))
	allowed := max(unitOfSum, max(base, largest)*fp32Units)
	if m.twice {
		allowed = max(allowed, 2*unitOfSum, unit(max(base, math.Abs(sum-float64(m.base[i]))), bits, d))
	}
	return allowed
}

// largestDelta is the largest difference between sums and the unmerged values.
func (m merging) largestDelta(sums []float32) float64 {
	largest := 0.0
	for i := range min(len(sums), len(m.base)) {
		largest = max(largest, math.Abs(float64(sums[i])-float64(m.base[i])))
	}
	return largest
}

// fp32Units are a few fp32 roundings, relative to what is rounded.
const fp32Units = 0x1p-21

// difference says how got differs from want beyond the tolerance, and counts
// the elements that are off within it.
func difference(got, want values, m merging) (off int, problem error) {
	if got.DType != want.DType || !slices.Equal(got.Shape, want.Shape) {
		return 0, fmt.Errorf("is %s %v, want %s %v", got.DType, got.Shape, want.DType, want.Shape)
	}
	if bytes.Equal(got.raw, want.raw) {
		return 0, nil
	}
	g, err := got.floats()
	if err != nil {
		return 0, fmt.Errorf("bytes differ: %w", err)
	}
	w, err := want.floats()
	if err != nil {
		return 0, err
	}
	if want.DType == safetensors.F32 {
		return 0, fp32Difference(g, w)
	}
	return halfDifference(g, w, m, want.DType)
}

func fp32Difference(got, want []float32) error {
	largest, worst, at := 0.0, 0.0, 0
	for i := range want {
		largest = max(largest, math.Abs(float64(want[i])))
		d := math.Abs(float64(got[i]) - float64(want[i]))
		if math.IsNaN(d) || d > worst {
			worst, at = d, i
		}
	}
	if worst <= fp32Error*largest {
		return nil
	}
	return fmt.Errorf("element %d is %g, want %g; the largest magnitude is %g", at, got[at], want[at], largest)
}

func halfDifference(got, want []float32, m merging, d safetensors.DType) (off int, problem error) {
	bits, ok := mantissa[d]
	if !ok {
		return 0, fmt.Errorf("bytes differ, and there is no tolerance for %s", d)
	}
	largest := 0.0
	for _, w := range want {
		largest = max(largest, math.Abs(float64(w)))
	}
	delta := m.largestDelta(want)
	for i := range want {
		if got[i] == want[i] {
			continue
		}
		off++
		g, w := float64(got[i]), float64(want[i])
		allowed := m.allowance(i, w, unit(max(math.Abs(g), math.Abs(w)), bits, d), delta, bits, d)
		allowed = max(allowed, m.approximate*largest)
		if !(math.Abs(g-w) <= allowed) && problem == nil {
			problem = fmt.Errorf("element %d is %g, want %g: more than one unit in the last place", i, got[i], want[i])
		}
	}
	limit := m.noise.most(share[d], len(want))
	if m.approximate > 0 {
		limit = noise{}.most(approximateShare, len(want))
	}
	if problem == nil && off > limit {
		problem = fmt.Errorf("%d of %d elements are off by a unit in the last place, %d may be", off, len(want), limit)
	}
	return off, problem
}

// unit is the distance of neighbours among numbers of that magnitude.
func unit(magnitude float64, bits int, d safetensors.DType) float64 {
	_, exponent := math.Frexp(magnitude)
	if d == safetensors.F16 {
		exponent = max(exponent, -13) // below are subnormal numbers, evenly spaced
	}
	return math.Ldexp(1, exponent-1-bits)
}

func TestDifference(t *testing.T) {
	const n = 20_000 // nine elements may be off in bf16
	flips := func(count int) func([]float32) {
		return func(f []float32) {
			for i := range f[:count] {
				f[i] += 1.0 / 128
			}
		}
	}
	half := func(change func([]float32)) values {
		floats := make([]float32, n)
		for i := range floats {
			floats[i] = 1 + float32(i%64)/128
		}
		change(floats)
		raw := make([]byte, 2*n)
		if err := safetensors.FromFloat32(raw, floats, safetensors.BF16); err != nil {
			t.Fatal(err)
		}
		return values{safetensors.Info{Name: "w", DType: safetensors.BF16, Shape: []int64{n}}, raw}
	}
	want := half(func([]float32) {})
	cancelled := half(func(f []float32) { f[7] = 1.0 / 128 })
	flat := func(x float32) []float32 { return slices.Repeat([]float32{x}, n) }
	cases := []struct {
		name   string
		got    values
		want   values
		how    merging
		off    int
		wantOK bool
	}{
		{"equal", want, want, merging{}, 0, true},
		{"nine flips", half(flips(9)), want, merging{}, 9, true},
		{"ten flips", half(flips(10)), want, merging{}, 10, false},
		{"ten flips where there is noise", half(flips(10)), want, merging{noise: noise{share: 2}}, 10, true},
		{"twelve flips where ties are common", half(flips(12)), want, merging{noise: noise{spare: 12}}, 12, true},
		{"thirteen flips where ties are common", half(flips(13)), want, merging{noise: noise{spare: 12}}, 13, false},
		{"two units", half(func(f []float32) { f[0] += 2.0 / 128 }), want, merging{}, 1, false},
		{"not a number", half(func(f []float32) { f[0] = float32(math.NaN()) }), want, merging{}, 1, false},
		{"unit of the small sum", half(func(f []float32) { f[7] = 2.0 / 128 }), cancelled, merging{}, 1, false},
		{"two units by ties", half(func(f []float32) { f[0] += 2.0 / 128 }), want, merging{base: flat(0.5), twice: true}, 1, true},
		{"three units", half(func(f []float32) { f[0] += 3.0 / 128 }), want, merging{base: flat(0.5), twice: true}, 1, false},
		{"unit of the cancelled base", half(func(f []float32) { f[7] = 2.0 / 128 }), cancelled, merging{base: flat(1.5), twice: true}, 1, true},
		{"the same, delta not rounded", half(func(f []float32) { f[7] = 2.0 / 128 }), cancelled, merging{base: flat(1.5)}, 1, false},
		{"fp32 error of the largest delta", half(func(f []float32) { f[7] = 3.03e-7 }), half(func(f []float32) { f[7] = 3.1e-7 }), merging{base: flat(0)}, 1, true},
		{"fp32 error of the cancelled base", half(func(f []float32) { f[7] = 3.03e-7 }), half(func(f []float32) { f[7] = 3.1e-7 }), merging{base: flat(1.5)}, 1, true},
		{"approximate", half(func(f []float32) { f[0] += 3.0 / 128; f[7] += 3.0 / 128 }), want, merging{approximate: 0.02}, 2, true},
		{"not approximate", half(func(f []float32) { f[0] += 4.0 / 128 }), want, merging{approximate: 0.02}, 1, false},
		{"approximate in too many", half(func(f []float32) {
			f = f[:n/10]
			for i := range f {
				f[i] += 1.0 / 128
			}
		}), want, merging{approximate: 0.02}, n / 10, false},
		{"other shape", values{safetensors.Info{DType: safetensors.BF16, Shape: []int64{n / 2, 2}}, want.raw}, want, merging{}, 0, false},
		{"other dtype", values{safetensors.Info{DType: safetensors.F16, Shape: []int64{n}}, want.raw}, want, merging{}, 0, false},
	}
	for _, c := range cases {
		off, problem := difference(c.got, c.want, c.how)
		if off != c.off || (problem == nil) != c.wantOK {
			t.Errorf("%s: %d elements off, %v", c.name, off, problem)
		}
	}
}

func TestFP32Difference(t *testing.T) {
	want := []float32{1000, -3}
	if err := fp32Difference([]float32{1000, -3.0199}, want); err != nil {
		t.Error(err)
	}
	for _, got := range [][]float32{{1000, -3.0201}, {1000, float32(math.NaN())}, {float32(math.Inf(1)), -3}} {
		if fp32Difference(got, want) == nil {
			t.Errorf("%v passes for %v", got, want)
		}
	}
}
