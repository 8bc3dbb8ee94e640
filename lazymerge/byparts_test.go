package lazymerge_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lorafs/cache"
	"lorafs/lazymerge"
	"lorafs/lazymerge/modeldir"
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

const diffusion = "../integration/testdata/diffusion"

// TestComponents: one file changes three components; what is exported is what the
// report says, and verify tells it from the base.
func TestComponents(t *testing.T) {
	base, adapter := filepath.Join(diffusion, "bases/sdxl"), filepath.Join(diffusion, "cases/sdxl-kohya/adapter.safetensors")
	m := openPair(t, base, adapter, lazymerge.Options{})
	seen := make(map[string]int)
	for _, c := range m.Report().Edits {
		part, _, _ := strings.Cut(c.Tensor, "/")
		seen[part]++
	}
	if len(seen) != 3 || seen["unet"] == 0 || seen["text_encoder"] == 0 || seen["text_encoder_2"] == 0 {
		t.Errorf("edits by component: %v", seen)
	}
	out := filepath.Join(t.TempDir(), "merged")
	if err := lazymerge.Export(context.Background(), m, out, nil); err != nil {
		t.Fatal(err)
	}
	for dir, ok := range map[string]bool{out: true, base: false} {
		v, err := lazymerge.Verify(context.Background(), m, dir, nil)
		if err != nil || v.OK != ok {
			t.Errorf("verify %s: %+v, %v", dir, v.Counts, err)
		}
	}
}

// madeUp writes tensors of random values.
func madeUp(t *testing.T, name string, shapes map[string][]int64) string {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 1))
	var tensors []*safetensors.Tensor
	for _, key := range slices.Sorted(maps.Keys(shapes)) {
		shape := shapes[key]
		info := safetensors.Info{Name: key, DType: safetensors.F32, Shape: shape}
		n, err := info.Elements()
		if err != nil {
			t.Fatal(err)
		}
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(r.NormFloat64())
		}
		data := make([]byte, 4*n)
		if err := safetensors.FromFloat32(data, values, safetensors.F32); err != nil {
			t.Fatal(err)
		}
		tensor, err := safetensors.FromBytes(info, data)
		if err != nil {
			t.Fatal(err)
		}
		tensors = append(tensors, tensor)
	}
	var b bytes.Buffer
	if err := safetensors.Write(&b, nil, tensors); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func openMadeUp(t *testing.T, base, adapter map[string][]int64, opt lazymerge.Options) (*lazymerge.Model, error) {
	t.Helper()
	b, err := lazymerge.OpenBase(madeUp(t, "base.safetensors", base))
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	opt.Cache = cache.New[lazymerge.Key](1 << 20)
	lib, err := modeldir.FindAdapters([]string{madeUp(t, "adapter.safetensors", adapter)})
	if err != nil {
		t.Fatal(err)
	}
	m, err := lazymerge.Open(context.Background(), b, lib.Adapters[0], opt)
	t.Cleanup(func() {
		if m != nil {
			_ = m.Close()
		}
		if err := opt.Cache.Close(); err != nil {
			t.Error(err)
		}
	})
	return m, err
}

var fluxBase = map[string][]int64{
	"double_blocks.0.img_attn.qkv.weight": {24, 8}, "double_blocks.0.img_attn.qkv.bias": {24}, "double_blocks.0.img_attn.proj.weight": {8, 8},
}

func lora(stem string, out, in int64) map[string][]int64 {
	return map[string][]int64{stem + ".lora_A.weight": {2, in}, stem + ".lora_B.weight": {out, 2}}
}

func union(maps ...map[string][]int64) map[string][]int64 {
	all := make(map[string][]int64)
	for _, m := range maps {
		for k, v := range m {
			all[k] = v
		}
	}
	return all
}

