package transform_test

import (
	"errors"
	"math/rand/v2"
	"testing"

	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// TestUnfit: tensors that do not fit a weight [6, 4] are errors that name one of them.
func TestUnfit(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 9))
	f := func(name string, shape ...int64) *safetensors.Tensor {
		return random(t, r, name, safetensors.F32, shape...)
	}
	low := transform.LowRank{A: f("a", 2, 4), B: f("b", 6, 2), Scale: 1}
	rebased := func(c transform.Change, rank int64) transform.Rebased {
		return transform.Rebased{Change: c, Rank: rank, Times: 1, Then: low}
	}
	peanut := transform.Peanut{A: f("a", 2, 6), B: f("b", 6, 2), Activation: "relu", Scale: 1}
	deep := peanut
	deep.Encoders = []*safetensors.Tensor{f("e", 2, 2)}
	deep.Decoders = []*safetensors.Tensor{f("d", 3, 2)}
	for _, x := range []struct {
		t    transform.Transform
		want string // "" when it fits
	}{
		{transform.FourierFT{Spectrum: f("s", 24)}, ""},
		{transform.FourierFT{Spectrum: f("s", 25)}, "s"},
		{transform.FourierFT{Spectrum: f("s", 5, 1)}, "s"},
		{transform.WaveFT{Spectrum: f("s", 24)}, ""},
		{transform.WaveFT{Spectrum: f("s", 25)}, "s"},
		{transform.DEFT{P: f("p", 6, 2), R: f("r", 2, 4)}, ""},
		{transform.DEFT{P: f("p", 6, 2)}, ""},
		{transform.DEFT{P: f("p", 5, 2), R: f("r", 2, 4)}, "p"},
		{transform.DEFT{P: f("p", 6, 7)}, "p"},
		{transform.DEFT{P: f("p", 6)}, "p"},
		{transform.DEFT{P: f("p", 6, 2), R: f("r", 2, 5)}, "r"},
		{transform.DEFT{P: f("p", 6, 2), R: f("r", 3, 4)}, "r"},
		{peanut, ""},
		{transform.Peanut{A: f("a", 2, 5), B: f("b", 6, 2)}, "a"},
		{transform.Peanut{A: f("a", 2, 6), B: f("b", 6, 3)}, "b"},
		{deep, "d"},
		{transform.OSF{U: f("u", 6, 2), S: f("s", 2), V: f("v", 2, 4)}, ""},
		{transform.OSF{U: f("u", 6, 3), S: f("s", 2), V: f("v", 2, 4)}, "u"},
		{transform.OSF{U: f("u", 6, 2), S: f("s", 2), V: f("v", 2, 5)}, "v"},
		{transform.OSF{U: f("u", 6, 5), S: f("s", 5), V: f("v", 5, 4)}, "s"},
		{rebased(transform.Principal, 4), ""},
		{rebased(transform.Principal, 5), "a"},
		{rebased(transform.Leading, 4), ""},
		{rebased(transform.Leading, 5), "a"},
		{rebased(transform.Minor, 3), ""},
		{rebased(transform.Minor, 4), "a"},
	} {
		_, err := x.t.Bind(param(f("w", 6, 4)), transform.PEFT)
		var shape *transform.ShapeError
		switch {
		case x.want == "" && err != nil:
			t.Errorf("%+v: %v", x.t.Describe(), err)
		case x.want != "" && (!errors.As(err, &shape) || shape.Other != x.want || shape.Tensor != "w"):
			t.Errorf("%+v wants %s: %v", x.t.Describe(), x.want, err)
		}
		if _, err := x.t.Bind(param(f("w", 6, 4, 1)), transform.PEFT); err == nil {
			t.Errorf("%+v takes a convolution", x.t.Describe())
		}
	}
}

func TestRebasedLayers(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 9))
	low := transform.LowRank{A: random(t, r, "a", safetensors.F32, 2, 4), B: random(t, r, "b", safetensors.F32, 6, 2), Scale: 1}
	turned := transform.Param{Info: safetensors.Info{Name: "w", DType: safetensors.F32, Shape: []int64{4, 6}}, Conv1D: true}
	for change, ok := range map[transform.Change]bool{transform.Principal: true, transform.Leading: true, transform.Minor: false} {
		x := transform.Rebased{Change: change, Rank: 2, Times: 1, Then: low}
		var layer *transform.LayerError
		if _, err := x.Bind(turned, transform.PEFT); (err == nil) != ok || !ok && !errors.As(err, &layer) {
			t.Errorf("%v of a Conv1D: %v", change, err)
		}
		low.Layer = transform.Embedding
		x.Layer, x.Then = low.Layer, low
		if _, err := x.Bind(turned, transform.PEFT); !errors.As(err, &layer) {
			t.Errorf("%v of an embedding: %v", change, err)
		}
		low.Layer = transform.Linear
	}
}
