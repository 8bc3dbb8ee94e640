package transform_test

import (
	"math/rand/v2"
	"testing"

	"lorafs/lazymerge/kernel"
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// tensor makes one in memory; values are rounded to d.
func tensor(t testing.TB, name string, d safetensors.DType, values []float32, shape ...int64) *safetensors.Tensor {
	t.Helper()
	b := make([]byte, len(values)*d.Bits()/8)
	if err := safetensors.FromFloat32(b, values, d); err != nil {
		t.Fatal(err)
	}
	return raw(t, name, d, b, shape...)
}

func raw(t testing.TB, name string, d safetensors.DType, b []byte, shape ...int64) *safetensors.Tensor {
	t.Helper()
	x, err := safetensors.FromBytes(safetensors.Info{Name: name, DType: d, Shape: shape}, b)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// random draws a tensor of the given shape.
func random(t testing.TB, r *rand.Rand, name string, d safetensors.DType, shape ...int64) *safetensors.Tensor {
	t.Helper()
	n := int64(1)
	for _, s := range shape {
		n *= s
	}
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(r.NormFloat64() * 0.2)
	}
	return tensor(t, name, d, values, shape...)
}

func bytesOf(t testing.TB, x *safetensors.Tensor) []byte {
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

func param(x *safetensors.Tensor) transform.Param { return transform.Param{Info: x.Info} }

// rounded is x in d and back.
func rounded(t testing.TB, x float64, d safetensors.DType) float64 {
	t.Helper()
	k := map[safetensors.DType]kernel.DType{
		safetensors.BF16: kernel.BF16, safetensors.F16: kernel.F16, safetensors.F32: kernel.F32,
	}[d]
	var b [4]byte
	var v [1]float32
	kernel.Store(b[:k.Size()], []float32{float32(x)}, k)
	kernel.Load(v[:], b[:k.Size()], k)
	return float64(v[0])
}
