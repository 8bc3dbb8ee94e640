package resolve

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// llavaDisk is a LLaVA checkpoint in the style of the hub, llavaNew the same as
// releases from 4.52 hold it in memory and some tools save it.
var llavaDisk = []string{
	"language_model.model.embed_tokens.weight",
	"language_model.model.layers.0.self_attn.q_proj.weight",
	"language_model.model.layers.1.self_attn.q_proj.weight",
	"language_model.model.norm.weight",
	"language_model.lm_head.weight",
	"multi_modal_projector.linear_1.weight",
	"vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight",
	"vision_tower.vision_model.encoder.layers.1.self_attn.q_proj.weight",
	"vision_tower.vision_model.embeddings.patch_embedding.weight",
}

var llavaNew = []string{
	"model.language_model.embed_tokens.weight",
	"model.language_model.layers.0.self_attn.q_proj.weight",
	"model.language_model.layers.1.self_attn.q_proj.weight",
	"model.language_model.norm.weight",
	"lm_head.weight",
	"model.multi_modal_projector.linear_1.weight",
	"model.vision_tower.vision_model.encoder.layers.0.self_attn.q_proj.weight",
	"model.vision_tower.vision_model.encoder.layers.1.self_attn.q_proj.weight",
	"model.vision_tower.vision_model.embeddings.patch_embedding.weight",
}

var (
	llavaStyles = [][]string{llavaDisk, llavaNew}
	// qwen2VLDisk and qwen2VLNew are Qwen2-VL before and after 4.52.
	qwen2VLDisk = []string{"model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight", "model.norm.weight", "lm_head.weight", "visual.blocks.0.attn.qkv.weight", "visual.merger.mlp.0.weight"}
	qwen2VLNew  = []string{"model.language_model.embed_tokens.weight", "model.language_model.layers.0.self_attn.q_proj.weight", "model.language_model.norm.weight", "lm_head.weight", "model.visual.blocks.0.attn.qkv.weight", "model.visual.merger.mlp.0.weight"}
	mllamaDisk  = []string{"language_model.model.layers.0.self_attn.q_proj.weight", "language_model.model.layers.1.cross_attn.q_proj.weight", "language_model.lm_head.weight", "vision_model.transformer.layers.0.self_attn.q_proj.weight", "multi_modal_projector.weight"}
	mllamaNew   = []string{"model.language_model.layers.0.self_attn.q_proj.weight", "model.language_model.layers.1.cross_attn.q_proj.weight", "lm_head.weight", "model.vision_model.transformer.layers.0.self_attn.q_proj.weight", "model.multi_modal_projector.weight"}
	vitDisk     = []string{"vit.encoder.layer.0.attention.attention.query.weight", "vit.encoder.layer.0.attention.output.dense.weight", "vit.encoder.layer.0.intermediate.dense.weight", "vit.encoder.layer.0.output.dense.weight", "vit.embeddings.patch_embeddings.projection.weight", "classifier.weight"}
	vitNew      = []string{"vit.layers.0.attention.q_proj.weight", "vit.layers.0.attention.o_proj.weight", "vit.layers.0.mlp.fc1.weight", "vit.layers.0.mlp.fc2.weight", "vit.embeddings.patch_embeddings.projection.weight", "classifier.weight"}
)

// TestStyles asks each checkpoint style for the names of each style: an adapter
// and a base may come from different releases.
func TestStyles(t *testing.T) {
	cases := []struct {
		kind, class string
		styles      [][]string
	}{
		{"llava", "LlavaForConditionalGeneration", append(llavaStyles, dropVisionModel(llavaNew))},
		{"llava_next", "LlavaNextForConditionalGeneration", llavaStyles},
		{"llava_onevision", "LlavaOnevisionForConditionalGeneration", llavaStyles},
		{"paligemma", "PaliGemmaForConditionalGeneration", llavaStyles},
		{"gemma3", "Gemma3ForConditionalGeneration", llavaStyles},
		{"aya_vision", "AyaVisionForConditionalGeneration", llavaStyles},
		{"mistral3", "Mistral3ForConditionalGeneration", llavaStyles},
		{"internvl", "InternVLForConditionalGeneration", llavaStyles},
		{"mllama", "MllamaForConditionalGeneration", [][]string{mllamaDisk, mllamaNew}},
		{"qwen2_vl", "Qwen2VLForConditionalGeneration", [][]string{qwen2VLDisk, qwen2VLNew}},
		{"qwen2_5_vl", "Qwen2_5_VLForConditionalGeneration", [][]string{qwen2VLDisk, qwen2VLNew}},
		{"vit", "ViTForImageClassification", [][]string{vitDisk, vitNew}},
	}
	for _, c := range cases {
		for i, disk := range c.styles {
			x := New(Base{Names: disk, ModelType: c.kind, Architectures: []string{c.class}})
			for j, names := range c.styles {
				for k, name := range names {
					dot := strings.LastIndexByte(name, '.')
					m, err := x.Find(name[:dot], name[dot+1:])
					if err != nil || m.Name != disk[k] || m.Tied {
						t.Errorf("%s: style %d asked for %s of style %d: got %+v, %v; want %s", c.kind, i, name, j, m, err, disk[k])
					}
				}
			}
		}
	}
}

