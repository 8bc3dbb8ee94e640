package diffusion

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"lorafs/lazymerge/resolve"
)

// tensors makes weights of modules, "module rows×cols".
func tensors(modules ...string) []Tensor {
	var list []Tensor
	for _, m := range modules {
		name, size, _ := strings.Cut(m, " ")
		rows, cols := int64(8), int64(8)
		if size != "" {
			if _, err := fmt.Sscanf(size, "%d×%d", &rows, &cols); err != nil {
				panic(err)
			}
		}
		list = append(list, Tensor{name + ".weight", []int64{rows, cols}}, Tensor{name + ".bias", []int64{rows}})
	}
	return list
}

func dir(name string, modules ...string) Component {
	return Component{Dir: name, Tensors: tensors(modules...)}
}

// described is places as "component tensor rows from/whole".
func described(places []Place) string {
	var parts []string
	for _, p := range places {
		s := fmt.Sprintf("%d %s", p.Component, p.Tensor)
		if p.Rows.Count > 0 {
			s += fmt.Sprintf(" [%d,%d) is %d of %d", p.Rows.First, p.Rows.First+p.Rows.Count, p.Rows.From, p.Rows.Whole)
		}
		if p.Turned {
			s += " turned"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, "; ")
}

var pipeline = []Component{
	dir("text_encoder", "encoder.layers.0.self_attn.q_proj"),
	dir("text_encoder_2", "text_model.encoder.layers.0.self_attn.q_proj"),
	dir("unet", "conv_in", "down_blocks.0.resnets.0.norm1", "down_blocks.0.resnets.1.norm1", "down_blocks.0.downsamplers.0.conv",
		"down_blocks.1.attentions.0.proj_in", "mid_block.resnets.1.conv_shortcut", "up_blocks.0.upsamplers.0.conv", "up_blocks.0.attentions.0.proj_in",
		"up_blocks.1.upsamplers.0.conv", "up_blocks.2.resnets.2.time_emb_proj", "time_embedding.linear_1"),
	dir("vae", "conv_in"),
}

var blocks = Component{Tensors: append(append(append(
	tensors("model.diffusion_model.input_blocks.0.0", "model.diffusion_model.input_blocks.1.0.in_layers.0", "model.diffusion_model.input_blocks.2.0.in_layers.0",
		"model.diffusion_model.input_blocks.3.0.op", "model.diffusion_model.input_blocks.4.1.proj_in", "model.diffusion_model.middle_block.2.skip_connection",
		"model.diffusion_model.output_blocks.2.2.conv", "model.diffusion_model.output_blocks.8.0.emb_layers.1", "model.diffusion_model.output_blocks.5.1.conv"),
	tensors("conditioner.embedders.0.transformer.text_model.encoder.layers.0.mlp.fc1")...),
	tensors("conditioner.embedders.1.model.transformer.resblocks.0.mlp.c_fc", "conditioner.embedders.1.model.transformer.resblocks.0.attn.out_proj")...),
	Tensor{"conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_weight", []int64{24, 8}},
	Tensor{"conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_bias", []int64{24}},
	Tensor{"conditioner.embedders.1.model.text_projection", []int64{8, 8}},
	Tensor{"first_stage_model.conv", []int64{8, 8}},
)}

var flux = Component{Tensors: append(tensors("double_blocks.0.img_attn.qkv 24×8", "single_blocks.0.linear1 56×8", "single_blocks.0.linear2 8×40",
	"final_layer.adaLN_modulation.1 16×8", "double_blocks.0.img_mod.lin 48×8"), Tensor{"double_blocks.0.img_attn.norm.query_norm.scale", []int64{8}})}

var fluxWhole = Component{Tensors: tensors("model.diffusion_model.double_blocks.0.img_attn.qkv 24×8",
	"text_encoders.clip_l.transformer.text_model.encoder.layers.0.mlp.fc1", "text_encoders.t5xxl.transformer.encoder.block.0.layer.0.SelfAttention.q")}

var hunyuan = Component{Tensors: tensors("txt_in.individual_token_refiner", "txt_in.individual_token_refiner.blocks.0.mlp.fc1", "double_blocks.0.img_attn_qkv 24×8")}

var hunyuanPipeline = dir("transformer", "context_embedder.token_refiner", "context_embedder.token_refiner.refiner_blocks.0.attn.to_out.0")

var fluxPipeline = []Component{
	dir("text_encoder_2", "encoder.block.0.layer.0.SelfAttention.q"),
	dir("transformer", "transformer_blocks.0.attn.to_q", "transformer_blocks.0.attn.to_k", "transformer_blocks.0.attn.to_v",
		"single_transformer_blocks.0.attn.to_q", "single_transformer_blocks.0.attn.to_k", "single_transformer_blocks.0.attn.to_v",
		"single_transformer_blocks.0.proj_mlp 32×8", "norm_out.linear 16×8"),
	dir("transformer_2", "transformer_blocks.0.attn.to_q"),
}

func TestFind(t *testing.T) {
	for _, c := range []struct {
		base                []Component
		part, module, param string
		flat                bool
		want                string
	}{
		{pipeline, "unet", "down_blocks.1.attentions.0.proj_in", "weight", false, "2 down_blocks.1.attentions.0.proj_in.weight"},
		{pipeline, "unet", "down_blocks_1_attentions_0_proj_in", "bias", true, "2 down_blocks.1.attentions.0.proj_in.bias"},
		{pipeline, "unet", "input_blocks_4_1_proj_in", "weight", true, "2 down_blocks.1.attentions.0.proj_in.weight"},
		{pipeline, "diffusion_model", "input_blocks.3.0.op", "weight", false, "2 down_blocks.0.downsamplers.0.conv.weight"},
		{pipeline, "unet", "output_blocks_2_2_conv", "weight", true, "2 up_blocks.0.upsamplers.0.conv.weight"},
		{pipeline, "unet", "output_blocks_5_1_conv", "weight", true, "2 up_blocks.1.upsamplers.0.conv.weight"},
		{pipeline, "unet", "output_blocks_8_0_emb_layers_1", "weight", true, "2 up_blocks.2.resnets.2.time_emb_proj.weight"},
		{pipeline, "unet", "middle_block_2_skip_connection", "weight", true, "2 mid_block.resnets.1.conv_shortcut.weight"},
		{pipeline, "unet", "time_embed_0", "weight", true, "2 time_embedding.linear_1.weight"},
		{pipeline, "", "conv_in", "weight", false, "2 conv_in.weight"}, // the denoiser's, not the autoencoder's
		{pipeline, "te1", "text_model_encoder_layers_0_self_attn_q_proj", "weight", true, "0 encoder.layers.0.self_attn.q_proj.weight"},
		{pipeline, "te2", "text_model_encoder_layers_0_self_attn_q_proj", "weight", true, "1 text_model.encoder.layers.0.self_attn.q_proj.weight"},
		{pipeline, "text_encoder_2", "encoder.layers.0.self_attn.q_proj", "weight", false, "1 text_model.encoder.layers.0.self_attn.q_proj.weight"},
		{[]Component{blocks}, "unet", "down_blocks_1_attentions_0_proj_in", "weight", true, "0 model.diffusion_model.input_blocks.4.1.proj_in.weight"},
		{[]Component{blocks}, "unet", "mid_block.resnets.1.conv_shortcut", "weight", false, "0 model.diffusion_model.middle_block.2.skip_connection.weight"},
		{[]Component{blocks}, "unet", "down_blocks.0.downsamplers.0.conv", "weight", false, "0 model.diffusion_model.input_blocks.3.0.op.weight"},
		{[]Component{blocks}, "unet", "up_blocks.0.upsamplers.0.conv", "weight", false, "0 model.diffusion_model.output_blocks.2.2.conv.weight"},
		{[]Component{blocks}, "te1", "text_model_encoder_layers_0_mlp_fc1", "weight", true, "0 conditioner.embedders.0.transformer.text_model.encoder.layers.0.mlp.fc1.weight"},
		{[]Component{blocks}, "te2", "text_model_encoder_layers_0_mlp_fc1", "weight", true, "0 conditioner.embedders.1.model.transformer.resblocks.0.mlp.c_fc.weight"},
		{[]Component{blocks}, "text_encoder_2", "text_model.encoder.layers.0.self_attn.k_proj", "weight", false,
			"0 conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_weight [8,16) is 0 of 8"},
		{[]Component{blocks}, "te2", "text_model_encoder_layers_0_self_attn_v_proj", "bias", true,
			"0 conditioner.embedders.1.model.transformer.resblocks.0.attn.in_proj_bias [16,24) is 0 of 8"},
		{[]Component{hunyuan}, "diffusion_model", "double_blocks.0.img_attn.qkv", "weight", false, "0 double_blocks.0.img_attn_qkv.weight"},
		{[]Component{hunyuan}, "unet", "double_blocks_0_img_attn_qkv", "weight", true, "0 double_blocks.0.img_attn_qkv.weight"},
		{[]Component{hunyuan}, "diffusion_model", "txt_in.individual_token_refiner.blocks.0.mlp.0", "weight", false, "0 txt_in.individual_token_refiner.blocks.0.mlp.fc1.weight"},
		{[]Component{hunyuanPipeline}, "diffusion_model", "txt_in.individual_token_refiner.blocks.0.self_attn.proj", "weight", false,
			"0 context_embedder.token_refiner.refiner_blocks.0.attn.to_out.0.weight"},
		{[]Component{blocks}, "te2", "text_projection", "weight", true, "0 conditioner.embedders.1.model.text_projection turned"},
		{[]Component{fluxWhole}, "text_encoder_2", "encoder.block.0.layer.0.SelfAttention.q", "weight", false, "0 text_encoders.t5xxl.transformer.encoder.block.0.layer.0.SelfAttention.q.weight"},
		{[]Component{flux}, "transformer", "transformer_blocks.0.attn.to_k", "weight", false, "0 double_blocks.0.img_attn.qkv.weight [8,16) is 0 of 8"},
		{[]Component{flux}, "transformer", "single_transformer_blocks.0.proj_mlp", "bias", false, "0 single_blocks.0.linear1.bias [24,56) is 0 of 32"},
		{[]Component{flux}, "", "single_blocks.0.qkv", "weight", false, "0 single_blocks.0.linear1.weight [0,24) is 0 of 24"},
		{[]Component{flux}, "transformer", "norm_out.linear", "weight", false,
			"0 final_layer.adaLN_modulation.1.weight [8,16) is 0 of 16; 0 final_layer.adaLN_modulation.1.weight [0,8) is 8 of 16"},
		{[]Component{flux}, "transformer", "transformer_blocks.0.norm1.linear", "weight", false, "0 double_blocks.0.img_mod.lin.weight"},
		{[]Component{flux}, "transformer", "transformer_blocks.0.attn.norm_q", "weight", false, "0 double_blocks.0.img_attn.norm.query_norm.scale"},
		{fluxPipeline, "unet", "single_blocks_0_linear1", "weight", true,
			"1 single_transformer_blocks.0.attn.to_q.weight [0,8) is 0 of 56; 1 single_transformer_blocks.0.attn.to_k.weight [0,8) is 8 of 56; " +
				"1 single_transformer_blocks.0.attn.to_v.weight [0,8) is 16 of 56; 1 single_transformer_blocks.0.proj_mlp.weight [0,32) is 24 of 56"},
		{fluxPipeline, "transformer_2", "transformer_blocks.0.attn.to_q", "weight", false, "2 transformer_blocks.0.attn.to_q.weight"},
		{fluxPipeline, "te3", "encoder_block_0_layer_0_SelfAttention_q", "weight", true, "0 encoder.block.0.layer.0.SelfAttention.q.weight"},
	} {
		places, err := New(c.base).Find(c.part, c.module, c.param, c.flat)
		if got := described(places); err != nil || got != c.want {
			t.Errorf("%s:%s.%s: %s, %v\nwant %s", c.part, c.module, c.param, got, err, c.want)
		}
	}
}

func TestNotFound(t *testing.T) {
	for _, c := range []struct {
		base         []Component
		part, module string
		flat         bool
		nearest      string
	}{
		{pipeline, "unet", "down_blocks_1_attentions_0_proj_im", true, "down_blocks.1.attentions.0.proj_in.weight"},
		{pipeline, "unet", "down_blocks.1.attentions.1.proj_in", false, "down_blocks.1.attentions.0.proj_in.weight"},
		{pipeline, "te3", "encoder_layers_0_self_attn_q_proj", true, ""},
		{pipeline, "transformer_2", "conv_in", false, ""},
		{[]Component{blocks}, "unet", "down_blocks_5_attentions_0_proj_in", true, ""},
		{[]Component{blocks}, "vae", "conv", false, ""},
	} {
		_, err := New(c.base).Find(c.part, c.module, "weight", c.flat)
		var e *resolve.NotFoundError
		if !errors.As(err, &e) || c.nearest != "" && (len(e.Nearest) == 0 || e.Nearest[0] != c.nearest) {
			t.Errorf("%s:%s: %v", c.part, c.module, err)
		}
	}
}

func TestAmbiguous(t *testing.T) {
	x := New([]Component{dir("unet", "a_b.c", "a.b_c", "d")})
	var e *resolve.AmbiguousError
	if _, err := x.Find("unet", "a_b_c", "weight", true); !errors.As(err, &e) || len(e.Candidates) != 2 {
		t.Errorf("two modules of one flat name: %v", err)
	}
	if places, err := x.Find("unet", "a_b.c", "weight", false); err != nil || described(places) != "0 a_b.c.weight" {
		t.Errorf("dotted: %v %v", places, err)
	}
}

// TestBothWays: the names of a UNet's blocks in either naming lead to each other.
func TestBothWays(t *testing.T) {
	attends := func(level int) bool { return level != 0 }
	for _, module := range []string{
		"conv_in", "conv_out", "conv_norm_out", "time_embedding.linear_2", "add_embedding.linear_1", "down_blocks.0.resnets.0.conv1",
		"down_blocks.2.attentions.1.transformer_blocks.9.attn2.to_out.0", "down_blocks.1.downsamplers.0.conv", "mid_block.attentions.0.proj_out",
		"mid_block.resnets.1.norm2", "up_blocks.0.upsamplers.0.conv", "up_blocks.1.upsamplers.0.conv", "up_blocks.3.resnets.2.conv_shortcut", "up_blocks.2.attentions.2.norm",
	} {
		block := toBlocks(module, 2, attends)
		if back := toDiffusers(block, 2); back != module {
			t.Errorf("%s → %s → %s", module, block, back)
		}
	}
	for _, module := range []string{"", "x", "input_blocks.4", "input_blocks.x.0.y", "input_blocks.3.1.op", "output_blocks.2.3.conv1", "input_blocks.0.1.x", "down_blocks.1"} {
		if got := toDiffusers(module, 2); got != "" {
			t.Errorf("%s → %s", module, got)
		}
	}
}

func TestCuts(t *testing.T) {
	for _, c := range []struct {
		cut               cut
		rows, cols, parts int64
		want              []int64
	}{
		{equal, 24, 5, 3, []int64{8, 8, 8}},
		{equal, 25, 5, 3, nil},
		{square, 56, 8, 4, []int64{8, 8, 8, 32}},
		{square, 24, 8, 4, nil},
		{triple, 56, 8, 2, []int64{24, 32}},
		{triple, 24, 8, 2, nil},
		{equal, 0, 0, 3, nil},
	} {
		if got := c.cut.counts(c.rows, c.cols, int(c.parts)); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// TestLacks: a base is said to lack a component only where it shows what it is.
func TestLacks(t *testing.T) {
	alone := func(names ...string) []Component {
		c := Component{}
		for _, n := range names {
			c.Tensors = append(c.Tensors, Tensor{Name: n + ".weight", Shape: []int64{8, 8}})
		}
		return []Component{c}
	}
	unet, encoder, unknown := alone("conv_in", "down_blocks.0.resnets.0.conv1"), alone("text_model.encoder.layers.0.mlp.fc1"), alone("x.y")
	for _, c := range []struct {
		base  []Component
		lacks string
		has   string
	}{
		{unet, "te te1 te2 te3 text_encoder clip_l t5xxl", "unet transformer diffusion_model prior"},
		{encoder, "unet diffusion_model prior", "te te1 text_encoder_2 transformer"},
		{unknown, "", "te unet text_encoder_3"},
		{alone("model.diffusion_model.input_blocks.0.0", "cond_stage_model.transformer.text_model.x"), "te2 text_encoder_3", "te1 te unet"},
		{[]Component{dir("text_encoder", "encoder.layers.0.self_attn.q_proj"), dir("unet", "conv_in")}, "te2 text_encoder_2 te3 transformer_2", "te te1 unet transformer"},
	} {
		x := New(c.base)
		for part := range strings.FieldsSeq(c.lacks) {
			if !x.Lacks(part) {
				t.Errorf("%s is not missed in %v", part, c.base)
			}
		}
		for part := range strings.FieldsSeq(c.has) {
			if x.Lacks(part) {
				t.Errorf("%s is missed in %v", part, c.base)
			}
		}
	}
}
