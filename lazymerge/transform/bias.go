package transform

import (
	"context"

	"lorafs/lazymerge/kernel"
	"lorafs/safetensors"
)

// AddBias adds scale·Bias to a bias, rounded once (PEFT's lora_bias, also under
// safe_merge).
type AddBias struct {
	Bias  *safetensors.Tensor
	Scale float64
}

var _ Transform = AddBias{}

// Describe implements Transform.
func (a AddBias) Describe() Description { return Description{Type: "bias", Scaling: a.Scale} }

// Tensors implements Transform.
func (a AddBias) Tensors() []*safetensors.Tensor { return []*safetensors.Tensor{a.Bias} }

// Bind implements Transform.
func (a AddBias) Bind(p Param, r Rounding) (Bound, error) {
	dtype, err := kernelType(p.Info)
	if err != nil {
		return nil, err
	}
	if err := needFloats(a.Bias); err != nil {
		return nil, err
	}
	if len(p.Shape) != 1 || product(a.Bias.Shape) != p.Shape[0] {
		return nil, shapeError(p, a.Bias, p.Shape)
	}
	return &addBias{AddBias: a, param: p, dtype: dtype, narrow: r.narrow() && dtype != kernel.F32}, nil
}

type addBias struct {
	AddBias
	param  Param
	dtype  kernel.DType
	narrow bool // Bias is rounded to the dtype, before and after it is scaled
}

func (a *addBias) PackSize() int64 { return 0 }

func (a *addBias) Pack(context.Context, []byte) error { return nil }

func (a *addBias) Rows(ctx context.Context, dst, src, _ []byte, lo, hi int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s := getScratch()
	defer s.release()
	delta, err := s.read(a.Bias, lo, hi)
	if err != nil {
		return err
	}
	scale := float32(a.Scale)
	if a.narrow {
		roundScaled(delta, 1, a.dtype)
		roundScaled(delta, scale, a.dtype)
		scale = 1
	}
	bad := kernel.AddScaled(dst, src, delta, scale, a.dtype)
	if bad >= 0 && !a.param.AllowNonFinite {
		return &OverflowError{Tensor: a.param.Name, DType: a.param.DType, Row: lo + int64(bad)}
	}
	return nil
}
