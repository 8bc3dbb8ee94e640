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
func (a AddBias) Bind(p Param, _ Rounding) (Bound, error) {
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
	return &addBias{AddBias: a, param: p, dtype: dtype}, nil
}

type addBias struct {
	AddBias
	param Param
	dtype kernel.DType
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
	bad := kernel.AddScaled(dst, src, delta, float32(a.Scale), a.dtype)
	if bad >= 0 && !a.param.AllowNonFinite {
		return &OverflowError{Tensor: a.param.Name, DType: a.param.DType, Row: lo + int64(bad)}
	}
	return nil
}