// dropVisionModel is what releases from 5 on call the parts of CLIP in memory.
func dropVisionModel(names []string) []string {
	var out []string
	for _, n := range names {
		out = append(out, strings.Replace(n, "vision_model.", "", 1))
	}
	return out
}

func TestFind(t *testing.T) {
	llama := []string{"model.embed_tokens.weight", "model.layers.0.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.weight", "model.norm.weight"}
	bare := []string{"embed_tokens.weight", "layers.0.mlp.up_proj.weight", "layers.1.mlp.up_proj.weight", "norm.weight"}
	config := func(kv ...any) func(string) any {
		return func(p string) any {
			for i := 0; i < len(kv); i += 2 {
				if kv[i] == p {
					return kv[i+1]
				}
			}
			return nil
		}
	}
	cases := []struct {
		name          string
		base          Base
		module, param string
		want          Match // Name "" wants an error
		candidates    int   // with an error: 0 not found, else ambiguous
	}{
		{"exact", Base{Names: llama}, "model.norm", "weight", Match{Name: "model.norm.weight", How: "exact"}, 0},
		{"bare adapter", Base{Names: llama, ModelType: "llama"}, "layers.1.mlp.up_proj", "weight", Match{Name: "model.layers.1.mlp.up_proj.weight", How: "prefix"}, 0},
		{"bare base", Base{Names: bare, ModelType: "llama", Architectures: []string{"LlamaModel"}}, "model.layers.1.mlp.up_proj", "weight", Match{Name: "layers.1.mlp.up_proj.weight", How: "prefix"}, 0},
		{"question answering class", Base{Names: llama, ModelType: "llama"}, "transformer.layers.1.mlp.up_proj", "weight", Match{Name: "model.layers.1.mlp.up_proj.weight", How: "prefix"}, 0},
		{"bare without config", Base{Names: llama}, "layers.0.mlp.up_proj", "weight", Match{Name: "model.layers.0.mlp.up_proj.weight", How: "prefix"}, 0},
		{"unknown wrapper", Base{Names: []string{"backbone.layers.0.mlp.up_proj.weight"}}, "transformer.layers.0.mlp.up_proj", "weight", Match{Name: "backbone.layers.0.mlp.up_proj.weight", How: "suffix"}, 0},
		{"layer that the base lacks", Base{Names: llama, ModelType: "llama"}, "model.layers.2.mlp.up_proj", "weight", Match{}, 0},
		{"no suffix across a layer number", Base{Names: []string{"model.layers.0.mlp.up_proj.weight"}}, "model.layers.7.mlp.up_proj", "weight", Match{}, 0},
		{"no suffix out of a tower", Base{Names: []string{"model.layers.0.self_attn.q_proj.weight"}}, "vision_tower.layers.0.self_attn.q_proj", "weight", Match{}, 0},
		{"no suffix into a tower", Base{Names: []string{"vision_tower.layers.0.self_attn.q_proj.weight"}}, "layers.0.self_attn.q_proj", "weight", Match{}, 0},
		{"two wrappers fit", Base{Names: []string{"model.h.0.attn.weight", "base_model.h.0.attn.weight"}}, "h.0.attn", "weight", Match{}, 2},
		{"language model of a wrapper", Base{Names: bare, ModelType: "llama", Architectures: []string{"LlamaModel"}}, "model.language_model.layers.1.mlp.up_proj", "weight", Match{Name: "layers.1.mlp.up_proj.weight", How: "text"}, 0},
		{"no text model of another component", Base{Names: bare, ModelType: "llama", Architectures: []string{"LlamaModel"}}, "image_encoder.text_model.layers.1.mlp.up_proj", "weight", Match{}, 0},
		{"text adapter on a vision model", Base{Names: llavaDisk, ModelType: "llava", Architectures: []string{"LlavaForConditionalGeneration"}}, "model.layers.1.self_attn.q_proj", "weight", Match{Name: "language_model.model.layers.1.self_attn.q_proj.weight", How: "text"}, 0},
		{"its head", Base{Names: llavaDisk, ModelType: "llava", Architectures: []string{"LlavaForConditionalGeneration"}}, "lm_head", "weight", Match{Name: "language_model.lm_head.weight", How: "renamed"}, 0},
		{"text adapter on a vision model in memory's style", Base{Names: llavaNew, ModelType: "llava", Architectures: []string{"LlavaForConditionalGeneration"}}, "model.layers.1.self_attn.q_proj", "weight", Match{Name: "model.language_model.layers.1.self_attn.q_proj.weight", How: "text"}, 0},
		{"vision model's adapter on a text model", Base{Names: llama, ModelType: "llama"}, "model.language_model.layers.1.mlp.up_proj", "weight", Match{Name: "model.layers.1.mlp.up_proj.weight", How: "text"}, 0},
		{"the same, older", Base{Names: llama, ModelType: "llama"}, "language_model.model.layers.1.mlp.up_proj", "weight", Match{Name: "model.layers.1.mlp.up_proj.weight", How: "text"}, 0},
		{"its tower", Base{Names: llama, ModelType: "llama"}, "model.vision_tower.layers.1.mlp.up_proj", "weight", Match{}, 0},
		{"text adapter on code not in the tables", Base{Names: llavaDisk, ModelType: "mine"}, "model.layers.1.self_attn.q_proj", "weight", Match{Name: "language_model.model.layers.1.self_attn.q_proj.weight", How: "text"}, 0},
		{"clipped linear on disk", Base{Names: []string{"model.vision_tower.layers.0.q_proj.linear.weight"}}, "model.vision_tower.layers.0.q_proj", "weight", Match{Name: "model.vision_tower.layers.0.q_proj.linear.weight", How: "renamed"}, 0},
		{"clipped linear in memory", Base{Names: []string{"model.vision_tower.layers.0.q_proj.weight"}}, "model.vision_tower.layers.0.q_proj.linear", "weight", Match{Name: "model.vision_tower.layers.0.q_proj.weight", How: "renamed"}, 0},
		{"tied head", Base{Names: llama, ModelType: "llama", Config: config("tie_word_embeddings", true)}, "lm_head", "weight", Match{Name: "model.embed_tokens.weight", How: "tied", Tied: true, Own: "lm_head.weight"}, 0},
		{"untied head", Base{Names: llama, ModelType: "llama", Config: config("tie_word_embeddings", false)}, "lm_head", "weight", Match{}, 0},
		{"head tied by default", Base{Names: []string{"model.embed_tokens.weight"}, ModelType: "gemma2"}, "lm_head", "weight", Match{Name: "model.embed_tokens.weight", How: "tied", Tied: true, Own: "lm_head.weight"}, 0},
		{"tied by the text config", Base{Names: llavaNew[:4], ModelType: "llava", Config: config("text_config.tie_word_embeddings", true)}, "lm_head", "weight", Match{Name: "model.language_model.embed_tokens.weight", How: "tied", Tied: true, Own: "lm_head.weight"}, 0},
		{"head of its own on disk", Base{Names: append(llama, "lm_head.weight"), ModelType: "llama", Config: config("tie_word_embeddings", true)}, "lm_head", "weight", Match{Name: "lm_head.weight", How: "exact"}, 0},
		{"tied in code not in the tables", Base{Names: llama, ModelType: "mine", Config: config("tie_word_embeddings", true)}, "lm_head", "weight", Match{Name: "model.embed_tokens.weight", How: "tied", Tied: true, Own: "lm_head.weight"}, 0},
		{"GPT-NeoX head", Base{Names: []string{"gpt_neox.embed_in.weight", "embed_out.weight"}, ModelType: "gpt_neox", Architectures: []string{"GPTNeoXForCausalLM"}}, "lm_head", "weight", Match{Name: "embed_out.weight", How: "renamed"}, 0},
		{"GPT-NeoX tied", Base{Names: []string{"gpt_neox.embed_in.weight"}, ModelType: "gpt_neox", Architectures: []string{"GPTNeoXForCausalLM"}, Config: config("tie_word_embeddings", true)}, "lm_head", "weight", Match{Name: "gpt_neox.embed_in.weight", How: "tied", Tied: true, Own: "embed_out.weight"}, 0},
		{"T5 shared", Base{Names: []string{"shared.weight"}, ModelType: "t5"}, "decoder.embed_tokens", "weight", Match{Name: "shared.weight", How: "tied", Tied: true, Own: "decoder.embed_tokens.weight"}, 0},
		{"old LayerNorm spelling", Base{Names: []string{"bert.embeddings.LayerNorm.gamma"}, ModelType: "bert"}, "bert.embeddings.LayerNorm", "weight", Match{Name: "bert.embeddings.LayerNorm.gamma", How: "renamed"}, 0},
		{"parameter of no module", Base{Names: llavaDisk}, "", "logit_scale", Match{}, 0},
	}
	for _, c := range cases {
		m, err := New(c.base).Find(c.module, c.param)
		var missing *NotFoundError
		var several *AmbiguousError
		switch {
		case c.want.Name != "":
			if err != nil || m != c.want {
				t.Errorf("%s: got %+v, %v; want %+v", c.name, m, err, c.want)
			}
		case c.candidates == 0:
			if !errors.As(err, &missing) || missing.Module != c.module || len(missing.Nearest) > 3 {
				t.Errorf("%s: got %+v, %v; want not found", c.name, m, err)
			}
		default:
			if !errors.As(err, &several) || len(several.Candidates) != c.candidates {
				t.Errorf("%s: got %+v, %v; want %d candidates", c.name, m, err, c.candidates)
			}
		}
	}
}

