package transform

import (
	"lorafs/lazymerge/kernel"
	"lorafs/safetensors"
)

// kernelType is the kernel's name for a base dtype that deltas can be added to.
func kernelType(p safetensors.Info) (kernel.DType, error) {
	switch p.DType {
	case safetensors.BF16:
		return kernel.BF16, nil
	case safetensors.F16:
		return kernel.F16, nil
	case safetensors.F32:
		return kernel.F32, nil
	default:
		return 0, &DTypeError{Tensor: p.Name, DType: p.DType}
	}
}

// toFloats reads elements of a dtype that widens.
func toFloats(dst []float32, src []byte, d safetensors.DType) error {
	if t, err := kernelType(safetensors.Info{DType: d}); err == nil {
		kernel.Load(dst, src, t)
		return nil
	}
	return safetensors.AsFloat32(dst, src, d)
}

// widens tells whether safetensors.AsFloat32 reads the dtype.
func widens(d safetensors.DType) bool {
	switch d {
	case safetensors.BF16, safetensors.F16, safetensors.F32, safetensors.F64:
		return true
	}
	return false
}

func needFloats(tensors ...*safetensors.Tensor) error {
	for _, t := range tensors {
		if !widens(t.DType) {
			return &DTypeError{Tensor: t.Name, DType: t.DType}
		}
	}
	return nil
}
