package transform_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// TestWaveFTInPieces: rows by themselves are those of the whole, of odd sizes as well.
func TestWaveFTInPieces(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, name := range []string{"", "db1", "db3", "coif4"} {
		f := transform.WaveFT{Spectrum: random(t, r, "s", safetensors.F32, 40), Scale: 3, Seed: 4}
		if w, ok := transform.FindWavelet(name); ok {
			f.Wavelet = &w
		}
		const rows, cols = 13, 7
		w := random(t, r, "w", safetensors.F32, rows, cols)
		b, err := f.Bind(param(w), transform.PEFT)
		if err != nil {
			t.Fatal(err)
		}
		packed := make([]byte, b.PackSize())
		if err := b.Pack(t.Context(), packed); err != nil {
			t.Fatal(err)
		}
		src := bytesOf(t, w)
		all := make([]byte, len(src))
		if err := b.Rows(t.Context(), all, src, packed, 0, rows); err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(all, src) {
			t.Errorf("%q changes nothing", name)
		}
		for lo := int64(0); lo < rows; lo += 3 {
			hi := min(lo+3, rows)
			part := make([]byte, 4*(hi-lo)*cols)
			if err := b.Rows(t.Context(), part, src[4*lo*cols:4*hi*cols], packed, lo, hi); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(part, all[4*lo*cols:4*hi*cols]) {
				t.Errorf("%q: rows %d to %d differ from those of the whole", name, lo, hi)
			}
		}
	}
}
