package transform

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas64"

	"lorafs/lazymerge/kernel"
	"lorafs/safetensors"
)

// TestSingular: components add up to the weights, either way they lie and whichever
// side is smaller; singular vectors are orthonormal.
func TestSingular(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, size := range [][2]int64{{5, 9}, {9, 5}, {6, 6}} {
		for _, turned := range []bool{false, true} {
			rows, cols := size[0], size[1]
			src := make([]byte, 4*rows*cols)
			for i := range rows * cols {
				binary.LittleEndian.PutUint32(src[4*i:], math.Float32bits(float32(r.NormFloat64())))
			}
			p := Param{Info: safetensors.Info{Name: "w", DType: safetensors.F32, Shape: []int64{rows, cols}}}
			w := weights{newBlocks(p, kernel.F32), func(_ context.Context, dst []byte, lo, hi int64) error {
				copy(dst, src[4*lo*cols:4*hi*cols])
				return nil
			}, turned}
			s, err := findSingular(t.Context(), w)
			if err != nil {
				t.Fatal(err)
			}
			u, v, values, err := s.components(t.Context(), 0, s.n)
			if err != nil {
				t.Fatal(err)
			}
			scaleColumns(u, values)
			out, in := w.size()
			whole := general(out, in)
			blas64.Gemm(blas.NoTrans, blas.NoTrans, 1, u, v, 0, whole)
			for i := range out {
				for j := range in {
					at := int64(i)*cols + int64(j)
					if turned {
						at = int64(j)*cols + int64(i)
					}
					want := float64(math.Float32frombits(binary.LittleEndian.Uint32(src[4*at:])))
					if got := whole.Data[i*in+j]; math.Abs(got-want) > 1e-9 {
						t.Fatalf("%v turned %v: element (%d, %d) is %g, want %g", size, turned, i, j, got, want)
					}
				}
			}
			for i := 1; i < len(values); i++ {
				if values[i] < values[i-1] {
					t.Errorf("values %v do not rise", values)
				}
			}
			square := general(s.n, s.n)
			blas64.Gemm(blas.NoTrans, blas.Trans, 1, v, v, 0, square)
			for i, x := range square.Data {
				if want := map[bool]float64{true: 1}[i%(s.n+1) == 0]; math.Abs(x-want) > 1e-9 {
					t.Errorf("%v: V·Vᵀ has %g", size, x)
				}
			}
		}
	}
}
