package transform_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"lorafs/lazymerge/kernel"
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// whole is all of a matrix.
func whole(t *testing.T, m transform.Matrix) (rows, cols int64, values []float32) {
	t.Helper()
	rows, cols = m.Size()
	values = make([]float32, rows*cols)
	if err := m.Area(values, transform.Block{Rows: rows, Cols: cols}); err != nil {
		t.Fatal(err)
	}
	return rows, cols, values
}

// checkMatrix holds a matrix against its values: at once, and by areas at random,
// which must be the same bits.
func checkMatrix(t *testing.T, m transform.Matrix, want func(i, j int64) float64) {
	t.Helper()
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	rows, cols, all := whole(t, m)
	norm := 0.0
	for i, x := range all {
		w := want(int64(i)/cols, int64(i)%cols)
		if math.Abs(float64(x)-w) > 1e-5*max(1, math.Abs(w)) {
			t.Fatalf("element (%d, %d) is %g, want %g", int64(i)/cols, int64(i)%cols, x, w)
		}
		norm += float64(x) * float64(x)
	}
	bound := m.Norm(func(x *safetensors.Tensor) float64 { return normOf(t, x) })
	if math.Sqrt(norm) > bound*1.0001 {
		t.Errorf("norm %g is above its bound %g", math.Sqrt(norm), bound)
	}
	if zero := m.Norm(func(*safetensors.Tensor) float64 { return 0 }); zero != 0 {
		t.Errorf("the bound of nothing is %g", zero)
	}
	r := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		b := transform.Block{Row: r.Int64N(rows), Col: r.Int64N(cols)}
		b.Rows, b.Cols = 1+r.Int64N(rows-b.Row), 1+r.Int64N(cols-b.Col)
		got := make([]float32, b.Rows*b.Cols)
		if err := m.Area(got, b); err != nil {
			t.Fatal(err)
		}
		for i := range b.Rows {
			for j := range b.Cols {
				if x, w := got[i*b.Cols+j], all[(b.Row+i)*cols+b.Col+j]; x != w {
					t.Fatalf("%+v: element (%d, %d) is %g, of the whole it is %g", b, i, j, x, w)
				}
			}
		}
	}
}

func floatsOf(t *testing.T, x *safetensors.Tensor) []float32 {
	t.Helper()
	n, err := x.Elements()
	if err != nil {
		t.Fatal(err)
	}
	v := make([]float32, n)
	if err := transform.ReadFloats(v, x, 0); err != nil {
		t.Fatal(err)
	}
	return v
}

func normOf(t *testing.T, x *safetensors.Tensor) float64 {
	sum := 0.0
	for _, v := range floatsOf(t, x) {
		sum += float64(v) * float64(v)
	}
	return math.Sqrt(sum)
}

func TestMatrices(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	left := random(t, r, "left", safetensors.F32, 7, 3)
	right := random(t, r, "right", safetensors.BF16, 3, 5, 2)
	by := random(t, r, "by", safetensors.F32, 7)
	core := random(t, r, "core", safetensors.F32, 4, 3, 2, 2)
	b := random(t, r, "b", safetensors.F16, 3, 5)
	l, rt, y, k, c := floatsOf(t, left), floatsOf(t, right), floatsOf(t, by), floatsOf(t, core), floatsOf(t, b)
	product := func(i, j int64) float64 {
		sum := 0.0
		for x := range int64(3) {
			sum += float64(l[i*3+x]) * float64(rt[x*10+j])
		}
		return sum
	}
	tile := random(t, r, "tile", safetensors.F32, 3, 4)
	tv := floatsOf(t, tile)
	for name, x := range map[string]struct {
		m    transform.Matrix
		want func(i, j int64) float64
	}{
		"stored":  {transform.Stored{Tensor: right}, func(i, j int64) float64 { return float64(rt[i*10+j]) }},
		"turned":  {transform.Turned{Of: transform.Stored{Tensor: right}}, func(i, j int64) float64 { return float64(rt[j*10+i]) }},
		"vector":  {transform.Vector{Tensor: by}, func(i, _ int64) float64 { return float64(y[i]) }},
		"product": {transform.Product{Left: transform.Stored{Tensor: left}, Right: transform.Stored{Tensor: right}}, product},
		"hadamard": {transform.Hadamard{
			X: transform.Product{Left: transform.Stored{Tensor: left}, Right: transform.Stored{Tensor: right}},
			Y: transform.Product{Left: transform.Stored{Tensor: left}, Right: transform.Stored{Tensor: right}},
		}, func(i, j int64) float64 { return product(i, j) * product(i, j) }},
		"scaled": {transform.ScaledRows{By: transform.Vector{Tensor: by}, Of: transform.Stored{Tensor: left}},
			func(i, j int64) float64 { return float64(y[i] * l[i*3+j]) }},
		"part": {transform.Part{Of: transform.Stored{Tensor: right}, Rows: 2, Cols: 7}, func(i, j int64) float64 { return float64(rt[i*10+j]) }},
		"rounded": {transform.Rounded{Of: transform.Stored{Tensor: left}, DType: kernel.BF16},
			func(i, j int64) float64 { return rounded(t, float64(l[i*3+j]), safetensors.BF16) }},
		"core": {transform.Core{T: core, B: b}, func(i, j int64) float64 {
			sum := 0.0
			for x := range int64(3) {
				sum += float64(k[(i*3+x)*4+j%4]) * float64(c[x*5+j/4])
			}
			return sum
		}},
		"tiles": {transform.Tiles{Block: tile, Out: 8, In: 11}, func(i, j int64) float64 { return float64(tv[j%3*4+i%4]) }},
	} {
		t.Run(name, func(t *testing.T) { checkMatrix(t, x.m, x.want) })
	}
}

