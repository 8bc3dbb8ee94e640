package lazymerge_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"lorafs/lazymerge"
)

// verdict is that on a merged model.
func verdict(t *testing.T, base, ref, merged string) *lazymerge.Verdict {
	t.Helper()
	v, err := lazymerge.Verify(context.Background(), openPair(t, base, ref, lazymerge.Options{}), merged, nil)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// export writes the merge of a base and a reference, and returns its only file.
func export(t *testing.T, base, ref string) string {
	t.Helper()
	out := t.TempDir()
	if err := lazymerge.Export(context.Background(), openPair(t, base, ref, lazymerge.Options{}), out, nil); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(out, "*.safetensors"))
	if err != nil || len(files) != 1 {
		t.Fatalf("exported %v, %v", files, err)
	}
	return files[0]
}

// TestVerifyFused: diffusers merges in the base's dtype of 16 bits. That is a right merge,
// told from one rounded once, and no cover for the wrong ones.
func TestVerifyFused(t *testing.T) {
	for name, detail := range map[string]string{"bf16": "factors rounded", "f16": "factors rounded", "kohya": "with the scale in them"} {
		t.Run(name, func(t *testing.T) {
			at := func(file string) string { return filepath.Join(diffusion, "fused", name, file+".safetensors") }
			base, adapter, merged := at("base"), at("adapter"), at("merged")
			v := verdict(t, base, adapter, merged)
			if !v.OK || v.Counts[lazymerge.Rounded] != 2 || !strings.Contains(v.Tensors[0].Detail, detail) {
				t.Errorf("diffusers' merge: %+v", v)
			}
			other := filepath.Join(diffusion, "fused", map[string]string{"bf16": "kohya", "f16": "kohya", "kohya": "bf16"}[name], "adapter.safetensors")
			for wrong, c := range map[string]struct {
				ref, merged string
				want        lazymerge.State
			}{
				"not applied":   {adapter, base, lazymerge.NotApplied},
				"applied twice": {adapter, export(t, merged, adapter), lazymerge.Twice},
				"scaled":        {adapter + "@0.8", merged, lazymerge.Scaled},
				"scaled a bit":  {adapter + "@0.95", merged, lazymerge.Scaled},
				"another":       {other, merged, lazymerge.Differs},
				"one more":      {adapter, export(t, merged, other+"@0.1"), lazymerge.Differs},
			} {
				if v := verdict(t, base, c.ref, c.merged); v.OK || v.Counts[c.want] != 2 {
					t.Errorf("%s: %+v", wrong, v)
				}
			}
		})
	}
}