// TestSegmentsRefused: what fits no tensor, or rows that another module has, is named.
func TestSegmentsRefused(t *testing.T) {
	split, fused := "transformer.transformer_blocks.0.attn.to_q", "diffusion_model.double_blocks.0.img_attn.qkv"
	var collision *lazymerge.CollisionError
	if _, err := openMadeUp(t, fluxBase, union(lora(split, 8, 8), lora(fused, 24, 8)), lazymerge.Options{}); !errors.As(err, &collision) {
		t.Errorf("a fused module and a part of it: %v", err)
	}
	for _, twice := range [][2]string{{"unet.x", "lora_unet_x"}, {"lora_te_x", "lora_te1_x"}, {"x", "transformer.x"}} {
		_, err := openMadeUp(t, map[string][]int64{"x.weight": {8, 8}}, union(lora(twice[0], 8, 8), lora(twice[1], 8, 8)), lazymerge.Options{})
		if !errors.As(err, &collision) {
			t.Errorf("%v: %v", twice, err)
		}
	}
	if m, err := openMadeUp(t, fluxBase, union(lora(split, 8, 8), lora("transformer.transformer_blocks.0.attn.to_v", 8, 8)), lazymerge.Options{}); err != nil || m.Report().Merged != 1 {
		t.Errorf("two parts of a fused module: %v", err)
	}
	var unmatched *lazymerge.UnmatchedError
	for _, stem := range []string{"transformer.transformer_blocks.1.attn.to_q", "transformer.transformer_blocks.0.attn.to_x", "lora_te_encoder_layers_0_mlp_fc1", "text_encoder_3.encoder.block.0"} {
		_, err := openMadeUp(t, fluxBase, union(lora(fused, 24, 8), lora(stem, 8, 8)), lazymerge.Options{})
		if !errors.As(err, &unmatched) || len(unmatched.Tensors) != 1 || !strings.Contains(err.Error(), stem) {
			t.Errorf("%s: %v", stem, err)
		}
	}
	m, err := openMadeUp(t, fluxBase, union(lora(fused, 24, 8), lora("lora_te_x", 8, 8)), lazymerge.Options{AllowUnused: true})
	if err != nil || !strings.Contains(fmt.Sprint(m.Report().Warnings), "lora_te_x") {
		t.Errorf("left out: %v", err)
	}
	for name, adapter := range map[string]map[string][]int64{
		"shape":          lora(split, 9, 8),
		"transpose":      {"diffusion_model.double_blocks.0.img_attn.qkv.diff": {8, 24}},
		"too few values": {split + ".set_weight": {4, 8}},
		"other values":   {"diffusion_model.double_blocks.0.img_attn.proj.set_weight": {9, 8}},
		"one norm for all outputs of three tensors": union(lora(split, 8, 8), map[string][]int64{split + ".dora_scale": {1, 7}}),
	} {
		var edit *lazymerge.EditError
		if _, err := openMadeUp(t, fluxBase, adapter, lazymerge.Options{}); !errors.As(err, &edit) {
			t.Errorf("%s: %v", name, err)
		}
	}
	m, err = openMadeUp(t, fluxBase, map[string][]int64{split + ".set_weight": {8, 8}}, lazymerge.Options{})
	if err != nil || m.Report().Merged != 1 {
		t.Errorf("values for a part: %v", err)
	}
	// Blocks of 12 outputs reach from the rows of q into those of k.
	pieces := map[string][]int64{
		"transformer_blocks.0.attn.to_q.weight": {8, 8}, "transformer_blocks.0.attn.to_k.weight": {8, 8}, "transformer_blocks.0.attn.to_v.weight": {8, 8},
		"single_transformer_blocks.0.proj_out.weight": {8, 8},
	}
	var edit *lazymerge.EditError
	_, err = openMadeUp(t, pieces, map[string][]int64{"lora_unet_double_blocks_0_img_attn_qkv.oft_blocks": {2, 12, 12}}, lazymerge.Options{})
	if !errors.As(err, &edit) || !strings.Contains(err.Error(), "divided") {
		t.Errorf("a block over two tensors: %v", err)
	}
	m, err = openMadeUp(t, pieces, map[string][]int64{"lora_unet_double_blocks_0_img_attn_qkv.oft_blocks": {6, 4, 4}}, lazymerge.Options{})
	if err != nil || m.Report().Merged != 3 {
		t.Errorf("blocks inside of each tensor: %v", err)
	}
}

