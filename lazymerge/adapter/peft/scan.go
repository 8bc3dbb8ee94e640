package peft

import (
	"bytes"
	"context"
	"regexp"
	"slices"
	"strings"

	"lorafs/lazymerge/torchfile"
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// scanChunk bounds what is made resident at a time.
const scanChunk = 1 << 20

// scan is what one pass over the weights finds.
type scan struct {
	zero     map[*safetensors.Tensor]bool // every element is zero
	warnings []transform.Warning
}

// checkEmpty refuses files without values. Where rank 0 may occur, a matrix with one
// side left passes. Errors: *EmptyError.
func checkEmpty(f Weights, rankZero bool) error {
	tensors := f.Tensors()
	var empty []string
	for _, t := range tensors {
		n, err := t.Elements()
		if err != nil {
			return err
		}
		if n == 0 && !(rankZero && len(t.Shape) > 1 && slices.Max(t.Shape) > 0) {
			empty = append(empty, t.Name)
		}
	}
	if len(tensors) == 0 || len(empty) > 0 {
		return &EmptyError{File: f.Path(), Size: f.Size(), Tensors: empty, Total: len(tensors)}
	}
	return nil
}

// factors find LoRA's matrices in names: lora_A.weight, lora_B.default.weight,
// lora_embedding_A, but no lora_B.bias.
var factors = regexp.MustCompile(`\.lora_(embedding_)?[AB](\.|$)`)

// checkFlat refuses factors that are no matrices. Errors: *FlatError.
func checkFlat(f Weights) error {
	e := &FlatError{File: f.Path(), Total: len(f.Tensors())}
	for _, t := range f.Tensors() {
		if len(t.Shape) > 1 || !factors.MatchString(t.Name) || strings.HasSuffix(t.Name, ".bias") {
			continue
		}
		if len(e.Tensors) == 0 {
			e.Shape = t.Shape
		}
		e.Tensors = append(e.Tensors, t.Name)
	}
	if len(e.Tensors) > 0 {
		return e
	}
	return nil
}

// Values is what one pass over the values of a weights file finds.
type Values struct {
	Zero     map[*safetensors.Tensor]bool // every element is zero
	Warnings []transform.Warning
}

// ScanValues looks at every value of a weights file. Errors: *EmptyError,
// *NonFiniteError.
func ScanValues(f Weights, o Options) (*Values, error) {
	if err := checkEmpty(f, false); err != nil {
		return nil, err
	}
	s, err := scanFile(f, o)
	if err != nil {
		return nil, err
	}
	return &Values{Zero: s.zero, Warnings: s.warnings}, nil
}

// EqualTensors compares two tensors bit by bit.
func EqualTensors(a, b *safetensors.Tensor) (bool, error) { return equalTensors(a, b) }

// scanFile looks at every value of the file, unless the caller asks for none.
func scanFile(f Weights, o Options) (*scan, error) {
	s := &scan{zero: make(map[*safetensors.Tensor]bool)}
	if o.HeaderOnly {
		return s, nil
	}
	if w, ok := f.(*torchfile.Weights); ok {
		if err := w.Verify(context.Background()); err != nil {
			return nil, err
		}
	}
	var bad []string
	for _, t := range f.Tensors() {
		finite, zero, err := scanTensor(t)
		if err != nil {
			return nil, err
		}
		s.zero[t] = zero
		if finite {
			continue
		}
		if !o.AllowNonFinite {
			return nil, &NonFiniteError{File: f.Path(), Tensor: t.Name}
		}
		bad = append(bad, t.Name)
	}
	if len(bad) > 0 {
		s.warnings = append(s.warnings, transform.Warnf(transform.NonFinite, bad[0], "NaN or infinite values in %s", shortList(bad)))
	}
	return s, nil
}

func scanTensor(t *safetensors.Tensor) (finite, zero bool, err error) {
	finite, zero = true, true
	for lo := int64(0); lo < t.Size(); lo += scanChunk {
		b, err := t.Slice(lo, min(lo+scanChunk, t.Size()))
		if err != nil {
			return false, false, err
		}
		finite = finite && safetensors.Finite(b, t.DType)
		zero = zero && safetensors.AllZero(b, t.DType)
	}
	return finite, zero, nil
}

// equalTensors compares two tensors bit by bit.
func equalTensors(a, b *safetensors.Tensor) (bool, error) {
	if a.DType != b.DType || !slices.Equal(a.Shape, b.Shape) {
		return false, nil
	}
	for lo := int64(0); lo < a.Size(); lo += scanChunk {
		x, err := a.Slice(lo, min(lo+scanChunk, a.Size()))
		if err != nil {
			return false, err
		}
		y, err := b.Slice(lo, min(lo+scanChunk, b.Size()))
		if err != nil || !bytes.Equal(x, y) {
			return false, err
		}
	}
	return true, nil
}