func TestMatricesOfWrongSizes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	f := func(name string, shape ...int64) *safetensors.Tensor {
		return random(t, r, name, safetensors.F32, shape...)
	}
	stored := func(name string, shape ...int64) transform.Matrix { return transform.Stored{Tensor: f(name, shape...)} }
	integer := raw(t, "bad", safetensors.I32, make([]byte, 24), 2, 3)
	for i, m := range []transform.Matrix{
		stored("bad", 3),
		transform.Product{Left: stored("l", 4, 3), Right: stored("bad", 2, 5)},
		transform.Product{Left: stored("bad", 4), Right: stored("r", 1, 5)},
		transform.Hadamard{X: stored("x", 4, 3), Y: stored("bad", 3, 4)},
		transform.ScaledRows{By: transform.Vector{Tensor: f("bad", 3)}, Of: stored("x", 4, 3)},
		transform.Part{Of: stored("bad", 4, 3), Rows: 5, Cols: 3},
		transform.Core{T: f("core", 4, 3, 2), B: f("bad", 2, 5)},
		transform.Tiles{Block: f("bad", 3, 5), Out: 8, In: 9},
		transform.Turned{Of: stored("bad", 3)},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			_, err := transform.Addition{Delta: m}.Bind(param(f("w", 8, 9)), transform.PEFT)
			var e *transform.ShapeError
			if !errors.As(err, &e) || e.Other != "bad" || e.Tensor != "w" {
				t.Errorf("%v", err)
			}
		})
	}
	_, err := transform.Addition{Delta: transform.Stored{Tensor: integer}}.Bind(param(f("w", 2, 3)), transform.PEFT)
	if e := (*transform.DTypeError)(nil); !errors.As(err, &e) {
		t.Errorf("integers: %v", err)
	}
}

// TestClasses: an addition and a low-rank product round as their class says, in both
// orientations, and give the same.
func TestClasses(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 9))
	for _, d := range []safetensors.DType{safetensors.BF16, safetensors.F16, safetensors.F32} {
		a, b := random(t, r, "a", safetensors.F32, 3, 6), random(t, r, "b", safetensors.F32, 5, 3)
		for class, twice := range map[transform.Class][3]bool{ // by PEFT, Once, Twice
			transform.Single: {}, transform.Double: {true, false, true}, transform.SingleDouble: {false, false, true},
			transform.DoubleSingle: {true, false, false},
		} {
			for i, rounding := range []transform.Rounding{transform.PEFT, transform.Once, transform.Twice} {
				for _, turned := range []bool{false, true} {
					w := random(t, r, "w", d, 5, 6)
					if turned {
						w = random(t, r, "w", d, 6, 5)
					}
					sum := transform.Addition{Delta: transform.Product{Left: transform.Stored{Tensor: b}, Right: transform.Stored{Tensor: a}}, Scale: 1.7, Class: class}
					low := transform.Factors{A: transform.Stored{Tensor: a}, B: transform.Stored{Tensor: b}, Scale: 1.7, Class: class}
					want := wantSum(t, w, a, b, turned, twice[i])
					for name, x := range map[string]transform.Transform{"addition": sum, "factors": low} {
						if got := mergedFloats(t, x, w, rounding); !nearly(got, want, d) {
							t.Errorf("%s %v %v %v turned %v:\n%v\n%v", name, d, class, rounding, turned, got, want)
						}
					}
				}
			}
		}
	}
}

