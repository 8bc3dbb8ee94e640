package diagnose

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"lorafs/lazymerge"
	"lorafs/lazymerge/adapter/peft"
	"lorafs/lazymerge/adapter/single"
	"lorafs/lazymerge/modeldir"
	"lorafs/lazymerge/recovery"
	"lorafs/lazymerge/resolve"
	"lorafs/lazymerge/torchfile"
	"lorafs/lazymerge/torchfile/pickle"
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// Explain turns an error into findings. An error of which nothing is known gives
// one finding with the code "error" and neither cause nor cure. A nil error gives
// none.
func Explain(err error) []Finding {
	if err == nil {
		return nil
	}
	if found := explain(err); found != nil {
		return found
	}
	return []Finding{{Code: "error", Severity: Broken, Message: err.Error()}}
}

// explain looks for the outermost error in the chain that is known; what wraps it
// only says where it happened.
func explain(err error) []Finding {
	for e := err; e != nil; {
		for _, known := range []func(error) []Finding{
			explainLazymerge, explainModeldir, explainPeft, explainTransform, explainResolve, explainCheckpoint, explainSafetensors, explainSystem,
		} {
			if found := known(e); found != nil {
				return found
			}
		}
		if joined, ok := e.(interface{ Unwrap() []error }); ok {
			return explainEach(joined.Unwrap())
		}
		e = errors.Unwrap(e)
	}
	return nil
}

// explainEach explains joined errors; when one of them is known, those that are
// not are mostly its consequences (a failing Close).
func explainEach(errs []error) []Finding {
	var found []Finding
	for _, e := range errs {
		found = append(found, explain(e)...)
	}
	return found
}

func one(f Finding) []Finding { return []Finding{f} }

func explainLazymerge(err error) []Finding {
	switch e := err.(type) {
	case *lazymerge.UnmatchedError:
		return one(explainUnmatched(e))
	case *lazymerge.LostError:
		return one(explainLost(e))
	case *lazymerge.CollisionError:
		return one(finding("tensor-collision", e.Adapter, e.Tensor, e.Error(), nil))
	case *lazymerge.EditError:
		return explainEdit(e)
	case *lazymerge.QuantizedError:
		return one(finding("base-quantized", e.Base, e.Tensor, e.Error(), nil))
	case *lazymerge.BaseError:
		return one(finding("base-inconsistent", e.Path, e.Tensor, e.Error(), nil))
	case *lazymerge.UnmergedError:
		return one(finding("base-unmerged", e.Path, e.Tensor, e.Error(), values{"path": e.Path}))
	case *lazymerge.PartError:
		return one(finding("pipeline-ambiguous", e.Base, "", e.Error(), nil))
	case *lazymerge.InputChangedError:
		return one(finding("input-changed", e.Path, "", e.Error(), nil))
	case *lazymerge.OutputError:
		return one(finding("output-in-input", e.Path, "", e.Error(), nil))
	case *lazymerge.StackConflictError:
		return one(finding("stack-conflict", "", e.Tensor, e.Error(), nil))
	case *lazymerge.StackTypeError:
		return one(finding("stack-conflict", "", "", e.Error(), nil))
	case *lazymerge.CombineError:
		return one(finding("stack-combine", "", "", e.Error(), nil))
	case *lazymerge.OrientationError:
		return one(finding("experts-orientation", e.Adapter, e.Tensor, e.Error(), nil))
	case *lazymerge.ReplicationError:
		return one(finding("layers-replicated-wrongly", e.Adapter, "", e.Error(), nil))
	}
	if err == lazymerge.ErrExists {
		return one(finding("output-exists", "", "", err.Error(), nil))
	}
	return nil
}

func explainLost(e *lazymerge.LostError) Finding {
	tensor := ""
	if len(e.Modules) > 0 {
		tensor = first(e.Modules[0].Tensors)
	}
	return finding("tensor-lost", e.Adapter, tensor, e.Error(), nil)
}

