package diagnose

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"lorafs/lazymerge"
	"lorafs/lazymerge/checkpoint"
	"lorafs/lazymerge/recovery"
	"lorafs/lazymerge/torchfile"
	"lorafs/safetensors"
)

// explainCheckpoint explains what keeps a checkpoint from being put together.
func explainCheckpoint(err error) []Finding {
	switch e := err.(type) {
	case *checkpoint.NotFoundError:
		return one(explainNoCheckpoint(e))
	case *checkpoint.LatestError:
		return one(explainLatest(e))
	case *checkpoint.RanksError:
		return one(explainRanks(e))
	case *checkpoint.MixedError:
		return one(finding("checkpoint-mixed", e.File, "", e.Error(), nil))
	case *checkpoint.LayoutError:
		return one(finding("checkpoint-damaged", e.File, e.Tensor, e.Error(), nil))
	case *checkpoint.UnsupportedError:
		return one(finding("checkpoint-unsupported", e.File, "", e.Error(), nil))
	case *checkpoint.ReadError:
		return explainRead(e)
	}
	return explainRecovery(err)
}

// explainNoCheckpoint tells an adapter, of which there is nothing to recover.
func explainNoCheckpoint(e *checkpoint.NotFoundError) Finding {
	f := finding("checkpoint-not-found", e.Path, "", e.Error(), nil)
	if isFile(filepath.Join(e.Path, "adapter_config.json")) && slices.ContainsFunc(listDir(e.Path), isAdapterWeights) {
		f.Fix = "It is an adapter, of which there is nothing to recover unless something is wrong with it:\n\t" + CheckCommand("", e.Path)
	}
	return f
}

func isAdapterWeights(name string) bool {
	return name == "adapter_model.safetensors" || name == "adapter_model.bin"
}

// explainRanks offers the values of 16 bits where one file holds them all, and an older
// checkpoint.
func explainRanks(e *checkpoint.RanksError) Finding {
	f := finding("checkpoint-ranks-missing", e.Dir, "", e.Error(), values{"path": e.Dir})
	if !e.OneFile {
		f.Fix, _, _ = strings.Cut(f.Fix, "\n")
	}
	if s, ok := olderShards(e.Dir); ok {
		out, _ := recoveredTo(s.root, "")
		f.Fix += "\nOr go back to an older checkpoint of the run:\n\t" + recoverCommand(s.flags(), s.path, out)
	}
	return f
}

// explainLatest names the steps that are there.
func explainLatest(e *checkpoint.LatestError) Finding {
	dir := filepath.Dir(e.File)
	left := 1
	s, ok := shardsIn(dir, &left)
	if !ok {
		f := finding("checkpoint-latest", e.File, "", e.Error(), nil)
		f.Fix = "No directory of a step with optimizer states is there. Copy the one that is named, or take another checkpoint of the run."
		return f
	}
	return finding("checkpoint-latest", e.File, "", e.Error(), values{"path": s.path})
}

// explainRead leaves what is wrong with the content to the checkpoint's own advice, since
// that on adapter files points back to the checkpoint, and takes the advice on the rest.
func explainRead(e *checkpoint.ReadError) []Finding {
	var torch *torchfile.Error
	var format *safetensors.Error
	var layout *checkpoint.LayoutError
	found := explain(e.Err)
	if found == nil || errors.As(e.Err, &torch) || errors.As(e.Err, &format) || errors.As(e.Err, &layout) {
		return one(finding("checkpoint-damaged", e.File, e.Tensor, e.Error(), nil))
	}
	for i := range found {
		found[i].File, found[i].Tensor, found[i].Message = e.File, e.Tensor, e.Error()
	}
	return found
}

func explainRecovery(err error) []Finding {
	switch e := err.(type) {
	case *recovery.NoAdapterError:
		f := finding("checkpoint-no-tensors", e.Path, "", e.Error(), nil)
		if e.Empty {
			f.Fix = "Take another checkpoint of the run: the processes' parts were not gathered when this one was saved. " + fixUngathered
		}
		return one(f)
	case *recovery.ChoiceError:
		return one(finding("checkpoint-several-names", e.Path, "", e.Error(), nil))
	case *recovery.ConfigError:
		return one(finding("checkpoint-config-missing", e.Path, "", e.Error(), nil))
	case *recovery.AlphaError:
		return one(finding("checkpoint-alpha-missing", e.Path, "", e.Error(), nil))
	case *recovery.AlphaConflictError:
		return one(finding("checkpoint-alpha-differs", e.Config, "", e.Error(), values{"path": e.Checkpoint}))
	case *recovery.OutputError:
		return explainOutput(e)
	case *recovery.CheckError:
		return explainCheck(e)
	case *recovery.UnfitError:
		return one(finding("checkpoint-unfit", e.Checkpoint, "", e.Error(), nil))
	}
	return nil
}

// explainOutput names the output, where a file stands in its way as where a directory does.
func explainOutput(e *recovery.OutputError) []Finding {
	if parent := filepath.Dir(e.Out); !isDir(parent) {
		return one(finding("output-parent", e.Out, "", fmt.Sprintf("%q is no directory", parent), nil))
	}
	if errors.Is(e, lazymerge.ErrExists) || errors.Is(e, syscall.ENOTDIR) {
		return one(finding("output-exists", e.Out, "", e.Error(), nil))
	}
	found := explain(e.Err)
	for i := range found {
		found[i].File, found[i].Message = e.Out, e.Error()
	}
	return found
}

func isDir(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

// explainCheck names the output where the errors name the directory it was written in.
func explainCheck(e *recovery.CheckError) []Finding {
	found := explain(e.Err)
	for i := range found {
		for _, text := range []*string{&found[i].File, &found[i].Message, &found[i].Cause, &found[i].Fix} {
			*text = strings.ReplaceAll(*text, e.Dir, e.Out)
		}
	}
	return found
}