func TestNearest(t *testing.T) {
	x := New(Base{Names: []string{"model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.weight", "model.layers.0.mlp.up_proj.weight", "lm_head.weight", "model.norm.weight"}})
	_, err := x.Find("model.layers.0.self_attn.qproj", "weight")
	var missing *NotFoundError
	if !errors.As(err, &missing) || len(missing.Nearest) == 0 || missing.Nearest[0] != "model.layers.0.self_attn.q_proj.weight" {
		t.Errorf("got %v", err)
	}
}

func TestConverted(t *testing.T) {
	x := New(Base{
		Names: []string{
			"model.layers.0.mlp.experts.0.gate_proj.weight", "model.layers.0.mlp.experts.0.up_proj.weight", "model.layers.0.mlp.experts.0.down_proj.weight",
			"model.layers.0.mlp.experts.1.gate_proj.weight", "model.layers.0.mlp.experts.1.up_proj.weight", "model.layers.0.mlp.experts.1.down_proj.weight",
		},
		ModelType: "qwen3_moe", Architectures: []string{"Qwen3MoeForCausalLM"},
	})
	_, err := x.Find("model.layers.0.mlp.experts", "gate_up_proj")
	var c *ConvertedError
	if !errors.As(err, &c) || c.Rows() || len(c.Sources) != 4 || !strings.Contains(err.Error(), "cannot be taken through") {
		t.Errorf("got %v", err)
	}
	if m, err := x.Find("model.layers.0.mlp.experts.1.up_proj", "weight"); err != nil || m.How != "exact" {
		t.Errorf("an expert by its disk name: got %+v, %v", m, err)
	}
	x = New(Base{Names: []string{"encoder.layers.0.attn.Wqkv.weight"}, ModelType: "nomic_bert", Architectures: []string{"NomicBertModel"}})
	_, err = x.Find("layers.0.self_attn.k_proj", "weight")
	if c = nil; !errors.As(err, &c) || !c.Rows() || c.Part != 1 || c.Parts != 3 || c.Sources[0] != "encoder.layers.0.attn.Wqkv.weight" {
		t.Errorf("rows of a fused tensor: got %v", err)
	}
	_, err = x.Find("encoder.layers.0.attn.Wqkv.k_proj", "weight")
	if errors.As(err, &c) {
		t.Errorf("a name of no class is no conversion: %v", err)
	}
}

