package transform

import "lorafs/lazymerge/kernel"

// Kind is the layer class that a low-rank edit was trained in: it decides how the
// factors lie and how often PEFT rounds.
type Kind uint8

// The layer kinds.
const (
	Linear    Kind = iota // also transformers' Conv1D: by Param.Conv1D or by shape
	Conv                  // 1 to 3 dimensions, not grouped
	Embedding             // lora_embedding_A and lora_embedding_B
	InProj                // in_proj_weight of torch's MultiheadAttention
	OutProj               // out_proj.weight of torch's MultiheadAttention
	Parameter             // no layer: PEFT's target_parameters
)

func (k Kind) String() string {
	switch k {
	case Linear:
		return "linear"
	case Conv:
		return "conv"
	case Embedding:
		return "embedding"
	case InProj:
		return "attention in_proj"
	case Parameter:
		return "parameter"
	default:
		return "attention out_proj"
	}
}

// pass is one addition of the delta; the last result is the source of the next pass.
type pass struct {
	times    float64 // of the scaled delta
	rounding kernel.Rounding
}

var (
	once  = []pass{{1, kernel.Once}}
	twice = []pass{{1, kernel.Twice}}
	// PEFT merges out_proj by hand, in the base dtype, and then calls the layer's own
	// merge (peft tuners/lora/layer.py:2056 @0.21.2). Its forward does the same, so
	// adapters were trained with the doubled delta.
	outProj     = []pass{{1, kernel.Twice}, {1, kernel.Once}}
	outProjOnce = []pass{{2, kernel.Once}}
)

// passes is what PEFT does for the layer, or what the user asked for.
func (k Kind) passes(r Rounding) []pass {
	switch {
	case k == OutProj && r == Once:
		return outProjOnce
	case k == OutProj:
		return outProj
	case r.safe(), r == PEFT && (k == Embedding || k == InProj || k == Parameter):
		return twice
	default:
		return once
	}
}
