package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"lorafs/safetensors"
)

// weightsDiff sums up how two bf16 weight files of one model differ.
type weightsDiff struct {
	tensors, differing  int
	elements, different int64
	beyond              int64 // elements that one rounding does not explain
}

// right is the tolerance between two right merges: PEFT's own sums are not the same
// on every machine, and a last bit tips over now and then.
func (d weightsDiff) right() bool {
	return d.beyond == 0 && d.different <= max(1, d.elements/10000)
}

func (d weightsDiff) verdict(io stdio) string {
	switch {
	case d.different == 0:
		return io.paint(green, fmt.Sprintf("all %d tensors equal, bit for bit", d.tensors))
	case d.right():
		return io.paint(green, fmt.Sprintf("equal but for the rounding of %d in %d elements", d.different, d.elements))
	}
	return io.paint(red, fmt.Sprintf("%d of %d elements differ", d.different, d.elements))
}

// compareWeights compares two merged models, as safetensors files in memory, that
// have the same base.
func compareWeights(got, want, base []byte) (weightsDiff, error) {
	var d weightsDiff
	w, err := bf16Tensors(want)
	if err != nil {
		return d, err
	}
	b, err := bf16Tensors(base)
	if err != nil {
		return d, err
	}
	g, err := bf16Tensors(got)
	if err != nil {
		return d, err
	}
	if len(g) != len(w) {
		return d, fmt.Errorf("%d tensors, expected %d", len(g), len(w))
	}
	for name, t := range g {
		other, origin := w[name], b[name]
		if !slices.Equal(t.Shape, other.Shape) || !slices.Equal(t.Shape, origin.Shape) {
			return d, fmt.Errorf("tensor %s is of another shape, or one file lacks it", name)
		}
		d.add(t.data, other.data, origin.data)
	}
	return d, nil
}

// bf16Tensor is a tensor with its bytes.
type bf16Tensor struct {
	safetensors.Info
	data []byte
}

func bf16Tensors(file []byte) (map[string]bf16Tensor, error) {
	h, err := safetensors.ReadHeader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return nil, err
	}
	out := make(map[string]bf16Tensor, len(h.Entries))
	for _, e := range h.Entries {
		if e.DType != safetensors.BF16 {
			return nil, fmt.Errorf("tensor %s is %s, expected BF16", e.Name, e.DType)
		}
		out[e.Name] = bf16Tensor{e.Info, file[h.DataStart+e.Begin : h.DataStart+e.End]}
	}
	return out, nil
}

func (d *weightsDiff) add(got, want, base []byte) {
	d.tensors++
	before := d.different
	for i := 0; i < len(got); i += 2 {
		d.elements++
		g, w, b := bf16(got[i:]), bf16(want[i:]), bf16(base[i:])
		if g == w {
			continue
		}
		d.different++
		// Where base and delta nearly cancel, a step of either is many of the sum.
		const step = 1.0 / 128
		if !(math.Abs(g-w) <= step*max(math.Abs(w), math.Abs(b))) {
			d.beyond++
		}
	}
	if d.different > before {
		d.differing++
	}
}

func bf16(b []byte) float64 {
	return float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(b)) << 16))
}