// TestTurned: OpenCLIP's projection of text lies as the transpose of transformers' in a
// checkpoint; its square tells nothing.
func TestTurned(t *testing.T) {
	const prefix, key = "conditioner.embedders.1.model.", "lora_te2_text_projection."
	base := map[string][]int64{prefix + "text_projection": {8, 8}, prefix + "transformer.resblocks.0.mlp.c_fc.weight": {8, 8}}
	factors := map[string][]int64{key + "lora_down.weight": {2, 8}, key + "lora_up.weight": {8, 2}}
	m, err := openMadeUp(t, base, factors, lazymerge.Options{})
	if err != nil {
		t.Fatal(err)
	}
	read := func(path, tensor string) func(i int) float32 {
		f, err := safetensors.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return func(i int) float32 { return valueAt(t, f, tensor, int64(i)) }
	}
	merged := filepath.Join(t.TempDir(), "merged.safetensors")
	writeText(t, merged, string(readAll(t, m, "base.safetensors")))
	got, w := read(merged, prefix+"text_projection"), read(madeUp(t, "base.safetensors", base), prefix+"text_projection")
	adapter := madeUp(t, "adapter.safetensors", factors)
	down, up := read(adapter, key+"lora_down.weight"), read(adapter, key+"lora_up.weight")
	for out := range 8 {
		for in := range 8 {
			delta := up(2*out)*down(in) + up(2*out+1)*down(8+in)
			if want := w(8*in+out) + delta; math.Abs(float64(got(8*in+out)-want)) > 1e-5 {
				t.Fatalf("input %d, output %d: %v, want %v", in, out, got(8*in+out), want)
			}
		}
	}
	var layer *transform.LayerError
	for _, other := range []map[string][]int64{{key + "set_weight": {8, 8}}, {key + "oft_blocks": {2, 4, 4}}} {
		if _, err := openMadeUp(t, base, other, lazymerge.Options{}); !errors.As(err, &layer) || !strings.Contains(err.Error(), "transpose") {
			t.Errorf("%v: %v", other, err)
		}
	}
}

// TestStackOfDivisions: one adapter has the whole of a tensor, another some of its rows.
// Their sum is rounded once, whichever comes first.
func TestStackOfDivisions(t *testing.T) {
	base := madeUp(t, "base.safetensors", fluxBase)
	whole := madeUp(t, "whole.safetensors", lora("diffusion_model.double_blocks.0.img_attn.qkv", 24, 8))
	rows := madeUp(t, "rows.safetensors", lora("transformer.transformer_blocks.0.attn.to_k", 8, 8))
	merged := func(ref string) []byte {
		return readAll(t, openPair(t, base, ref, lazymerge.Options{}), "base.safetensors")
	}
	both := merged(whole + "+" + rows)
	if !bytes.Equal(both, merged(rows+"+"+whole)) {
		t.Error("the order changes the sum")
	}
	if bytes.Equal(both, merged(whole)) || bytes.Equal(both, merged(rows)) {
		t.Error("one of the two is not applied")
	}
}

// TestCombineFiles: half an adapter and half a copy of it are the adapter, whatever rank
// the decomposition of their sum is cut to, as long as it is that of a file.
func TestCombineFiles(t *testing.T) {
	const name = "double_blocks.0.img_attn.qkv.weight"
	base := madeUp(t, "base.safetensors", fluxBase)
	one := madeUp(t, "one.safetensors", lora("diffusion_model.double_blocks.0.img_attn.qkv", 24, 8))
	copied := filepath.Join(t.TempDir(), "copy.safetensors")
	raw, err := os.ReadFile(one)
	if err != nil {
		t.Fatal(err)
	}
	writeText(t, copied, string(raw))
	merged := func(ref string, combine *lazymerge.Combine) *safetensors.File {
		path := filepath.Join(t.TempDir(), "merged.safetensors")
		writeText(t, path, string(readAll(t, openPair(t, base, ref, lazymerge.Options{Combine: combine}), "base.safetensors")))
		f, err := safetensors.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	want := merged(one, nil)
	for _, kind := range []string{"svd", "magnitude_prune_svd", "cat"} {
		got := merged(one+"@0.5+"+copied+"@0.5", &lazymerge.Combine{Type: kind, Density: 1})
		for i := range int64(24 * 8) {
			if g, w := valueAt(t, got, name, i), valueAt(t, want, name, i); math.Abs(float64(g-w)) > 1e-5 {
				t.Fatalf("%s: element %d is %g, want %g", kind, i, g, w)
			}
		}
	}
}

// TestNothingOfAFileFits: with nothing of an adapter in its place there is no rest to merge.
func TestNothingOfAFileFits(t *testing.T) {
	other := lora("diffusion_model.layers.0.attention.qkv", 24, 8)
	both := union(other, lora("diffusion_model.double_blocks.0.img_attn.qkv", 24, 8))
	for name, c := range map[string]struct {
		adapter map[string][]int64
		all     bool
	}{"another model's": {other, true}, "partly": {both, false}} {
		_, err := openMadeUp(t, fluxBase, c.adapter, lazymerge.Options{AllowUnused: true})
		var unmatched *lazymerge.UnmatchedError
		if errors.As(err, &unmatched) != c.all || c.all && !unmatched.All {
			t.Errorf("%s: %v", name, err)
		}
	}
}
