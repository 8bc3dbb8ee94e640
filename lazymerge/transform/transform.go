// Package transform holds the maths of merging: each Transform turns rows of one
// base parameter into merged rows. It knows no key, no JSON and no path.
package transform

import (
	"context"

	"lorafs/safetensors"
)

// Rounding says how often a merged element is rounded to the base dtype.
type Rounding uint8

const (
	// PEFT does what merge_and_unload with default arguments does for that layer
	// kind (single or double, per transform).
	PEFT Rounding = iota
	// Once adds exactly in fp32 and rounds once, whatever the layer kind.
	Once
	// Twice rounds the delta, then the sum, as merge_and_unload(safe_merge=True).
	Twice

	// The others tell where a merge comes from; none is offered to make one. They are
	// Twice with low-rank factors that were copied into parameters of the base's dtype:
	// what diffusers does, and PEFT with autocast_adapter_dtype=False. PEFT merges them in
	// fp32 on a CPU alone (peft tuners/lora/layer.py:1044 @0.21.2).

	// Narrow sums in fp32.
	Narrow
	// NarrowProduct rounds the product before it is scaled, as PEFT does off a CPU.
	NarrowProduct
	// NarrowScaled has the scale in the factors before they are copied, as diffusers
	// converts kohya's files (diffusers loaders/lora_conversion_utils.py:392 @0.42.1).
	NarrowScaled
)

// narrow tells whether factors are copied into the base's dtype.
func (r Rounding) narrow() bool { return r >= Narrow }

// safe tells whether deltas are rounded as by safe_merge.
func (r Rounding) safe() bool { return r == Twice || r.narrow() }

// String is the name of r as users give it.
func (r Rounding) String() string {
	switch r {
	case Once:
		return "once"
	case Twice:
		return "twice"
	case Narrow:
		return "narrow"
	case NarrowProduct:
		return "narrow-product"
	case NarrowScaled:
		return "narrow-scaled"
	}
	return "peft"
}

// Param describes the base parameter that a transform is bound to.
type Param struct {
	safetensors.Info      // name, dtype and shape in the base
	Conv1D           bool // the module is transformers' Conv1D: the weight is stored [in, out]
	Straight         bool // the weight is stored [out, in] whatever its shape suggests
	AllowNonFinite   bool // Rows lets finite weights become infinite or NaN
	Beside           Rows // of the parameter that a Neighbour asks for
}

// Rows are some of a tensor, by its first dimension.
type Rows struct {
	*safetensors.Tensor
	First, Count int64
}

// Transform edits one parameter. Its value is plain data (factors as
// *safetensors.Tensor, scale, flags), so that it can be listed and reported.
type Transform interface {
	// Bind fits the transform to p. Errors: *ShapeError when the shapes do not
	// fit, *DTypeError when p's dtype cannot be merged into.
	Bind(p Param, r Rounding) (Bound, error)
	// Describe says what the transform does, for reports.
	Describe() Description
	// Tensors lists the adapter tensors it reads.
	Tensors() []*safetensors.Tensor
}

// Bound is a transform fitted to a parameter. All methods may be called
// concurrently. A row is everything behind the first dimension; for a 1-D
// parameter a row is one element.
type Bound interface {
	// PackSize is the number of bytes that Pack fills: the adapter's factors made
	// ready for the kernel. 0 when there is nothing to pack.
	PackSize() int64
	// Pack fills dst (PackSize bytes, 64-byte aligned).
	Pack(ctx context.Context, dst []byte) error
	// Rows turns base rows [lo,hi) in src into merged rows in dst, both in the
	// dtype of the Param; dst and src may be the same memory. packed is what Pack
	// filled. It allocates nothing on a warm path. Unless the Param allows it, a finite
	// weight that becomes NaN or infinite is an *OverflowError.
	Rows(ctx context.Context, dst, src, packed []byte, lo, hi int64) error
}

// Preparer is a Bound that must see the whole parameter once before Rows (column
// norms). Prepare reads it through rows, in blocks, with bounded memory, and
// honours ctx; the caller sees to it that Prepare ends well once before Rows and
// is not running twice at a time. fill gives the *unmerged* rows [lo,hi) of the parameter.
type Preparer interface {
	Bound
	Prepare(ctx context.Context, packed []byte, rows func(ctx context.Context, dst []byte, lo, hi int64) error) error
}

// FromBase is a Bound whose packed bytes depend on the whole parameter (a decomposition
// of the base, a dense matrix made with it). They lie in the cache, count against its
// bound, and are made again after an eviction.
type FromBase interface {
	Bound
	// PackFrom takes the place of Pack. rows gives the *unmerged* rows [lo,hi) of the
	// parameter, as for Preparer.
	PackFrom(ctx context.Context, dst []byte, rows func(ctx context.Context, dst []byte, lo, hi int64) error) error
}

// Grouped is a Bound whose merged rows depend on their neighbours: Rows is called with
// lo a multiple of Group, and hi one as well or the last row's end.
type Grouped interface {
	Bound
	// Group is the number of rows that belong together, at least 1.
	Group() int64
}

