package transform_test

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// TestEarlierOFT holds rotations against those of versions of PEFT that the goldens
// cannot be made with; testdata/make_oft.py wrote them.
func TestEarlierOFT(t *testing.T) {
	file, err := safetensors.Open("testdata/oft.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	var cases []struct {
		Name       string  `json:"name"`
		Constraint float64 `json:"constraint"`
		Share      bool    `json:"share"`
		Terms      int     `json:"terms"`
	}
	if err := json.Unmarshal([]byte(file.Header().Metadata["cases"]), &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 10 {
		t.Fatalf("%d cases", len(cases))
	}
	for _, c := range cases {
		base := file.Tensor(c.Name + "/base")
		x := transform.InputRotation{
			Blocks: file.Tensor(c.Name + "/blocks"), Rescale: file.Tensor(c.Name + "/rescale"), Share: c.Share,
			Constraint: c.Constraint, ByOutputs: true, Series: transform.Series{Terms: c.Terms, Twice: true},
		}
		got := merge(t, x, param(base), transform.PEFT, content(t, base))
		compare(t, c.Name, base.DType, got, content(t, file.Tensor(c.Name+"/merged")))
	}
}

func TestInputRotationOfWrongSizes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	base := transform.Param{Info: safetensors.Info{Name: "w", DType: safetensors.F32, Shape: []int64{6, 16}}}
	f := func(shape ...int64) *safetensors.Tensor { return random(t, r, "bad", safetensors.F32, shape...) }
	good := f(4, 6)
	for i, x := range []transform.InputRotation{
		{Blocks: f(4)}, {Blocks: f(4, 7)}, {Blocks: f(3, 6)}, {Blocks: f(1, 6)}, {Blocks: f(4, 6), Share: true}, {Blocks: f(1, 10), Share: true},
		{Blocks: f(4, 4, 3)}, {Blocks: f(5, 4, 4)}, {Blocks: f(1, 5, 4, 4)}, {Blocks: f(4, 4, 4, 4)}, {Blocks: f(2, 16, 1, 1)},
		{Blocks: f(1, 1, 4, 4, 4)}, {Blocks: good, Rescale: f(5)}, {Blocks: f(40, 2, 8, 8)},
	} {
		_, err := x.Bind(base, transform.PEFT)
		if e := (*transform.ShapeError)(nil); !errors.As(err, &e) || e.Tensor != "w" || e.Other != "bad" {
			t.Errorf("%d: %v", i, err)
		}
	}
	for _, x := range []transform.InputRotation{{Blocks: good}, {Blocks: f(1, 6), Share: true}, {Blocks: f(3, 4, 4, 4)}, {Blocks: good, Rescale: f(6)}} {
		if _, err := x.Bind(base, transform.PEFT); err != nil {
			t.Error(err)
		}
	}
}

// TestRotationRange: no weight grows beyond the bound.
func TestRotationRange(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	base := random(t, r, "w", safetensors.F32, 6, 16)
	for _, blocks := range []*safetensors.Tensor{random(t, r, "v", safetensors.F32, 4, 6), random(t, r, "b", safetensors.F32, 3, 4, 4, 4)} {
		for _, terms := range []int{0, 1, 2, 3, 5} {
			x := transform.InputRotation{Blocks: blocks, Series: transform.Series{Terms: terms}, Rescale: random(t, r, "s", safetensors.F32, 6)}
			_, times := x.Range(func(x *safetensors.Tensor) float64 { return normOf(t, x) })
			most := func(b []byte) (m float32) {
				for _, v := range widen(t, b, safetensors.F32) {
					m = max(m, v, -v)
				}
				return m
			}
			got := most(merge(t, x, param(base), transform.PEFT, content(t, base)))
			if bound := most(content(t, base)) * float32(times); !(got <= bound) {
				t.Errorf("%d terms: %g is above the bound %g", terms, got, bound)
			}
		}
	}
	still := transform.InputRotation{Blocks: tensor(t, "v", safetensors.F32, make([]float32, 24), 4, 6)}
	if added, times := still.Range(func(*safetensors.Tensor) float64 { return 0 }); added != 0 || times != 1 {
		t.Errorf("no rotation: %g, %g", added, times)
	}
}
