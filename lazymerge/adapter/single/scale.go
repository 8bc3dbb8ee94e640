package single

import (
	"encoding/binary"
	"math"

	"lorafs/lazymerge/adapter/peft"
	"lorafs/safetensors"
)

// scale is alpha/rank of a module. sd-scripts: no alpha means a scale of 1, and an
// alpha of 0 means the rank. Where the file has diffusers' metadata, that says it.
func (p *parser) scale(l *layer, rank int64) (float64, error) {
	if rank == 0 {
		return 0, nil
	}
	if t := l.tensors[roleAlpha]; t != nil {
		p.scaled++
		alpha, err := p.scalar(t)
		if err != nil {
			return 0, err
		}
		if alpha == 0 {
			p.nought = append(p.nought, t.Name)
			return 1, nil
		}
		return alpha / float64(rank), nil
	}
	if s, ok := p.metadata.of(l.part); ok && !l.flat {
		got, err := s.scaling(l.module, rank)
		if err != nil {
			return 0, err
		}
		if got.rank != rank {
			return 0, &peft.RankError{File: p.file.Path(), Tensor: l.tensors[roleDown].Name, Module: l.module, Field: got.field, Config: got.rank, Got: rank, Shape: l.tensors[roleDown].Shape}
		}
		return got.scale, nil
	}
	p.unscaled = append(p.unscaled, l.name())
	return 1, nil
}

// scalar reads a tensor of one element.
func (p *parser) scalar(t *safetensors.Tensor) (float64, error) {
	n, err := t.Elements()
	if err != nil {
		return 0, err
	}
	if n != 1 {
		return 0, &ValueError{File: p.file.Path(), Tensor: t.Name, Reason: "one number is expected"}
	}
	raw, err := t.Slice(0, t.Size())
	if err != nil {
		return 0, err
	}
	value, ok := number(raw, t.DType)
	if !ok {
		return 0, &ValueError{File: p.file.Path(), Tensor: t.Name, Reason: "its dtype is " + t.DType.String()}
	}
	return value, nil
}

func number(raw []byte, d safetensors.DType) (float64, bool) {
	switch d {
	case safetensors.F64:
		return math.Float64frombits(binary.LittleEndian.Uint64(raw)), true
	case safetensors.I64:
		return float64(int64(binary.LittleEndian.Uint64(raw))), true
	case safetensors.I32:
		return float64(int32(binary.LittleEndian.Uint32(raw))), true
	case safetensors.I16:
		return float64(int16(binary.LittleEndian.Uint16(raw))), true
	case safetensors.I8:
		return float64(int8(raw[0])), true
	case safetensors.U8, safetensors.BOOL:
		return float64(raw[0]), true
	}
	var x [1]float32
	if err := safetensors.AsFloat32(x[:], raw, d); err != nil {
		return 0, false
	}
	return float64(x[0]), true
}
