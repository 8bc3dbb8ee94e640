package lazymerge

import (
	"context"
	"errors"
	"fmt"

	"lorafs/lazymerge/adapter/peft"
	"lorafs/lazymerge/adapter/single"
	"lorafs/lazymerge/modeldir"
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// Examine reads an adapter, or the adapters of a stack, by itself: what its files tell
// without a base. With headerOnly its values are not read, so that neither NaN nor an
// adapter of zeros is found. Errors: those of peft and single, *InputChangedError; of a
// stack *modeldir.StackPartError around these.
func Examine(ctx context.Context, a modeldir.Adapter, opt Options, headerOnly bool) (warnings []transform.Warning, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	err = guard(func() error {
		warnings, err = examine(ctx, a, opt, headerOnly)
		return err
	})
	return warnings, err
}

func examine(ctx context.Context, a modeldir.Adapter, opt Options, headerOnly bool) ([]transform.Warning, error) {
	if a.Parts != nil {
		return examineParts(ctx, a, opt, headerOnly)
	}
	if a.Err != nil {
		return nil, fmt.Errorf("open adapter %q: %w", a.Ref, a.Err)
	}
	recipe, err := openRecipe(a, opt, headerOnly)
	if err != nil {
		return nil, fmt.Errorf("open adapter %q: %w", a.Ref, err)
	}
	for i := range recipe.Warnings {
		recipe.Warnings[i].File = recipe.File
	}
	return recipe.Warnings, closeRecipe(recipe)
}

// openRecipe reads an adapter directory, or an adapter that is one file.
func openRecipe(a modeldir.Adapter, opt Options, headerOnly bool) (*transform.Recipe, error) {
	if a.File != "" {
		return single.Open(a.File, single.Options{AllowUnused: opt.AllowUnused, AllowMissing: opt.AllowMissing, AllowNonFinite: opt.AllowNonFinite, HeaderOnly: headerOnly})
	}
	return peft.Open(a.Dir, peft.Options{AllowUnused: opt.AllowUnused, AllowNonFinite: opt.AllowNonFinite, Experts: opt.Experts, HeaderOnly: headerOnly})
}

// examineParts goes on behind a broken part, so that all of them are found.
func examineParts(ctx context.Context, a modeldir.Adapter, opt Options, headerOnly bool) ([]transform.Warning, error) {
	var all []transform.Warning
	var errs []error
	seen := make(map[string]bool)
	for _, p := range a.Parts {
		if seen[p.Ref] {
			continue
		}
		seen[p.Ref] = true
		warnings, err := Examine(ctx, p.Adapter, opt, headerOnly)
		if err != nil {
			errs = append(errs, &modeldir.StackPartError{Ref: a.Ref, Part: p.Ref, Err: err})
		}
		all = append(all, warnings...)
	}
	return all, errors.Join(errs...)
}

// Scan reads every value of the base, whose headers OpenBase has checked. Errors: ctx's,
// *InputChangedError, *fs.PathError.
func (b *Base) Scan(ctx context.Context) (warnings []transform.Warning, err error) {
	err = guard(func() error {
		for _, c := range b.components {
			for _, f := range c.shards {
				found, err := scanShard(ctx, f)
				if err != nil {
					return err
				}
				warnings = append(warnings, found...)
			}
		}
		return nil
	})
	return warnings, err
}

// ScanFile is Scan for one file of a model.
func ScanFile(ctx context.Context, f *safetensors.File) (warnings []transform.Warning, err error) {
	err = guard(func() error {
		warnings, err = scanShard(ctx, f)
		return err
	})
	return warnings, err
}

// scanStep bounds what is made resident at a time.
const scanStep = 8 << 20

func scanShard(ctx context.Context, f *safetensors.File) ([]transform.Warning, error) {
	var bad []string
	for _, t := range f.Tensors() {
		for lo := int64(0); lo < t.Size(); lo += scanStep {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			b, err := t.Slice(lo, min(lo+scanStep, t.Size()))
			if err != nil {
				return nil, changed(err)
			}
			if !safetensors.Finite(b, t.DType) {
				bad = append(bad, t.Name)
				break
			}
		}
	}
	if bad == nil {
		return nil, nil
	}
	w := transform.Warnf(transform.BaseNonFinite, bad[0], "%d of %d tensors hold NaN or infinite values, the first is %s", len(bad), len(f.Tensors()), bad[0])
	w.File = f.Path()
	return []transform.Warning{w}, nil
}
