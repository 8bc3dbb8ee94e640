package transform_test

import (
	"encoding/json"
	"math"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// vector is a layer that the real PEFT merged; testdata/make_vectors.py wrote it.
type vector struct {
	Name   string  `json:"name"`
	Kind   string  `json:"kind"`
	Conv1D bool    `json:"conv1d"`
	Scale  float64 `json:"scale"`

	file *safetensors.File
}

func openVectors(t *testing.T) []vector {
	t.Helper()
	file, err := safetensors.Open("testdata/vectors.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	var vectors []vector
	if err := json.Unmarshal([]byte(file.Header().Metadata["cases"]), &vectors); err != nil {
		t.Fatal(err)
	}
	for i := range vectors {
		vectors[i].file = file
	}
	return vectors
}

func (v *vector) part(name string) *safetensors.Tensor { return v.file.Tensor(v.Name + "/" + name) }

var kinds = map[string]transform.Kind{
	"linear": transform.Linear, "conv": transform.Conv, "embedding": transform.Embedding,
	"in_proj": transform.InProj, "out_proj": transform.OutProj,
}

func (v *vector) transform(t *testing.T) transform.Transform {
	if v.Kind == "bias" {
		return transform.AddBias{Bias: v.part("delta"), Scale: v.Scale}
	}
	kind, ok := kinds[v.Kind]
	if !ok {
		t.Fatalf("unknown kind %q", v.Kind)
	}
	l := transform.LowRank{A: v.part("A"), B: v.part("B"), Scale: v.Scale, Layer: kind}
	if m := v.part("magnitude"); m != nil {
		return transform.DoRA{LowRank: l, Magnitude: m}
	}
	return l
}

func TestVectors(t *testing.T) {
	vectors := openVectors(t)
	if len(vectors) < 150 {
		t.Fatalf("only %d vectors", len(vectors))
	}
	for _, v := range vectors {
		t.Run(v.Name, func(t *testing.T) {
			base := v.part("base")
			p := transform.Param{Info: base.Info, Conv1D: v.Conv1D}
			for want, rounding := range map[string]transform.Rounding{
				"plain": transform.PEFT, "safe": transform.Twice,
			} {
				got := merge(t, v.transform(t), p, rounding, content(t, base))
				compare(t, want, base.DType, got, content(t, v.part(want)))
			}
		})
	}
}

func content(t *testing.T, x *safetensors.Tensor) []byte {
	t.Helper()
	n, err := x.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b, err := x.Slice(0, n)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func widen(t *testing.T, b []byte, d safetensors.DType) []float32 {
	t.Helper()
	x := make([]float32, len(b)*8/d.Bits())
	if err := safetensors.AsFloat32(x, b, d); err != nil {
		t.Fatal(err)
	}
	return x
}

// compare allows what the unspecified order of sums in PEFT's matrix product changes:
// one unit in the last place of one element in 16 bits, little in 32.
func compare(t *testing.T, what string, d safetensors.DType, got, want []byte) {
	t.Helper()
	x, y := widen(t, got, d), widen(t, want, d)
	if len(x) != len(y) {
		t.Fatalf("%s: %d elements, want %d", what, len(x), len(y))
	}
	if d == safetensors.F32 {
		most := 0.0
		for _, v := range y {
			most = max(most, math.Abs(float64(v)))
		}
		for i := range x {
			if e := math.Abs(float64(x[i]) - float64(y[i])); !(e <= 2e-6*most) {
				t.Fatalf("%s: element %d: got %g, want %g", what, i, x[i], y[i])
			}
		}
		return
	}
	different := 0
	for i := range x {
		if x[i] == y[i] {
			continue
		}
		different++
		if ulps(got[2*i:], want[2*i:]) > 1 || different > 1 {
			t.Fatalf("%s: element %d: got %g, want %g (%d differ)", what, i, x[i], y[i], different)
		}
	}
}

// ulps is the distance of two 16-bit values of one sign.
func ulps(x, y []byte) int {
	d := int(x[0]) + int(x[1])<<8 - int(y[0]) - int(y[1])<<8
	return max(d, -d)
}
