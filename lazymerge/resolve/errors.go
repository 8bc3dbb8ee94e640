package resolve

import (
	"fmt"
	"slices"
	"strings"
)

// NotFoundError says that the base holds no tensor for a parameter.
type NotFoundError struct {
	Module, Param string
	Nearest       []string // at most three disk names, best first
}

func (e *NotFoundError) Error() string {
	s := fmt.Sprintf("no tensor in the base for %s", join(e.Module, e.Param))
	if len(e.Nearest) > 0 {
		s += "; nearest: " + strings.Join(e.Nearest, ", ")
	}
	return s
}

// AmbiguousError says that several tensors of the base fit a parameter equally.
type AmbiguousError struct {
	Module, Param string
	Candidates    []string // disk names, sorted
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("%s could be any of: %s", join(e.Module, e.Param), strings.Join(e.Candidates, ", "))
}

// ConvertedError says that transformers builds the parameter at load time out of
// tensors that the base stores in another shape (fused experts, split q/k/v), so
// that no single tensor on disk is the parameter.
type ConvertedError struct {
	Module, Param string
	Operations    []string // as transformers names them: "MergeModulelist(dim=0)", "Concatenate(dim=1)"
	Sources       []string // disk names it is built from, sorted
	Part, Parts   int      // it is part Part (from 0) of Parts that the sources are split into

	made  []target
	heads []int64 // of queries, keys and values
}

func (e *ConvertedError) Error() string {
	return fmt.Sprintf("%s is built from %s by %s, which this change cannot be taken through", join(e.Module, e.Param),
		e.sources(), strings.Join(e.Operations, ", "))
}

// Rows reports whether the parameter is a run of rows of one tensor: part Part of
// Parts as torch.chunk cuts them.
func (e *ConvertedError) Rows() bool {
	return len(e.Sources) == 1 && e.Parts > 1 && slices.Equal(e.Operations, []string{"Chunk(dim=0)"})
}

func (e *ConvertedError) sources() string {
	if len(e.Sources) == 1 {
		return e.Sources[0]
	}
	return fmt.Sprintf("%d tensors (%s, …)", len(e.Sources), e.Sources[0])
}