func explainUnmatched(e *lazymerge.UnmatchedError) Finding {
	name, tensor := "tensor-unmatched", ""
	for _, t := range e.Tensors {
		if len(t.Ambiguous) > 0 {
			name = "tensor-ambiguous"
		}
		if tensor == "" && len(t.Keys) > 0 {
			tensor = t.Keys[0]
		}
	}
	if all(e.Tensors, isBias) && !e.All {
		return finding("bias-unmatched", e.Adapter, tensor, e.Error(), nil)
	}
	if all(e.Tensors, func(t lazymerge.Unmatched) bool { return t.Lacks }) {
		return hinted(explainLacks(e, tensor))
	}
	f := finding(name, e.Adapter, tensor, e.Error(), nil)
	if e.All { // there is no rest to merge
		f.Fix, _, _ = strings.Cut(f.Fix, " To merge the rest")
	}
	return hinted(f)
}

// all tells whether there are any and each is so.
func all(tensors []lazymerge.Unmatched, is func(lazymerge.Unmatched) bool) bool {
	return len(tensors) > 0 && !slices.ContainsFunc(tensors, func(t lazymerge.Unmatched) bool { return !is(t) })
}

// explainLacks names the pipeline that the base is a part of.
func explainLacks(e *lazymerge.UnmatchedError, tensor string) Finding {
	f := finding("component-missing", e.Adapter, tensor, e.Error(), nil)
	if whole := filepath.Dir(e.Base); isFile(filepath.Join(whole, "model_index.json")) {
		f.Fix = fmt.Sprintf("The base is a part of the pipeline %s: name that.\n%s", printable(whole), f.Fix)
	}
	return f
}

// isBias tells whether what found no place is nothing but the bias of lora_B.
func isBias(t lazymerge.Unmatched) bool {
	return len(t.Keys) == 1 && strings.Contains(t.Keys[0], ".lora_B.") && strings.HasSuffix(t.Keys[0], ".bias")
}

// hinted says what base the header of an adapter's file names, or the config beside it.
func hinted(f Finding) Finding {
	if base := single.BaseHint(f.File); base != "" {
		f.Fix = fmt.Sprintf("The file's header names %s as the base (ss_base_model_version).\n%s", shortened(printable(base)), f.Fix)
		return f
	}
	c, err := peft.ReadConfig(filepath.Join(filepath.Dir(f.File), "adapter_config.json"))
	if err == nil && c.Base != "" {
		f.Fix = fmt.Sprintf("adapter_config.json names %s as the base.\n%s", printable(c.Base), f.Fix)
	}
	return f
}

