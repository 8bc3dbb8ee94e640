package main

import (
	"bytes"
	"slices"
	"testing"
)

func TestCompareWeights(t *testing.T) {
	read := func(name string) []byte {
		b, err := demodata.ReadFile("demodata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	base, style := read("base/model.safetensors"), read("expected/style.safetensors")
	flip := func(from []byte, bit byte) []byte {
		b := slices.Clone(from)
		b[len(b)-2] ^= bit // the low byte of the last element
		return b
	}
	for name, tc := range map[string]struct {
		got   []byte
		right bool
	}{
		"itself":       {style, true},
		"the last bit": {flip(style, 1), true},
		"a high bit":   {flip(style, 0x40), false},
		"the base":     {base, false},
	} {
		d, err := compareWeights(tc.got, style, base)
		if err != nil || d.right() != tc.right || d.tensors != 21 {
			t.Errorf("%s: %+v, %v; want right %v", name, d, err, tc.right)
		}
	}
	renamed := bytes.Replace(style, []byte("model.norm.weight"), []byte("model.morn.weight"), 1)
	if _, err := compareWeights(renamed, style, base); err == nil {
		t.Error("a renamed tensor is no error")
	}
	if _, err := compareWeights(style[:100], style, base); err == nil {
		t.Error("a truncated file is no error")
	}
}
