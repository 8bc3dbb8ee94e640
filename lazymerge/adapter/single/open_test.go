package single

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lorafs/lazymerge/adapter/peft"
	"lorafs/lazymerge/transform"
	"lorafs/safetensors"
)

// item is a tensor of a made-up adapter: of value, or of random numbers.
type item struct {
	name  string
	shape []int64
	value *float32
}

func it(name string, shape ...int64) item { return item{name: name, shape: shape} }

func (x item) of(v float32) item { x.value = &v; return x }

func pair(stem string) []item {
	return []item{it(stem+".lora_down.weight", 2, 6), it(stem+".lora_up.weight", 4, 2)}
}

func write(t testing.TB, metadata map[string]string, items ...item) string {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	var tensors []*safetensors.Tensor
	for _, x := range items {
		info := safetensors.Info{Name: x.name, DType: safetensors.F32, Shape: x.shape}
		n, err := info.Elements()
		if err != nil {
			t.Fatal(err)
		}
		values := make([]float32, n)
		for i := range values {
			if values[i] = float32(r.NormFloat64()); x.value != nil {
				values[i] = *x.value
			}
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
	if err := safetensors.Write(&b, metadata, tensors); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "a.safetensors")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func open(t *testing.T, o Options, metadata map[string]string, items ...item) (*transform.Recipe, error) {
	t.Helper()
	r, err := Open(write(t, metadata, items...), o)
	if err == nil {
		t.Cleanup(func() {
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return r, err
}

// TestSpellings: which module a key means, and what the tensor is to it.
func TestSpellings(t *testing.T) {
	for key, want := range map[string]struct {
		part, module string
		flat         bool
		role         role
	}{
		"lora_unet_mid_block_attentions_0_proj_in.lora_down.weight":                             {"unet", "mid_block_attentions_0_proj_in", true, roleDown},
		"lora_te_text_model_encoder_layers_0_mlp_fc1.alpha":                                     {"te", "text_model_encoder_layers_0_mlp_fc1", true, roleAlpha},
		"lora_te2_text_model_encoder_layers_0_mlp_fc1.hada_w1_a":                                {"te2", "text_model_encoder_layers_0_mlp_fc1", true, roleHada1A},
		"lora_te3_encoder_block_0_layer_0_SelfAttention_q.lora_up.weight":                       {"te3", "encoder_block_0_layer_0_SelfAttention_q", true, roleUp},
		"lora_transformer_transformer_blocks_0_attn_to_q.dora_scale":                            {"transformer", "transformer_blocks_0_attn_to_q", true, roleMagnitude},
		"oft_unet_input_blocks_1_1_proj_in.oft_blocks":                                          {"unet", "input_blocks_1_1_proj_in", true, roleBlocks},
		"lycoris_blocks_0_ffn.lokr_w2_b":                                                        {"", "blocks_0_ffn", true, roleKron2B},
		"unet.down_blocks.0.attentions.0.proj_in.lora_A.weight":                                 {"unet", "down_blocks.0.attentions.0.proj_in", false, roleDown},
		"unet.down_blocks.0.attentions.0.proj_in.lora_B.default.weight":                         {"unet", "down_blocks.0.attentions.0.proj_in", false, roleUp},
		"unet.down_blocks.0.attn1.processor.to_out_lora.up.weight":                              {"unet", "down_blocks.0.attn1.to_out.0", false, roleUp},
		"mid_block.attn1.processor.to_q_lora.down.weight":                                       {"", "mid_block.attn1.to_q", false, roleDown},
		"text_encoder.text_model.encoder.layers.1.self_attn.to_out_lora.down.weight":            {"text_encoder", "text_model.encoder.layers.1.self_attn.out_proj", false, roleDown},
		"text_encoder.text_model.encoder.layers.1.self_attn.q_proj.lora_linear_layer.up.weight": {"text_encoder", "text_model.encoder.layers.1.self_attn.q_proj", false, roleUp},
		"text_encoder_2.text_model.encoder.layers.1.mlp.fc1.lora.down.weight":                   {"text_encoder_2", "text_model.encoder.layers.1.mlp.fc1", false, roleDown},
		"transformer.x.lora_magnitude_vector":                                                   {"transformer", "x", false, rolePEFTMagnitude},
		"transformer.x.lora_magnitude_vector.weight":                                            {"transformer", "x", false, rolePEFTMagnitude},
		"transformer.x.lora_B.bias":                                                             {"transformer", "x", false, roleUpBias},
		"diffusion_model.blocks.0.self_attn.q.diff_b":                                           {"diffusion_model", "blocks.0.self_attn.q", false, roleDiffBias},
		"diffusion_model.blocks.0.diff_m":                                                       {"diffusion_model", "blocks.0.modulation", false, roleDiff},
		"model.diffusion_model.blocks.0.norm3.diff":                                             {"model.diffusion_model", "blocks.0.norm3", false, roleDiff},
		"double_blocks.3.processor.qkv_lora1.down.weight":                                       {"", "double_blocks.3.img_attn.qkv", false, roleDown},
		"double_blocks.3.processor.proj_lora2.up.weight":                                        {"", "double_blocks.3.txt_attn.proj", false, roleUp},
		"single_blocks.3.processor.qkv_lora.up.weight":                                          {"", "single_blocks.3.qkv", false, roleUp},
		"single_blocks.3.processor.proj_lora.up.weight":                                         {"", "single_blocks.3.linear2", false, roleUp},
		"base_model.model.double_blocks.0.img_attn.proj.lora_A.weight":                          {"", "double_blocks.0.img_attn.proj", false, roleDown},
		"transformer._orig_mod.transformer_blocks.0.attn.to_q.lora_A.weight":                    {"transformer", "transformer_blocks.0.attn.to_q", false, roleDown},
		"lora_unet_down_blocks_1_resnets_0_conv1.lora_mid.weight":                               {"unet", "down_blocks_1_resnets_0_conv1", true, roleMid},
		"text_encoders.clip_g.transformer.text_model.encoder.layers.0.mlp.fc1.lora_up.weight":   {"clip_g", "text_model.encoder.layers.0.mlp.fc1", false, roleUp},
		"lora_unet__blocks_0_ffn_0.lora_up.weight":                                              {"unet", "blocks_0_ffn_0", true, roleUp},
		"pipe.dit.blocks.0.ffn.0.lora_B.default.weight":                                         {"", "blocks.0.ffn.0", false, roleUp},
		"lora_unet_x.a1.weight":                                                                 {"unet", "x", true, roleA1},
		"lora_unet_x.weight":                                                                    {"unet", "x", true, roleIA3},
	} {
		at, r, ok := parseKey(key)
		if !ok || at.part != want.part || at.module != want.module || at.flat != want.flat || r != want.role {
			t.Errorf("%s: %+v %s %v", key, at, r, ok)
		}
	}
	for _, key := range []string{"", "weight", "x.lora_C.bias", "x.bias", "alpha"} {
		if at, r, ok := parseKey(key); ok {
			t.Errorf("%q was read as %+v %s", key, at, r)
		}
	}
}

// scales gives the scale of each module of an adapter.
func scales(t *testing.T, r *transform.Recipe) map[string]float64 {
	t.Helper()
	got := make(map[string]float64)
	for _, e := range r.Edits {
		got[e.Module] = e.Transform.Describe().Scaling
	}
	return got
}

func TestScales(t *testing.T) {
	items := slices.Concat(pair("lora_unet_with"), []item{it("lora_unet_with.alpha").of(3)}, pair("lora_unet_without"),
		pair("lora_unet_zero"), []item{it("lora_unet_zero.alpha", 1).of(0)})
	r, err := open(t, Options{}, nil, items...)
	if err != nil {
		t.Fatal(err)
	}
	if w := fmt.Sprint(r.Warnings); !strings.Contains(w, "1 of 3 modules have no alpha") || !strings.Contains(w, "lora_unet_without") || !strings.Contains(w, "1 of 2 alphas are 0") {
		t.Errorf("warnings: %s", w)
	}
	for module, want := range map[string]float64{"with": 1.5, "without": 1, "zero": 1} {
		if got := scales(t, r)[module]; got != want {
			t.Errorf("%s: scale %g, want %g", module, got, want)
		}
	}
}

// settingsOf is the metadata of a file with one component.
func settingsOf(t *testing.T, fields map[string]any) map[string]string {
	t.Helper()
	members := make(map[string]any)
	for name, v := range fields {
		members["unet."+name] = v
	}
	b, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{metadataName: string(b)}
}

func TestMetadata(t *testing.T) {
	items := slices.Concat(pair("unet.a.to_q"), pair("unet.b.xto_q"), pair("unet.c"))
	settings := settingsOf(t, map[string]any{
		"r": 4, "lora_alpha": 8, "use_rslora": true, "rank_pattern": map[string]any{"to_q": 2, "b.*": 2, "^c": 2}, "alpha_pattern": map[string]any{"c": 1},
	})
	r, err := open(t, Options{}, settings, items...)
	if err != nil {
		t.Fatal(err)
	}
	for module, want := range map[string]float64{"a.to_q": 8 / math.Sqrt2, "b.xto_q": 8 / math.Sqrt2, "c": 1 / math.Sqrt2} {
		if got := scales(t, r)[module]; math.Abs(got-want) > 1e-12 {
			t.Errorf("%s: scale %g, want %g", module, got, want)
		}
	}
	var rank *peft.RankError
	if _, err := open(t, Options{}, settingsOf(t, map[string]any{"r": 3}), items...); !errors.As(err, &rank) {
		t.Errorf("another rank: %v", err)
	}
	for name, fields := range map[string]map[string]any{
		"broken pattern": {"r": 2, "rank_pattern": map[string]any{"(": 2}},
		"not a number":   {"r": "two"},
		"refused":        {"r": 2, "use_bdlora": map[string]any{"x": 1}},
		"zero":           {"r": 0},
		"another base":   {"r": 2, "init_lora_weights": "pissa"},
		"another type":   {"r": 2, "peft_type": "LOHA"},
		"of tomorrow":    {"r": 2, "use_what_nobody_knows": true},
	} {
		var bad *MetadataError
		if _, err := open(t, Options{}, settingsOf(t, fields), items...); !errors.As(err, &bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var bad *MetadataError
	if _, err := open(t, Options{}, map[string]string{metadataName: "["}, items...); !errors.As(err, &bad) {
		t.Errorf("no JSON: %v", err)
	}
}

// TestRefusals: what is wrong with a file is named by the tensor.
func TestRefusals(t *testing.T) {
	nan := float32(math.NaN())
	for name, c := range map[string]struct {
		items []item
		want  any
		named string
	}{
		"renamed":      {[]item{it("lora_unet_x.lora_down.weight", 2, 6), it("lora_unet_y.lora_up.weight", 4, 2)}, new(*peft.MissingTensorError), "lora_unet_y.lora_up.weight"},
		"no up":        {[]item{it("lora_unet_x.lora_down.weight", 2, 6)}, new(*peft.MissingTensorError), "lora_unet_x.lora_down.weight"},
		"alpha alone":  {append(pair("lora_unet_x"), it("lora_unet_y.alpha").of(1)), new(*peft.MissingTensorError), "lora_unet_y.alpha"},
		"extra":        {append(pair("lora_unet_x"), it("lora_unet_x.lora_other", 2)), new(*peft.UnknownTensorsError), "lora_unet_x.lora_other"},
		"weights":      {append(pair("lora_unet_x"), it("unet.y.weight", 2, 2)), new(*peft.UnknownTensorsError), "unet.y.weight"},
		"of another":   {append(pair("lora_unet_x"), it("lora_unet_x.rescale", 4)), new(*peft.UnknownTensorsError), "lora_unet_x.rescale"},
		"two ways":     {append(pair("lora_unet_x"), it("lora_unet_x.diff", 4, 6)), new(*peft.DuplicateTensorError), "lora_unet_x.diff"},
		"spelt twice":  {append(pair("unet.x"), it("unet.x.lora_A.weight", 2, 6)), new(*peft.DuplicateTensorError), "unet.x.lora_A.weight"},
		"half a loha":  {[]item{it("lora_unet_x.hada_w1_a", 4, 2), it("lora_unet_x.hada_w1_b", 2, 6), it("lora_unet_x.hada_w2_a", 4, 2)}, new(*peft.MissingTensorError), "hada_w2_b"},
		"one core":     {[]item{it("lora_unet_x.hada_w1_a", 2, 4), it("lora_unet_x.hada_w1_b", 2, 6), it("lora_unet_x.hada_w2_a", 2, 4), it("lora_unet_x.hada_w2_b", 2, 6), it("lora_unet_x.hada_t1", 2, 2, 3, 3)}, new(*peft.MissingTensorError), "hada_t2"},
		"half a lokr":  {[]item{it("lora_unet_x.lokr_w1", 2, 2), it("lora_unet_x.lokr_w2_a", 2, 2)}, new(*peft.MissingTensorError), "lokr_w2_b"},
		"lokr twice":   {[]item{it("lora_unet_x.lokr_w1", 2, 2), it("lora_unet_x.lokr_w1_a", 2, 1), it("lora_unet_x.lokr_w2", 2, 2)}, new(*peft.DuplicateTensorError), "lokr_w1_a"},
		"no second":    {[]item{it("lora_unet_x.lokr_w1", 2, 2)}, new(*peft.MissingTensorError), "lokr_w2"},
		"half a glora": {[]item{it("lora_unet_x.a1.weight", 4, 2)}, new(*peft.MissingTensorError), "a2.weight"},
		"ia3":          {[]item{it("lora_unet_x.on_input").of(0)}, new(*peft.MissingTensorError), "weight"},
		"t-lora":       {[]item{it("lora_unet_x.q_layer.weight", 2, 6), it("lora_unet_x.p_layer.weight", 4, 2), it("lora_unet_x.lambda_layer", 1, 2)}, new(*peft.UnsupportedError), "lambda_layer"},
		"blocks":       {[]item{it("lora_unet_x.oft_blocks", 4, 4)}, new(*ValueError), "oft_blocks"},
		"oft alpha":    {[]item{it("oft_unet_x.oft_blocks", 4, 4, 4)}, new(*peft.MissingTensorError), "alpha"},
		"alphas":       {append(pair("lora_unet_x"), it("lora_unet_x.alpha", 2).of(1)), new(*ValueError), "lora_unet_x.alpha"},
		"nan":          {append(pair("lora_unet_x"), it("lora_unet_x.alpha").of(nan)), new(*peft.NonFiniteError), "lora_unet_x.alpha"},
		"placeholders": {[]item{it("lora_unet_x.lora_down.weight", 0), it("lora_unet_x.lora_up.weight", 0)}, new(*peft.EmptyError), "lora_unet_x.lora_down.weight"},
		"nothing":      {nil, new(*peft.EmptyError), "no tensors"},
	} {
		_, err := open(t, Options{}, nil, c.items...)
		if err == nil || !errors.As(err, c.want) || !strings.Contains(err.Error(), c.named) {
			t.Errorf("%s: %T %v", name, err, err)
		}
	}
	r, err := open(t, Options{AllowUnused: true}, nil, append(pair("lora_unet_x"), it("lora_unet_x.lora_other", 2))...)
	if err != nil || len(r.Edits) != 1 || !strings.Contains(fmt.Sprint(r.Warnings), "lora_other") {
		t.Errorf("left out: %+v, %v", r, err)
	}
}

// TestMixed: one file in several spellings is read key by key.
func TestMixed(t *testing.T) {
	r, err := open(t, Options{}, nil, slices.Concat(pair("lora_unet_a"), pair("lora_te_b"), []item{
		it("unet.c.lora_A.weight", 2, 6), it("unet.c.lora.up.weight", 4, 2),
		it("unet.d.diff", 4, 6), it("unet.d.diff_b", 4), it("unet.e.w_norm", 4), it("unet.e.b_norm", 4),
		it("unet.f.lora_A.weight", 2, 6), it("unet.f.lora_B.weight", 4, 2), it("unet.f.lora_B.bias", 4),
	})...)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range r.Edits {
		got = append(got, e.Part+":"+e.Module+"."+e.Param)
	}
	slices.Sort(got)
	want := "te:b.weight unet:a.weight unet:c.weight unet:d.bias unet:d.weight unet:e.bias unet:e.weight unet:f.bias unet:f.weight"
	if strings.Join(got, " ") != want || r.Type != "LoRA + full + norm + bias" {
		t.Errorf("%s: %v\nwant %s", r.Type, got, want)
	}
}

// TestLostCompanion: of a module's two parameters one is lost.
func TestLostCompanion(t *testing.T) {
	whole := []item{
		it("lora_unet_b_0_n.w_norm", 4), it("lora_unet_b_0_n.b_norm", 4), it("lora_unet_b_1_n.w_norm", 4), it("lora_unet_b_1_n.b_norm", 4),
		it("unet.b.0.f.diff", 4, 6), it("unet.b.0.f.diff_b", 4), it("unet.b.1.f.diff", 4, 6), it("unet.b.1.f.diff_b", 4),
		it("unet.b.0.l.lora_A.weight", 2, 6), it("unet.b.0.l.lora_B.weight", 4, 2), it("unet.b.0.l.lora_B.bias", 4),
		it("unet.b.1.l.lora_A.weight", 2, 6), it("unet.b.1.l.lora_B.weight", 4, 2), it("unet.b.1.l.lora_B.bias", 4),
		it("unet.c.f.diff", 4, 6),                                  // a layer without a bias, that has no like
		it("unet.b.0.f2.diff", 4, 6), it("unet_b_1_f2.diff", 4, 6), // nor have these: f is another
	}
	if _, err := open(t, Options{}, nil, whole...); err != nil {
		t.Fatal(err)
	}
	for _, lost := range []string{"lora_unet_b_1_n.w_norm", "lora_unet_b_0_n.b_norm", "unet.b.1.f.diff", "unet.b.0.f.diff_b", "unet.b.1.l.lora_B.bias"} {
		rest := slices.DeleteFunc(slices.Clone(whole), func(i item) bool { return i.name == lost })
		var missing *peft.MissingTensorError
		if _, err := open(t, Options{}, nil, rest...); !errors.As(err, &missing) || digits.ReplaceAllString(missing.Like, "#") != digits.ReplaceAllString(lost, "#") || missing.Like == lost {
			t.Errorf("%s: %v", lost, err)
		}
	}
	few := []item{it("unet.b.0.f.diff", 4, 6), it("unet.b.0.f.diff_b", 4), it("unet.b.1.f.diff", 4, 6), it("unet.b.2.f.diff", 4, 6)}
	if _, err := open(t, Options{}, nil, few...); err != nil {
		t.Errorf("most without: %v", err)
	}
}

func TestPEFTWeights(t *testing.T) {
	r, err := open(t, Options{}, nil, it("base_model.model.x.lora_A.weight", 2, 6), it("base_model.model.x.lora_B.weight", 4, 2))
	if err != nil || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0].Text, "adapter_config.json") {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestSilent(t *testing.T) {
	r, err := open(t, Options{}, nil, it("lora_unet_x.lora_down.weight", 2, 6), it("lora_unet_x.lora_up.weight", 4, 2).of(0))
	if err != nil || len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0].Text, "not trained") {
		t.Errorf("%+v, %v", r, err)
	}
}

// FuzzOpen: no file makes Open panic, every error is one that callers know, and every
// edit of an accepted file names tensors of it.
func FuzzOpen(f *testing.F) {
	for _, items := range [][]item{
		pair("lora_unet_x"), {it("lora_unet_x.lokr_w1", 2, 2), it("lora_unet_x.lokr_w2", 2, 2)},
		{it("lora_unet_x.oft_blocks", 2, 4, 4), it("lora_unet_x.rescale", 8, 1)},
		{it("unet.x.diff", 4), it("unet.x.diff_b", 4)},
	} {
		b, err := os.ReadFile(write(f, map[string]string{metadataName: `{"unet.r":2}`}, items...))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "a.safetensors")
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		r, err := Open(path, Options{})
		if err != nil {
			if !known(err) {
				t.Errorf("%T: %v", err, err)
			}
			return
		}
		defer func() { _ = r.Close() }()
		for _, e := range r.Edits {
			if len(e.Keys) == 0 || e.Module == "" {
				t.Errorf("%+v", e)
			}
			for _, shape := range [][]int64{{4, 6}, {4}, {4, 6, 3, 3}, {8, 8}, nil} {
				p := transform.Param{Info: safetensors.Info{Name: "w", DType: safetensors.BF16, Shape: shape}}
				if b, err := e.Transform.Bind(p, transform.PEFT); err == nil && b.PackSize() < 0 {
					t.Errorf("%+v: pack %d", e, b.PackSize())
				}
			}
		}
	})
}

func known(err error) bool {
	for _, target := range []any{
		new(*MetadataError), new(*ValueError), new(*peft.UnknownTensorsError), new(*peft.MissingTensorError), new(*peft.DuplicateTensorError),
		new(*peft.EmptyError), new(*peft.WholeModelError), new(*peft.NonFiniteError), new(*peft.RankError), new(*peft.ModuleError), new(*peft.UnsupportedError), new(*safetensors.Error), new(*fs.PathError),
	} {
		if errors.As(err, target) {
			return true
		}
	}
	return false
}

// TestLikes: of modules that differ by their numbers alone, one without what another has
// has lost it. Modules of another kind need not have it.
func TestLikes(t *testing.T) {
	const a, b, other = "lora_unet_blocks_0_q", "lora_unet_blocks_1_q", "lora_unet_blocks_0_k"
	alpha := func(stem string) item { return it(stem + ".alpha").of(1) }
	items := slices.Concat(pair(a), pair(b), pair(other), []item{alpha(a), alpha(b)})
	r, err := Open(write(t, nil, items...), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	path := write(t, nil, items[:len(items)-1]...)
	var missing *peft.MissingTensorError
	if _, err := Open(path, Options{AllowUnused: true}); !errors.As(err, &missing) || !strings.Contains(err.Error(), b+".alpha") || missing.Like != a+".alpha" {
		t.Errorf("got %v", err)
	}
	r, err = Open(path, Options{AllowMissing: true})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(fmt.Sprint(r.Warnings), b+".alpha") {
		t.Errorf("warnings %q", r.Warnings)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// TestContradictions: what tensors contradict each other in is told by both, without a
// base. A factor of a convolution may be flat, its kernel in the core, its ranks two.
func TestContradictions(t *testing.T) {
	const x = "lora_unet_x."
	kron := it(x+"lokr_w1", 2, 2)
	for name, c := range map[string]struct {
		items []item
		named []string // nil: nothing is wrong
	}{
		"ranks":        {[]item{it(x+"lora_down.weight", 2, 6), it(x+"lora_up.weight", 4, 3)}, []string{`lora_up.weight" has shape [4 3]`, `lora_down.weight" [2 6] needs [? 2]`}},
		"exchanged":    {[]item{it(x+"lora_down.weight", 4, 2), it(x+"lora_up.weight", 2, 6)}, []string{`lora_up.weight" has shape [2 6]`, "[4 2] needs [? 4]"}},
		"transposed":   {[]item{it(x+"lora_down.weight", 6, 2), it(x+"lora_up.weight", 2, 4)}, []string{"[2 4]", "[6 2] needs [? 6]"}},
		"flat":         {[]item{it(x+"lora_down.weight", 12), it(x+"lora_up.weight", 4, 2)}, []string{`lora_down.weight" has shape [12], where [? ?] is needed`}},
		"conv":         {[]item{it(x+"lora_down.weight", 2, 6, 3, 3), it(x+"lora_up.weight", 4, 2, 1, 1)}, nil},
		"flat conv":    {[]item{it(x+"lora_down.weight", 2, 54), it(x+"lora_up.weight", 4, 2, 1, 1)}, nil},
		"conv ranks":   {[]item{it(x+"lora_down.weight", 2, 6, 3, 3), it(x+"lora_up.weight", 4, 3, 1, 1)}, []string{`lora_up.weight" has shape [4 3]`, "[2 6 3 3] needs [? 2]"}},
		"kernel of up": {[]item{it(x+"lora_down.weight", 2, 6, 1, 1), it(x+"lora_up.weight", 4, 2, 3, 3)}, []string{"[4 2 3 3]"}},
		"core":         {[]item{it(x+"lora_down.weight", 2, 6, 1, 1), it(x+"lora_mid.weight", 3, 2, 3, 3), it(x+"lora_up.weight", 4, 3, 1, 1)}, nil},
		"core and up":  {[]item{it(x+"lora_down.weight", 2, 6, 1, 1), it(x+"lora_mid.weight", 3, 2, 3, 3), it(x+"lora_up.weight", 4, 2, 1, 1)}, []string{`lora_mid.weight" has shape [3 2 3 3]`, `lora_up.weight" [4 2] needs [2 ? ? ?]`}},
		"core and down": {[]item{it(x+"lora_down.weight", 2, 6, 1, 1), it(x+"lora_mid.weight", 2, 3, 3, 3), it(x+"lora_up.weight", 4, 2, 1, 1)},
			[]string{`lora_down.weight" has shape [2 6]`, `lora_mid.weight" [2 3 3 3] needs [3 ?]`}},
		"magnitude":        {[]item{it("unet.x.lora_A.weight", 2, 6), it("unet.x.lora_B.weight", 4, 2), it("unet.x.lora_magnitude_vector", 6)}, []string{`lora_magnitude_vector" has shape [6]`, `lora_B.weight" [4 2] needs [4]`}},
		"loha of ranks":    {[]item{it(x+"hada_w1_a", 4, 2), it(x+"hada_w1_b", 2, 6), it(x+"hada_w2_a", 4, 3), it(x+"hada_w2_b", 3, 6)}, nil},
		"half a loha":      {[]item{it(x+"hada_w1_a", 4, 2), it(x+"hada_w1_b", 3, 6), it(x+"hada_w2_a", 4, 2), it(x+"hada_w2_b", 2, 6)}, []string{`hada_w1_b" has shape [3 6]`, `hada_w1_a" [4 2] needs [2 ?]`}},
		"halves of a loha": {[]item{it(x+"hada_w1_a", 4, 2), it(x+"hada_w1_b", 2, 6), it(x+"hada_w2_a", 4, 2), it(x+"hada_w2_b", 2, 7)}, []string{`hada_w2_b" has shape [2 7]`, `hada_w1_b" [2 6] needs [? 6]`}},
		"cores of a loha":  {[]item{it(x+"hada_w1_a", 2, 4), it(x+"hada_w1_b", 2, 6), it(x+"hada_t1", 2, 2, 3, 3), it(x+"hada_w2_a", 2, 4), it(x+"hada_w2_b", 2, 6), it(x+"hada_t2", 2, 2, 3, 3)}, nil},
		"core of a loha":   {[]item{it(x+"hada_w1_a", 2, 4), it(x+"hada_w1_b", 2, 6), it(x+"hada_t1", 2, 3, 3, 3), it(x+"hada_w2_a", 2, 4), it(x+"hada_w2_b", 2, 6), it(x+"hada_t2", 2, 2, 3, 3)}, []string{`hada_w1_b" has shape [2 6]`, "[2 3 3 3] needs [3 ?]"}},
		"lokr":             {[]item{kron, it(x+"lokr_w2_a", 2, 2), it(x+"lokr_w2_b", 3, 3)}, []string{`lokr_w2_b" has shape [3 3]`, `lokr_w2_a" [2 2] needs [2`}},
		"core of a lokr":   {[]item{kron, it(x+"lokr_t2", 2, 2, 3, 3), it(x+"lokr_w2_a", 2, 2), it(x+"lokr_w2_b", 2, 3)}, nil},
		"glora":            {[]item{it(x+"a1.weight", 6, 2), it(x+"a2.weight", 2, 6), it(x+"b1.weight", 4, 2), it(x+"b2.weight", 3, 6)}, []string{`b2.weight" has shape [3 6]`, `b1.weight" [4 2] needs [2 ?]`}},
		"glora's inputs":   {[]item{it(x+"a1.weight", 6, 2), it(x+"a2.weight", 3, 6), it(x+"b1.weight", 4, 2), it(x+"b2.weight", 2, 6)}, []string{`a2.weight" has shape [3 6]`, `a1.weight" [6 2] needs [2 6]`}},
	} {
		_, err := open(t, Options{}, nil, c.items...)
		var module *peft.ModuleError
		if (err != nil) != (c.named != nil) || err != nil && !errors.As(err, &module) {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range c.named {
			if err != nil && !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v lacks %s", name, err, want)
			}
		}
	}
}