func TestTiedTo(t *testing.T) {
	cases := []struct {
		base Base
		name string
		want []string
	}{
		{Base{Names: []string{"transformer.wte.weight"}, ModelType: "gpt2", Architectures: []string{"GPT2LMHeadModel"}}, "transformer.wte.weight", []string{"lm_head.weight"}},
		{Base{Names: []string{"wte.weight"}, ModelType: "gpt2", Architectures: []string{"GPT2LMHeadModel"}}, "wte.weight", []string{"lm_head.weight"}},
		{Base{Names: []string{"transformer.wte.weight", "lm_head.weight"}, ModelType: "gpt2", Architectures: []string{"GPT2LMHeadModel"}}, "lm_head.weight", []string{"transformer.wte.weight"}},
		{Base{Names: []string{"shared.weight"}, ModelType: "t5", Architectures: []string{"T5ForConditionalGeneration"}}, "shared.weight", []string{"decoder.embed_tokens.weight", "encoder.embed_tokens.weight", "lm_head.weight"}},
		{Base{Names: []string{"model.embed_tokens.weight"}, ModelType: "llama", Architectures: []string{"LlamaForCausalLM"}}, "model.embed_tokens.weight", nil},
		{Base{Names: llavaDisk[:4], ModelType: "llava", Architectures: []string{"LlavaForConditionalGeneration"}, Config: func(p string) any {
			if p == "tie_word_embeddings" {
				return true
			}
			return nil
		}}, llavaDisk[0], []string{"language_model.lm_head.weight"}},
		{Base{Names: []string{"model.norm.weight"}, ModelType: "llama"}, "nothing.weight", nil},
	}
	for _, c := range cases {
		if got := New(c.base).TiedTo(c.name); !slices.Equal(got, c.want) {
			t.Errorf("%s: TiedTo(%s) = %v, want %v", c.base.ModelType, c.name, got, c.want)
		}
	}
}

