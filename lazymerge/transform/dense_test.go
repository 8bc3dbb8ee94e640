package transform

import (
	"context"
	"encoding/binary"
	"math"
	"testing"

	"lorafs/safetensors"
)

// TestDense: a delta that is made of the whole base, W' = W + 2·(sum of W's columns).
func TestDense(t *testing.T) {
	const rows, cols = 2*blockElements/1000 + 5, 1000
	p := Param{Info: safetensors.Info{Name: "w", DType: safetensors.F32, Shape: []int64{rows, cols}}}
	d, err := newDense(p, Double, PEFT, func(ctx context.Context, b *blocks, delta []float32, base rowReader) error {
		sums := make([]float32, b.cols)
		err := b.walk(ctx, base, func(w []float32, lo, hi int64) error {
			for i, x := range w[:(hi-lo)*b.cols] {
				sums[int64(i)%b.cols] += x
			}
			return nil
		})
		for i := range delta {
			delta[i] += 2 * sums[int64(i)%b.cols]
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	src := make([]byte, 4*rows*cols)
	for i := range rows * cols {
		binary.LittleEndian.PutUint32(src[4*i:], math.Float32bits(float32(i%cols)))
	}
	packed := make([]byte, d.PackSize())
	for i := range packed {
		packed[i] = 0xff // what a buffer held before does not count
	}
	reads := 0
	err = d.PackFrom(t.Context(), packed, func(_ context.Context, dst []byte, lo, hi int64) error {
		reads++
		copy(dst, src[4*lo*cols:4*hi*cols])
		return nil
	})
	if err != nil || reads < 2 {
		t.Fatalf("%d reads: %v", reads, err)
	}
	dst := make([]byte, 4*cols*3)
	if err := d.Rows(t.Context(), dst, src[4*cols*66:4*cols*69], packed, 66, 69); err != nil {
		t.Fatal(err)
	}
	for i := range 3 * cols {
		x := math.Float32frombits(binary.LittleEndian.Uint32(dst[4*i:]))
		if want := float32(i%cols) * (1 + 2*rows); x != want {
			t.Fatalf("element %d is %g, want %g", i, x, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := d.PackFrom(ctx, packed, nil); err != context.Canceled {
		t.Errorf("cancelled: %v", err)
	}
}
