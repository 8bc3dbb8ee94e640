package transform_test

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/lazymerge/transform/torchrand"
	"lorafs/safetensors"
)

// TestDrawnVeRA: the same as with the projections of the largest layer at hand, in
// the base's dtype.
func TestDrawnVeRA(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	const rank, rows, seed, most = 3, 5, 21, 9
	a, b := make([]float32, rows*most), make([]float32, most*rank)
	g := torchrand.New(seed)
	bound := func(n float64) float32 { return float32(math.Sqrt(6 / n)) }
	g.Uniform(a, -bound(most), bound(most))
	g.Uniform(b, -bound(rank), bound(rank))
	for _, d := range []safetensors.DType{safetensors.F32, safetensors.BF16, safetensors.F16} {
		for _, conv1d := range []bool{false, true} {
			w := random(t, r, "w", d, 4, 7)
			out, in := int64(4), int64(7)
			if conv1d {
				out, in = in, out
			}
			lambdaB, lambdaD := random(t, r, "lambda_b", safetensors.F32, out), random(t, r, "lambda_d", safetensors.F32, rows)
			saved := transform.VeRA{Rank: rank, A: tensor(t, "a", d, a, rows, most), B: tensor(t, "b", d, b, most, rank), LambdaB: lambdaB, LambdaD: lambdaD}
			p := param(w)
			p.Conv1D = conv1d
			other := param(random(t, r, "other", d, most, most))
			drawn, err := transform.DrawnVeRA{Rank: rank, Rows: rows, Seed: seed, LambdaB: lambdaB, LambdaD: lambdaD}.Join(transform.Peers{Params: []transform.Param{p, other}})
			if err != nil {
				t.Fatal(err)
			}
			got, want := mergedBytes(t, drawn, p, w), mergedBytes(t, saved, p, w)
			if !slices.Equal(got, want) {
				t.Errorf("%v, Conv1D %v: %x, want %x", d, conv1d, got, want)
			}
		}
	}
	wrong := transform.DrawnVeRA{Rank: rank, Rows: rows, LambdaB: random(t, r, "lambda_b", safetensors.F32, 5), LambdaD: random(t, r, "lambda_d", safetensors.F32, rows)}
	if _, err := wrong.Bind(param(random(t, r, "w", safetensors.F32, 4, 7)), transform.PEFT); err == nil {
		t.Error("5 elements for 4 outputs pass")
	}
}

// TestDrawingIsCancelled: a large projection does not keep a reader that has left.
func TestDrawingIsCancelled(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 8))
	w := random(t, r, "w", safetensors.F32, 4, 7)
	joined, err := transform.DrawnVeRA{Rank: 2, Rows: 2, LambdaB: random(t, r, "b", safetensors.F32, 4), LambdaD: random(t, r, "d", safetensors.F32, 2)}.
		Join(transform.Peers{Params: []transform.Param{param(w)}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := joined.Bind(param(w), transform.PEFT)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Pack(ctx, make([]byte, b.PackSize())); err == nil {
		t.Error("it goes on")
	}
}

// mergedBytes is all of w merged.
func mergedBytes(t *testing.T, x transform.Transform, p transform.Param, w *safetensors.Tensor) []byte {
	t.Helper()
	b, packed := bindPacked(t, x, p, transform.PEFT, bytesOf(t, w))
	dst := make([]byte, len(bytesOf(t, w)))
	if err := b.Rows(t.Context(), dst, bytesOf(t, w), packed, 0, w.Shape[0]); err != nil {
		t.Fatal(err)
	}
	return dst
}