func wantSum(t *testing.T, w, a, b *safetensors.Tensor, turned, twice bool) []float32 {
	t.Helper()
	x, av, bv := floatsOf(t, w), floatsOf(t, a), floatsOf(t, b)
	for i := range x {
		o, j := i/6, i%6
		if turned {
			o, j = i%5, i/5
		}
		sum := float32(0)
		for k := range 3 {
			sum += bv[o*3+k] * av[k*6+j]
		}
		delta := float64(sum * 1.7)
		if twice {
			delta = rounded(t, delta, w.DType)
		}
		x[i] = float32(rounded(t, float64(x[i]+float32(delta)), w.DType))
	}
	return x
}

func mergedFloats(t *testing.T, x transform.Transform, w *safetensors.Tensor, r transform.Rounding) []float32 {
	t.Helper()
	b, packed := bindPacked(t, x, param(w), r, bytesOf(t, w))
	dst := make([]byte, len(bytesOf(t, w)))
	if err := b.Rows(t.Context(), dst, bytesOf(t, w), packed, 0, w.Shape[0]); err != nil {
		t.Fatal(err)
	}
	return floatsOf(t, raw(t, "merged", w.DType, dst, w.Shape...))
}

// nearly allows fp32's last bits; in 16 bits these inputs have no ties.
func nearly(got, want []float32, d safetensors.DType) bool {
	for i := range got {
		if d != safetensors.F32 && got[i] != want[i] || math.Abs(float64(got[i]-want[i])) > 1e-6 {
			return false
		}
	}
	return true
}

// TestScalingOfGroupedConvolution: inputs are counted over all groups (peft
// tuners/ia3/layer.py @0.21.2, _get_ia3_scaling_for_weight).
func TestScalingOfGroupedConvolution(t *testing.T) {
	ones := make([]float32, 4*2*3)
	for i := range ones {
		ones[i] = 1
	}
	w := tensor(t, "w", safetensors.F32, ones, 4, 2, 3)
	by := tensor(t, "by", safetensors.F32, []float32{1, 2, 3, 4}, 1, 4, 1)
	got := mergedFloats(t, transform.Scaling{By: by, Inputs: true}, w, transform.PEFT)
	for i, x := range got {
		o, c := i/6, i%6/3
		if want := float32(1 + o/2*2 + c); x != want {
			t.Errorf("[%d, %d] is %g, want %g", o, c, x, want)
		}
	}
	bad := tensor(t, "by", safetensors.F32, []float32{1, 2, 3, 4, 5, 6}, 1, 6, 1)
	if _, err := (transform.Scaling{By: bad, Inputs: true}).Bind(param(w), transform.PEFT); err == nil {
		t.Error("6 inputs in groups of 2 for 4 outputs")
	}
}

func TestOverflowOfChangedRows(t *testing.T) {
	w := tensor(t, "w", safetensors.F16, []float32{1, 2, 3, 60000}, 2, 2)
	by := tensor(t, "by", safetensors.F32, []float32{1, 2}, 2, 1)
	for _, allowed := range []bool{false, true} {
		p := param(w)
		p.AllowNonFinite = allowed
		b, err := transform.Scaling{By: by}.Bind(p, transform.PEFT)
		if err != nil {
			t.Fatal(err)
		}
		err = b.Rows(t.Context(), make([]byte, 8), bytesOf(t, w), nil, 0, 2)
		var e *transform.OverflowError
		if errors.As(err, &e) == allowed || !allowed && (e.Row != 1 || e.Tensor != "w") {
			t.Errorf("allowed %v: %v", allowed, err)
		}
	}
	infinite := tensor(t, "w", safetensors.F16, []float32{float32(math.Inf(1)), 2, 3, 4}, 2, 2)
	mergedFloats(t, transform.Scaling{By: by}, infinite, transform.PEFT) // was infinite before
}