// Ranged is a Transform that says how far it can take a weight.
type Ranged interface {
	Transform
	// Range bounds a merged weight by times·|w| + added, from the Frobenius norms of
	// the adapter's tensors. (0, 1) only when nothing changes; infinite when there is
	// no bound.
	Range(norm func(*safetensors.Tensor) float64) (added, times float64)
}

// Neighbour is a Transform that also reads another parameter of its module, as it is
// before any adapter: Param.Beside.
type Neighbour interface {
	Transform
	Beside() string // its name: "weight"; "" for none
}

// Description is the report line of a transform.
type Description struct {
	Type    string  // "lora", "dora", "replace", "rows", "bias"…
	Rank    int     // 0 when it has none
	Scaling float64 // 0 when it has none
	Note    string  // "" or what a user should know (a deviation, an upstream quirk copied)
}

// Scope says which modules see an edit when the architecture ties the parameter
// to another one (lm_head to embed_tokens).
type Scope uint8

const (
	// Own edits the named module alone; the modules tied to it keep the old values.
	Own Scope = iota
	// Shared edits the storage: every tied module sees it.
	Shared
)

// MiCA says whether the recipe's low-rank layers are of PEFT's MiCA.
func (r *Recipe) MiCA() bool {
	for _, e := range r.Edits {
		if l, ok := e.Transform.(LowRank); ok {
			return l.MiCA
		}
	}
	return false
}

// Edit is one transform and the parameter it is for, named as the adapter does.
type Edit struct {
	Module    string // module path in the adapter's model, prefixes stripped: "model.layers.0.self_attn.q_proj"
	Param     string // "weight", "bias", "in_proj_weight"…
	Transform Transform
	Scope     Scope
	// Adds allows the parameter to be absent in the base (a task head, an untied
	// output): the tensor is then new. Only a Replace may add.
	Adds bool
	// Optional allows the parameter to be absent: the edit then has nothing to do (a
	// bias that the layer does not have).
	Optional bool
	// Alt are parameters of the module to look for when Param is absent, in order
	// (torch's MultiheadAttention keeps its projection as in_proj_weight).
	Alt  []string
	Keys []string // adapter tensor names consumed, as in the file
	// Adapter is the place of the edit's adapter in a stack, 0 for one adapter.
	Adapter int

	// Part is what the adapter calls the component of a pipeline that the module
	// belongs to; Flat says that Module has underscores in place of dots. Both are
	// for recipes with ByPart.
	Part string
	Flat bool
}

// Everywhere is an edit of every module of the model that the config means, where the
// adapter's file names none.
type Everywhere struct {
	Edit  Edit // its Module is to be set
	Means func(module string) (bool, error)
}

// Trained is what an adapter was trained on, and what its file holds of that. Modules are
// named as in Edit.
type Trained struct {
	// Layers are the modules with tensors of the adapter's type, and the tensors' names.
	Layers map[string][]string
	// Whole are the whole parameters in the file, module and name joined by a dot, and
	// their tensors' names.
	Whole map[string]string
	// Leaf is what a tensor of the type is called behind its module: "lora_A.weight".
	Leaf string
	// Targets tells whether the config gives a module an adapter. Nil: it does not say.
	Targets func(module string) (bool, error)
	// Parameters tells whether the config gives a parameter of a module that is no layer
	// an adapter, a stack of experts.
	Parameters func(module, param string) bool
	// Names are ends of modules' names that the config lists. Nil: it has a pattern.
	Names []string
	// Saved tells whether the config has a module trained as a whole.
	Saved func(module string) bool
	// All biases of the model, or those of the layers, were trained, or all parameters of
	// the layers.
	AllBiases, LayerBiases, WholeLayers bool
	// Headless are modules of a task's head that the config has trained and the file has
	// not; a model has one of them.
	Headless []string
	// Tied says that modules which share a tensor have one adapter.
	Tied bool
}

// Recipe is what an adapter does to a base: all that a parser produces.
type Recipe struct {
	Type        string // "LORA"…, PEFT's peft_type
	File        string // the weights file, for messages
	Edits       []Edit // in order of application
	Everywhere  *Everywhere
	TaskType    string // "CAUSAL_LM", "SEQ_CLS"…, "" when not said
	BaseHint    string // base_model_name_or_path: a hint, never a check
	Replication [][2]int
	// TieWeights is PEFT's ensure_weight_tying: edits of tied modules are one edit.
	TieWeights bool
	// AutoClass is auto_mapping.base_model_class when present ("BertForSequenceClassification").
	AutoClass string
	// Trained says what the weights should hold, as far as the config tells; else nil.
	Trained *Trained
	// Untrained are modules that the config lists as trained whole and of which the
	// weights hold nothing: right for a base without such a module, else a loss.
	Untrained []string
	// Rank is the largest that the config of a low-rank adapter gives any module, or that
	// a file without a config holds. RSLoRA is its use_rslora. What PEFT combines of several
	// depends on them.
	Rank   int64
	RSLoRA bool
	// ByPart says that each edit names its component, and that modules may be named
	// as other programs than transformers do.
	ByPart   bool
	Warnings []Warning
	Notes    []string     // what a user should know of the values
	Close    func() error // releases the mapped weights
}