// shortened keeps a line of a file to a size that can be read.
func shortened(s string) string {
	const most = 100
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

// explainEdit takes the advice of the transform's error and says for which tensor.
func explainEdit(e *lazymerge.EditError) []Finding {
	found := explain(e.Err)
	for i := range found {
		found[i].File, found[i].Tensor, found[i].Message = e.Adapter, e.Tensor, e.Error()
		if found[i].Code == "shape-mismatch" {
			found[i] = hinted(found[i])
		}
	}
	return found
}

// explainModule takes the advice of what is wrong with the tensors and says in which file.
func explainModule(e *peft.ModuleError) []Finding {
	found := explain(e.Err)
	for i := range found {
		found[i].File, found[i].Message = e.File, e.Error()
		if found[i].Code == "dtype-unsupported" { // no base is meant
			found[i].Fix = "Save the adapter again in BF16, F16 or F32, with the program that made it."
		}
	}
	return found
}

func explainTransform(err error) []Finding {
	switch e := err.(type) {
	case *transform.ShapeError:
		if e.Grouped() {
			return one(finding("convolution-grouped", "", e.Other, e.Error(), nil))
		}
		if e.Within() {
			return one(finding("tensors-contradict", "", e.Other, e.Error(), nil))
		}
		return one(finding("shape-mismatch", "", e.Tensor, e.Error(), nil))
	case *transform.DTypeError:
		return one(finding("dtype-unsupported", "", e.Tensor, e.Error(), nil))
	case *transform.LayerError:
		return one(finding("layer-unsupported", "", e.Tensor, e.Error(), nil))
	case *transform.JointError:
		return one(finding("draw-impossible", "", "", e.Error(), nil))
	case *transform.IndexError:
		return one(finding("row-out-of-range", "", e.Tensor, e.Error(), nil))
	case *transform.ExpertsError:
		return one(finding("experts-mismatch", "", e.Tensor, e.Error(), nil))
	case *transform.OverflowError:
		return one(finding("overflow", "", e.Tensor, e.Error(), nil))
	case *transform.WeightError:
		return one(finding("stack-weight", "", e.Tensor, e.Error(), nil))
	case *transform.RankMixError:
		return one(finding("stack-combine", "", e.Tensor, e.Error(), nil))
	case *transform.SumError:
		return one(finding("stack-combine", "", e.Tensor, e.Error(), nil))
	case *transform.DecompositionError:
		return one(finding("stack-combine", "", e.Tensor, e.Error(), nil))
	}
	return nil
}

func explainResolve(err error) []Finding {
	switch e := err.(type) {
	case *resolve.NotFoundError:
		return one(finding("tensor-unmatched", "", e.Module+"."+e.Param, e.Error(), nil))
	case *resolve.AmbiguousError:
		return one(finding("tensor-ambiguous", "", e.Module+"."+e.Param, e.Error(), nil))
	case *resolve.OrderError:
		return one(finding("draw-impossible", "", e.Module, e.Error(), nil))
	case *resolve.ConvertedError:
		return one(finding("base-converted-tensor", "", e.Module+"."+e.Param, e.Error(), nil))
	}
	return nil
}

// explainPeft explains errors of both readers of adapters.
func explainPeft(err error) []Finding {
	switch e := err.(type) {
	case *peft.ConfigError:
		return one(finding("config-broken", e.Path, "", e.Error(), nil))
	case *peft.FieldError:
		return one(finding("config-field", e.Path, "", e.Error(), nil))
	case *peft.UnsupportedError:
		return one(explainUnsupported(e))
	case *peft.NoWeightsError:
		return one(explainNoWeights(e))
	case *peft.UnknownTensorsError:
		if slices.ContainsFunc(e.Tensors, isWrapped) {
			return one(wholeModel(e.File, first(e.Tensors), e.Error()))
		}
		return one(finding("tensor-unknown", e.File, first(e.Tensors), e.Error(), nil))
	case *peft.MissingTensorError:
		if e.Like != "" {
			return one(finding("tensor-like-missing", e.File, cmp.Or(first(e.Have), e.Module+"."+e.Want), e.Error(), nil))
		}
		return one(finding("tensor-counterpart-missing", e.File, cmp.Or(first(e.Have), e.Module+"."+e.Want), e.Error(), nil))
	case *peft.DuplicateTensorError:
		return one(finding("tensor-duplicate", e.File, e.Tensors[0], e.Error(), nil))
	case *peft.EmptyError:
		name := emptyCode(e.File)
		if e.Total > 0 {
			name = "weights-placeholders"
		}
		return one(ungathered(name, e.File, first(e.Tensors), e.Error()))
	case *peft.FlatError:
		return one(ungathered("weights-flat", e.File, first(e.Tensors), e.Error()))
	case *peft.WholeModelError:
		return one(wholeModel(e.File, first(e.Tensors), e.Error()))
	case *peft.NonFiniteError:
		return one(finding("tensor-nonfinite", e.File, e.Tensor, e.Error(), nil))
	case *single.MetadataError:
		return one(finding("metadata-field", e.File, "", e.Error(), nil))
	case *single.ValueError:
		return one(finding("tensor-value", e.File, e.Tensor, e.Error(), nil))
	case *peft.ModuleError:
		return explainModule(e)
	case *peft.RankError:
		return one(finding("rank-mismatch", e.File, e.Tensor, e.Error(), nil))
	}
	return nil
}

// isWrapped tells a parameter of the model that PEFT has put a layer of its own around,
// which no adapter holds.
func isWrapped(name string) bool {
	return strings.HasSuffix(name, ".base_layer.weight") || strings.HasSuffix(name, ".base_layer.bias")
}

func first(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

func explainUnsupported(e *peft.UnsupportedError) Finding {
	switch {
	case e.Field == "adapter_model.safetensors":
		return finding("weights-several-adapters", e.Path, "", e.Error(), nil)
	case e.Field == "init_lora_weights":
		return finding("init-changes-base", e.Path, "", e.Error(), nil)
	case e.Never:
		return finding("type-never", e.Path, "", e.Error(), nil)
	}
	return finding("type-unsupported", e.Path, "", e.Error(), nil)
}

// explainNoWeights looks whether the weights are those of a whole model.
func explainNoWeights(e *peft.NoWeightsError) Finding {
	for _, name := range modelNames {
		if path := filepath.Join(e.Dir, name); isFile(path) {
			return wholeModel(path, "", e.Error()+", only "+name)
		}
	}
	return ungathered("weights-missing", filepath.Join(e.Dir, "adapter_model.safetensors"), "", e.Error())
}

// modelNames are the names under which a model is loaded.
var modelNames = []string{"model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"}

// wholeModel is the finding of a model in the adapter's place. Where the adapter's
// tensors are in it they can be taken out.
func wholeModel(file, tensor, message string) Finding {
	v := fileValues(file)
	switch base := filepath.Base(file); {
	case slices.Contains(modelNames, base):
		v["whole"] = "leave " + base + " its name"
	case filepath.Ext(base) == ".safetensors":
		v["whole"] = "rename " + base + " to model.safetensors"
	default:
		v["whole"] = "rename " + base + " to pytorch_model.bin"
	}
	f := finding("weights-whole-model", file, tensor, message, v)
	if recovery.HoldsAdapter(file) {
		f.Fix = rebuild(filepath.Dir(file), file, "the adapter's tensors are in the model") + "\n" + f.Fix
	}
	return f
}

func isFile(path string) bool {
	_, ok := readHead(path)
	return ok
}

// ungathered is the finding of an adapter that holds nothing: the way back is a
// checkpoint near it, when there is one.
func ungathered(name, file, tensor, message string) Finding {
	f := finding(name, file, tensor, message, nil)
	if way := nearby(file); way != "" {
		f.Fix = way + "\n" + f.Fix
	}
	return f
}

// explainSafetensors explains errors of both formats of weights.
func explainSafetensors(err error) []Finding {
	switch e := err.(type) {
	case *safetensors.Error:
		return one(explainFile(e))
	case *safetensors.ChangedError:
		return one(finding("input-changed", e.Path, "", e.Error(), nil))
	case *safetensors.IndexError:
		return one(finding("index-broken", "", "", e.Error(), nil))
	case *torchfile.Error:
		return one(explainTorchFile(e))
	case *pickle.Error:
		return one(finding("weights-torch-refused", "", "", e.Error(), nil))
	case *safetensors.ConvertError:
		return one(finding("dtype-unsupported", "", "", e.Error(), nil))
	}
	return nil
}

// explainFile tells by the first bytes of the file what it is in truth, and goes by
// the broken rule only when they are those of a safetensors file.
func explainFile(e *safetensors.Error) Finding {
	name, message := "", e.Error()
	h, ok := readHead(e.Path)
	if ok && e.Kind != safetensors.IoError {
		name = shapeOf(h)
	}
	if otherFile(name) {
		message = h.begins(e.Path)
	}
	if name == "" {
		name = kindCodes[e.Kind]
	}
	switch {
	case name == "":
		return Finding{Code: "error", File: e.Path, Tensor: e.Tensor, Message: e.Error()}
	case strings.Contains(e.Detail, "duplicate key"):
		name = "weights-duplicate-name"
	case name == "weights-holes" && overlapping(e):
		name = "weights-overlap"
	case name == "weights-truncated" && trailing(e):
		name = "weights-trailing"
	case name == "file-unreadable" && e.Err != nil:
		if found := explain(e.Err); found != nil {
			return found[0]
		}
	}
	return ungathered(name, e.Path, e.Tensor, message)
}

// trailing reports whether the file has more bytes than its tensors take.
func trailing(e *safetensors.Error) bool {
	var take, have uint64
	_, err := fmt.Sscanf(e.Detail, "tensors take %d bytes, data section has %d", &take, &have)
	return err == nil && have > take
}

// overlapping reports whether a tensor begins before the one in front of it ends.
func overlapping(e *safetensors.Error) bool {
	var begin, end uint64
	_, err := fmt.Sscanf(e.Detail, "begins at %d, the tensor before it ends at %d", &begin, &end)
	return err == nil && begin < end
}

func explainSystem(err error) []Finding {
	path, cause, op := "", err, ""
	if e, ok := err.(*fs.PathError); ok {
		path, cause, op = e.Path, e.Err, e.Op
	}
	name := systemCode(cause)
	switch {
	case name == "":
		return nil
	case name == "permission-denied" && op == "mkdir":
		name, path = "output-denied", filepath.Dir(path) // what was to be made is of no interest
	case name == "file-missing" && filepath.Base(path) == "adapter_config.json":
		name = "config-missing"
	}
	if name == "config-missing" {
		return one(ungathered(name, path, "", err.Error()))
	}
	return one(finding(name, path, "", err.Error(), values{"path": path}))
}

// systemCode goes by the error itself, not by what it wraps: a wrapper may know
// the path.
func systemCode(err error) string {
	switch err {
	case fs.ErrNotExist, syscall.ENOENT, syscall.ENOTDIR, syscall.ELOOP:
		return "file-missing"
	case fs.ErrPermission, syscall.EACCES, syscall.EPERM:
		return "permission-denied"
	case syscall.ENOSPC, syscall.EDQUOT:
		return "disk-full"
	case syscall.EROFS:
		return "output-denied"
	case syscall.EIO, syscall.ESTALE, syscall.ETIMEDOUT, syscall.ENOTCONN, syscall.ECONNABORTED:
		return "file-unreadable"
	case context.Canceled, context.DeadlineExceeded, syscall.EINTR:
		return "interrupted"
	}
	return ""
}

func explainModeldir(err error) []Finding {
	switch e := err.(type) {
	case *modeldir.NotFoundError:
		return one(explainNotFound(e))
	case *modeldir.NotModelError:
		f := finding(foundCodes[e.Found], e.Path, "", e.Error(), nil)
		if e.Found == modeldir.FoundOtherFormat && recovery.HoldsAdapter(e.Path) {
			f.Fix = rebuild(e.Path, e.Path, "a model in training lies there, with an adapter") + "\n" + f.Fix
		}
		return one(f)
	case *modeldir.ConfigError:
		return one(finding("base-config-broken", e.Path, "", e.Error(), nil))
	case *modeldir.NotAdapterError:
		name := "adapter-not-found"
		if e.IsBase {
			name = "adapter-is-base"
		} else if recovery.HoldsAdapter(e.Path) {
			return one(inCheckpoint(e))
		}
		return one(finding(name, e.Path, "", e.Error(), nil))
	case *modeldir.IndexPathError:
		return one(finding("index-leaves", e.Index, "", e.Error(), nil))
	case *modeldir.IndexError:
		return one(finding("index-broken", e.Index, "", e.Error(), nil))
	case *modeldir.MissingShardError:
		return one(finding("shards-missing", e.Index, "", e.Error(), nil))
	case *modeldir.LinkError:
		return one(finding("link-leaves", e.Link, "", e.Error(), values{"link": e.Link, "target": e.Target}))
	case *modeldir.FileKindError:
		return one(finding("file-kind", e.Path, "", e.Error(), nil))
	case *modeldir.LimitError:
		return one(finding("limit", e.Path, "", e.Error(), nil))
	case *modeldir.UnhealthyError:
		return explainUnhealthy(e)
	}
	return explainNames(err)
}

// explainNames explains what is wrong with the words of a command line.
func explainNames(err error) []Finding {
	switch e := err.(type) {
	case *modeldir.StackPartError:
		found := explain(e.Err)
		for i := range found {
			if found[i].File == "" {
				found[i].File = e.Part
			}
		}
		return found
	case *modeldir.StackError:
		return one(finding("stack-invalid", "", "", e.Error(), nil))
	case *modeldir.NameError:
		return one(finding("name-invalid", "", "", e.Error(), nil))
	case *modeldir.NameCollisionError:
		return one(finding("name-collision", "", "", e.Error(), values{"first": e.Refs[0], "second": e.Refs[1]}))
	case *modeldir.NoCheckpointError:
		found := explain(errors.Unwrap(e)) // the newest one's
		for i := range found {
			found[i].Message = e.Error()
		}
		return found
	}
	return nil
}

var foundCodes = map[modeldir.Found]string{
	modeldir.FoundNothing:     "base-no-weights",
	modeldir.FoundAdapter:     "base-is-adapter",
	modeldir.FoundOtherFormat: "base-other-format",
	modeldir.FoundSeveral:     "base-several-files",
	modeldir.FoundShard:       "base-one-shard",
	modeldir.FoundBelow:       "base-weights-below",
}

func explainNotFound(e *modeldir.NotFoundError) Finding {
	ref, _, _ := strings.Cut(e.Ref, "@")
	if e.Revision == "" {
		f := finding("not-found", "", "", e.Error(), values{"ref": ref})
		if len(e.Looked) < 2 { // no id: it was looked for as a path only
			f.Fix = "Check the spelling of the path, and that its disk is mounted."
		}
		return f
	}
	return finding("revision-missing", "", "", e.Error(),
		values{"ref": ref, "revision": e.Revision, "revisions": strings.Join(e.Revisions, ", ")})
}

// explainUnhealthy prefers what is known of the cause to the general word.
func explainUnhealthy(e *modeldir.UnhealthyError) []Finding {
	if e.Err != nil {
		if found := explain(e.Err); found != nil || e.Fault == modeldir.WeightsBroken {
			return found
		}
	}
	if e.Fault == modeldir.WeightsEmpty {
		return one(ungathered(emptyCode(e.Path), e.Path, "", e.Error()))
	}
	return one(ungathered(faultCodes[e.Fault], e.Path, "", e.Error()))
}

var faultCodes = map[modeldir.Fault]string{
	modeldir.ConfigMissing:       "config-missing",
	modeldir.ConfigBroken:        "config-broken",
	modeldir.WeightsMissing:      "weights-missing",
	modeldir.WeightsEmpty:        "weights-empty",
	modeldir.WeightsPlaceholders: "weights-placeholders",
	modeldir.SeveralAdapters:     "checkpoint-several-adapters",
	modeldir.NoAdapter:           "checkpoint-no-adapter",
}

// inCheckpoint is the finding of a directory without an adapter whose training checkpoint
// holds one.
func inCheckpoint(e *modeldir.NotAdapterError) Finding {
	f := finding("checkpoint-no-adapter", e.Path, "", e.Error(), nil)
	f.Fix = rebuild(e.Path, e.Path, "a training checkpoint lies there") + "\n" + f.Fix
	return f
}