func TestConv1D(t *testing.T) {
	cases := []struct {
		kind, class, module string
		want                bool
	}{
		{"gpt2", "GPT2LMHeadModel", "transformer.h.0.attn.c_attn", true},
		{"gpt2", "GPT2LMHeadModel", "transformer.h.0.mlp.c_proj", true},
		{"gpt2", "GPT2LMHeadModel", "lm_head", false},
		{"gpt2", "", "h.0.mlp.c_fc", true},
		{"openai-gpt", "", "transformer.h.0.attn.c_attn", true},
		{"decision_transformer", "", "encoder.h.0.attn.c_attn", true},
		{"imagegpt", "", "transformer.h.0.mlp.c_fc", true},
		{"gpt_bigcode", "", "transformer.h.0.attn.c_attn", false},
		{"llama", "", "model.layers.0.mlp.up_proj", false},
		{"", "", "transformer.h.0.attn.c_attn", false},
	}
	for _, c := range cases {
		x := New(Base{Names: []string{"x.weight"}, ModelType: c.kind, Architectures: []string{c.class}})
		if got := x.Conv1D(c.module); got != c.want {
			t.Errorf("%s: Conv1D(%s) = %v", c.kind, c.module, got)
		}
	}
}

func TestTaskClass(t *testing.T) {
	cases := [][3]string{
		{"bert", "SEQ_CLS", "BertForSequenceClassification"},
		{"llama", "CAUSAL_LM", "LlamaForCausalLM"},
		{"t5", "SEQ_2_SEQ_LM", "T5ForConditionalGeneration"},
		{"gpt2", "TOKEN_CLS", "GPT2ForTokenClassification"},
		{"roberta", "QUESTION_ANS", "RobertaForQuestionAnswering"},
		{"vit", "FEATURE_EXTRACTION", "ViTModel"},
		{"vit", "CAUSAL_LM", ""},
		{"mine", "CAUSAL_LM", ""},
	}
	for _, c := range cases {
		got, ok := TaskClass(c[0], c[1])
		if got != c[2] || ok != (c[2] != "") {
			t.Errorf("TaskClass(%s, %s) = %q, %v", c[0], c[1], got, ok)
		}
	}
	if Version() != "transformers 5.23.0" {
		t.Errorf("Version() = %q", Version())
	}
}
