package diffusion

import (
	"slices"
	"strings"
)

// family is the relations between two namings of one architecture. They hold for a
// region that has one of the marks, a module of either naming that no other
// architecture has.
type family struct {
	marks     []string
	unless    string // a module that tells it from a family with the same marks
	relations []relation
	turned    []string // modules whose weight is stored as [in, out]
}

func (f family) fits(t *table) bool {
	if f.unless != "" && t.any(f.unless) {
		return false
	}
	for _, m := range f.marks {
		if t.any(m) {
			return true
		}
	}
	return false
}

func renamed(one, other string) relation { return relation{one: one, many: []string{other}} }

// families: the naming of the architecture's authors, which ComfyUI and sd-scripts
// use, is on the left; diffusers' on the right.
var families = []family{
	// Flux: diffusers' convert_flux_transformer_checkpoint_to_diffusers.
	{marks: []string{"double_blocks", "single_transformer_blocks"}, relations: []relation{
		renamed("time_in.in_layer", "time_text_embed.timestep_embedder.linear_1"),
		renamed("time_in.out_layer", "time_text_embed.timestep_embedder.linear_2"),
		renamed("vector_in.in_layer", "time_text_embed.text_embedder.linear_1"),
		renamed("vector_in.out_layer", "time_text_embed.text_embedder.linear_2"),
		renamed("guidance_in.in_layer", "time_text_embed.guidance_embedder.linear_1"),
		renamed("guidance_in.out_layer", "time_text_embed.guidance_embedder.linear_2"),
		renamed("txt_in", "context_embedder"),
		renamed("img_in", "x_embedder"),
		renamed("double_blocks.{}.img_mod.lin", "transformer_blocks.{}.norm1.linear"),
		renamed("double_blocks.{}.txt_mod.lin", "transformer_blocks.{}.norm1_context.linear"),
		{one: "double_blocks.{}.img_attn.qkv", many: []string{
			"transformer_blocks.{}.attn.to_q", "transformer_blocks.{}.attn.to_k", "transformer_blocks.{}.attn.to_v"}},
		{one: "double_blocks.{}.txt_attn.qkv", many: []string{
			"transformer_blocks.{}.attn.add_q_proj", "transformer_blocks.{}.attn.add_k_proj", "transformer_blocks.{}.attn.add_v_proj"}},
		renamed("double_blocks.{}.img_attn.norm.query_norm", "transformer_blocks.{}.attn.norm_q"),
		renamed("double_blocks.{}.img_attn.norm.key_norm", "transformer_blocks.{}.attn.norm_k"),
		renamed("double_blocks.{}.txt_attn.norm.query_norm", "transformer_blocks.{}.attn.norm_added_q"),
		renamed("double_blocks.{}.txt_attn.norm.key_norm", "transformer_blocks.{}.attn.norm_added_k"),
		renamed("double_blocks.{}.img_attn.proj", "transformer_blocks.{}.attn.to_out.0"),
		renamed("double_blocks.{}.txt_attn.proj", "transformer_blocks.{}.attn.to_add_out"),
		renamed("double_blocks.{}.img_mlp.0", "transformer_blocks.{}.ff.net.0.proj"),
		renamed("double_blocks.{}.img_mlp.2", "transformer_blocks.{}.ff.net.2"),
		renamed("double_blocks.{}.txt_mlp.0", "transformer_blocks.{}.ff_context.net.0.proj"),
		renamed("double_blocks.{}.txt_mlp.2", "transformer_blocks.{}.ff_context.net.2"),
		renamed("single_blocks.{}.modulation.lin", "single_transformer_blocks.{}.norm.linear"),
		{cut: square, one: "single_blocks.{}.linear1", many: []string{
			"single_transformer_blocks.{}.attn.to_q", "single_transformer_blocks.{}.attn.to_k",
			"single_transformer_blocks.{}.attn.to_v", "single_transformer_blocks.{}.proj_mlp"}},
		renamed("single_blocks.{}.linear2", "single_transformer_blocks.{}.proj_out"),
		renamed("single_blocks.{}.norm.query_norm", "single_transformer_blocks.{}.attn.norm_q"),
		renamed("single_blocks.{}.norm.key_norm", "single_transformer_blocks.{}.attn.norm_k"),
		renamed("final_layer.linear", "proj_out"),
		{cut: swapped, one: "final_layer.adaLN_modulation.1", many: []string{"norm_out.linear"}},
		// XLabs adapts the projections of a single block apart from its MLP.
		{cut: triple, one: "single_blocks.{}.linear1", many: []string{"single_blocks.{}.qkv", "single_blocks.{}.mlp"}},
		{one: "single_blocks.{}.qkv", many: []string{
			"single_transformer_blocks.{}.attn.to_q", "single_transformer_blocks.{}.attn.to_k", "single_transformer_blocks.{}.attn.to_v"}},
	}},
	// What Flux 2 has besides: diffusers' convert_flux2_transformer_checkpoint_to_diffusers.
	{marks: []string{"double_stream_modulation_img"}, relations: []relation{
		renamed("time_in.in_layer", "time_guidance_embed.timestep_embedder.linear_1"),
		renamed("time_in.out_layer", "time_guidance_embed.timestep_embedder.linear_2"),
		renamed("guidance_in.in_layer", "time_guidance_embed.guidance_embedder.linear_1"),
		renamed("guidance_in.out_layer", "time_guidance_embed.guidance_embedder.linear_2"),
		renamed("double_stream_modulation_img.lin", "double_stream_modulation_img.linear"),
		renamed("double_stream_modulation_txt.lin", "double_stream_modulation_txt.linear"),
		renamed("single_stream_modulation.lin", "single_stream_modulation.linear"),
		renamed("double_blocks.{}.img_mlp.0", "transformer_blocks.{}.ff.linear_in"),
		renamed("double_blocks.{}.img_mlp.2", "transformer_blocks.{}.ff.linear_out"),
		renamed("double_blocks.{}.txt_mlp.0", "transformer_blocks.{}.ff_context.linear_in"),
		renamed("double_blocks.{}.txt_mlp.2", "transformer_blocks.{}.ff_context.linear_out"),
		renamed("single_blocks.{}.linear1", "single_transformer_blocks.{}.attn.to_qkv_mlp_proj"),
		renamed("single_blocks.{}.linear2", "single_transformer_blocks.{}.attn.to_out"),
	}},
	// HunyuanVideo, whose single blocks are Flux'. ComfyUI calls its modules as Flux' also
	// where the authors do not.
	{marks: []string{"txt_in.individual_token_refiner", "context_embedder.token_refiner"}, relations: alsoCalled(hunyuanVideo, comfyHunyuan)},
	// SD 3: diffusers' convert_sd3_transformer_checkpoint_to_diffusers.
	{marks: []string{"joint_blocks", "pos_embed.pos_embed"}, unless: "single_transformer_blocks", relations: []relation{
		renamed("pos_embed", "pos_embed.pos_embed"),
		renamed("x_embedder.proj", "pos_embed.proj"),
		renamed("t_embedder.mlp.0", "time_text_embed.timestep_embedder.linear_1"),
		renamed("t_embedder.mlp.2", "time_text_embed.timestep_embedder.linear_2"),
		renamed("y_embedder.mlp.0", "time_text_embed.text_embedder.linear_1"),
		renamed("y_embedder.mlp.2", "time_text_embed.text_embedder.linear_2"),
		{one: "joint_blocks.{}.x_block.attn.qkv", many: []string{
			"transformer_blocks.{}.attn.to_q", "transformer_blocks.{}.attn.to_k", "transformer_blocks.{}.attn.to_v"}},
		{one: "joint_blocks.{}.context_block.attn.qkv", many: []string{
			"transformer_blocks.{}.attn.add_q_proj", "transformer_blocks.{}.attn.add_k_proj", "transformer_blocks.{}.attn.add_v_proj"}},
		{one: "joint_blocks.{}.x_block.attn2.qkv", many: []string{
			"transformer_blocks.{}.attn2.to_q", "transformer_blocks.{}.attn2.to_k", "transformer_blocks.{}.attn2.to_v"}},
		renamed("joint_blocks.{}.x_block.attn.ln_q", "transformer_blocks.{}.attn.norm_q"),
		renamed("joint_blocks.{}.x_block.attn.ln_k", "transformer_blocks.{}.attn.norm_k"),
		renamed("joint_blocks.{}.context_block.attn.ln_q", "transformer_blocks.{}.attn.norm_added_q"),
		renamed("joint_blocks.{}.context_block.attn.ln_k", "transformer_blocks.{}.attn.norm_added_k"),
		renamed("joint_blocks.{}.x_block.attn2.ln_q", "transformer_blocks.{}.attn2.norm_q"),
		renamed("joint_blocks.{}.x_block.attn2.ln_k", "transformer_blocks.{}.attn2.norm_k"),
		renamed("joint_blocks.{}.x_block.attn.proj", "transformer_blocks.{}.attn.to_out.0"),
		renamed("joint_blocks.{}.context_block.attn.proj", "transformer_blocks.{}.attn.to_add_out"),
		renamed("joint_blocks.{}.x_block.attn2.proj", "transformer_blocks.{}.attn2.to_out.0"),
		{cut: swapped, one: "joint_blocks.{}.x_block.adaLN_modulation.1", many: []string{"transformer_blocks.{}.norm1.linear"}},
		{cut: swapped, one: "joint_blocks.{}.context_block.adaLN_modulation.1", many: []string{"transformer_blocks.{}.norm1_context.linear"}},
		renamed("joint_blocks.{}.x_block.mlp.fc1", "transformer_blocks.{}.ff.net.0.proj"),
		renamed("joint_blocks.{}.x_block.mlp.fc2", "transformer_blocks.{}.ff.net.2"),
		renamed("joint_blocks.{}.context_block.mlp.fc1", "transformer_blocks.{}.ff_context.net.0.proj"),
		renamed("joint_blocks.{}.context_block.mlp.fc2", "transformer_blocks.{}.ff_context.net.2"),
		renamed("final_layer.linear", "proj_out"),
		{cut: swapped, one: "final_layer.adaLN_modulation.1", many: []string{"norm_out.linear"}},
	}},
	// Wan: diffusers' convert_wan_transformer_to_diffusers.
	{marks: []string{"blocks.0.self_attn.q", "condition_embedder"}, relations: slices.Concat([]relation{
		renamed("text_embedding.0", "condition_embedder.text_embedder.linear_1"),
		renamed("text_embedding.2", "condition_embedder.text_embedder.linear_2"),
		renamed("time_embedding.0", "condition_embedder.time_embedder.linear_1"),
		renamed("time_embedding.2", "condition_embedder.time_embedder.linear_2"),
		renamed("time_projection.1", "condition_embedder.time_proj"),
		renamed("img_emb.proj.0", "condition_embedder.image_embedder.norm1"),
		renamed("img_emb.proj.1", "condition_embedder.image_embedder.ff.net.0.proj"),
		renamed("img_emb.proj.3", "condition_embedder.image_embedder.ff.net.2"),
		renamed("img_emb.proj.4", "condition_embedder.image_embedder.norm2"),
		renamed("img_emb.emb_pos", "condition_embedder.image_embedder.pos_embed"),
		renamed("head.head", "proj_out"),
		renamed("head.modulation", "scale_shift_table"),
	}, wanBlocks("blocks"), wanBlocks("vace_blocks"), []relation{
		renamed("vace_blocks.{}.before_proj", "vace_blocks.{}.proj_in"),
		renamed("vace_blocks.{}.after_proj", "vace_blocks.{}.proj_out"),
	})},
	// Z-Image: diffusers' convert_z_image_transformer_checkpoint_to_diffusers.
	{marks: []string{"noise_refiner.0.attention.qkv", "all_x_embedder"}, relations: slices.Concat([]relation{
		renamed("x_embedder", "all_x_embedder.2-1"),
		renamed("final_layer.linear", "all_final_layer.2-1.linear"),
		renamed("final_layer.adaLN_modulation.1", "all_final_layer.2-1.adaLN_modulation.1"),
	}, zImageBlocks("layers"), zImageBlocks("noise_refiner"), zImageBlocks("context_refiner"))},
	// OpenCLIP's text model, in SD 2.x and SDXL checkpoints, and transformers' CLIP.
	// It multiplies by text_projection from the right; diffusers' conversion transposes it.
	{marks: []string{"transformer.resblocks"}, turned: []string{"text_projection"}, relations: []relation{
		renamed("token_embedding", "text_model.embeddings.token_embedding"),
		renamed("positional_embedding", "text_model.embeddings.position_embedding"),
		renamed("ln_final", "text_model.final_layer_norm"),
		{one: "transformer.resblocks.{}.attn.in_proj", many: []string{
			"text_model.encoder.layers.{}.self_attn.q_proj", "text_model.encoder.layers.{}.self_attn.k_proj", "text_model.encoder.layers.{}.self_attn.v_proj"}},
		renamed("transformer.resblocks.{}.attn.out_proj", "text_model.encoder.layers.{}.self_attn.out_proj"),
		renamed("transformer.resblocks.{}.ln_1", "text_model.encoder.layers.{}.layer_norm1"),
		renamed("transformer.resblocks.{}.ln_2", "text_model.encoder.layers.{}.layer_norm2"),
		renamed("transformer.resblocks.{}.mlp.c_fc", "text_model.encoder.layers.{}.mlp.fc1"),
		renamed("transformer.resblocks.{}.mlp.c_proj", "text_model.encoder.layers.{}.mlp.fc2"),
	}},
}

// zImageBlocks relates the attention of Z-Image's layers, or of a refiner's.
func zImageBlocks(blocks string) []relation {
	return []relation{
		{one: blocks + ".{}.attention.qkv", many: []string{blocks + ".{}.attention.to_q", blocks + ".{}.attention.to_k", blocks + ".{}.attention.to_v"}},
		renamed(blocks+".{}.attention.out", blocks+".{}.attention.to_out.0"),
		renamed(blocks+".{}.attention.q_norm", blocks+".{}.attention.norm_q"),
		renamed(blocks+".{}.attention.k_norm", blocks+".{}.attention.norm_k"),
	}
}

// wanBlocks relates the layers of Wan's transformer, or of its branch for conditions.
func wanBlocks(blocks string) []relation {
	return []relation{
		renamed(blocks+".{}.modulation", blocks+".{}.scale_shift_table"),
		renamed(blocks+".{}.self_attn.q", blocks+".{}.attn1.to_q"),
		renamed(blocks+".{}.self_attn.k", blocks+".{}.attn1.to_k"),
		renamed(blocks+".{}.self_attn.v", blocks+".{}.attn1.to_v"),
		renamed(blocks+".{}.self_attn.o", blocks+".{}.attn1.to_out.0"),
		renamed(blocks+".{}.self_attn.norm_q", blocks+".{}.attn1.norm_q"),
		renamed(blocks+".{}.self_attn.norm_k", blocks+".{}.attn1.norm_k"),
		renamed(blocks+".{}.cross_attn.q", blocks+".{}.attn2.to_q"),
		renamed(blocks+".{}.cross_attn.k", blocks+".{}.attn2.to_k"),
		renamed(blocks+".{}.cross_attn.v", blocks+".{}.attn2.to_v"),
		renamed(blocks+".{}.cross_attn.o", blocks+".{}.attn2.to_out.0"),
		renamed(blocks+".{}.cross_attn.norm_q", blocks+".{}.attn2.norm_q"),
		renamed(blocks+".{}.cross_attn.norm_k", blocks+".{}.attn2.norm_k"),
		renamed(blocks+".{}.cross_attn.k_img", blocks+".{}.attn2.add_k_proj"),
		renamed(blocks+".{}.cross_attn.v_img", blocks+".{}.attn2.add_v_proj"),
		renamed(blocks+".{}.cross_attn.norm_k_img", blocks+".{}.attn2.norm_added_k"),
		renamed(blocks+".{}.norm3", blocks+".{}.norm2"),
		renamed(blocks+".{}.ffn.0", blocks+".{}.ffn.net.0.proj"),
		renamed(blocks+".{}.ffn.2", blocks+".{}.ffn.net.2"),
	}
}

// hunyuanVideo is diffusers' convert_hunyuan_video_transformer_to_diffusers.
var hunyuanVideo = []relation{
	renamed("img_in.proj", "x_embedder.proj"),
	renamed("time_in.mlp.0", "time_text_embed.timestep_embedder.linear_1"),
	renamed("time_in.mlp.2", "time_text_embed.timestep_embedder.linear_2"),
	renamed("guidance_in.mlp.0", "time_text_embed.guidance_embedder.linear_1"),
	renamed("guidance_in.mlp.2", "time_text_embed.guidance_embedder.linear_2"),
	renamed("txt_in.t_embedder.mlp.0", "context_embedder.time_text_embed.timestep_embedder.linear_1"),
	renamed("txt_in.t_embedder.mlp.2", "context_embedder.time_text_embed.timestep_embedder.linear_2"),
	renamed("txt_in.c_embedder.linear_1", "context_embedder.time_text_embed.text_embedder.linear_1"),
	renamed("txt_in.c_embedder.linear_2", "context_embedder.time_text_embed.text_embedder.linear_2"),
	renamed("txt_in.input_embedder", "context_embedder.proj_in"),
	renamed("txt_in.individual_token_refiner.blocks.{}.norm1", "context_embedder.token_refiner.refiner_blocks.{}.norm1"),
	renamed("txt_in.individual_token_refiner.blocks.{}.norm2", "context_embedder.token_refiner.refiner_blocks.{}.norm2"),
	{one: "txt_in.individual_token_refiner.blocks.{}.self_attn_qkv", many: []string{
		"context_embedder.token_refiner.refiner_blocks.{}.attn.to_q", "context_embedder.token_refiner.refiner_blocks.{}.attn.to_k",
		"context_embedder.token_refiner.refiner_blocks.{}.attn.to_v"}},
	renamed("txt_in.individual_token_refiner.blocks.{}.self_attn_proj", "context_embedder.token_refiner.refiner_blocks.{}.attn.to_out.0"),
	renamed("txt_in.individual_token_refiner.blocks.{}.mlp.fc1", "context_embedder.token_refiner.refiner_blocks.{}.ff.net.0.proj"),
	renamed("txt_in.individual_token_refiner.blocks.{}.mlp.fc2", "context_embedder.token_refiner.refiner_blocks.{}.ff.net.2"),
	renamed("txt_in.individual_token_refiner.blocks.{}.adaLN_modulation.1", "context_embedder.token_refiner.refiner_blocks.{}.norm_out.linear"),
	renamed("double_blocks.{}.img_mod.linear", "transformer_blocks.{}.norm1.linear"),
	renamed("double_blocks.{}.txt_mod.linear", "transformer_blocks.{}.norm1_context.linear"),
	{one: "double_blocks.{}.img_attn_qkv", many: []string{
		"transformer_blocks.{}.attn.to_q", "transformer_blocks.{}.attn.to_k", "transformer_blocks.{}.attn.to_v"}},
	{one: "double_blocks.{}.txt_attn_qkv", many: []string{
		"transformer_blocks.{}.attn.add_q_proj", "transformer_blocks.{}.attn.add_k_proj", "transformer_blocks.{}.attn.add_v_proj"}},
	renamed("double_blocks.{}.img_attn_q_norm", "transformer_blocks.{}.attn.norm_q"),
	renamed("double_blocks.{}.img_attn_k_norm", "transformer_blocks.{}.attn.norm_k"),
	renamed("double_blocks.{}.txt_attn_q_norm", "transformer_blocks.{}.attn.norm_added_q"),
	renamed("double_blocks.{}.txt_attn_k_norm", "transformer_blocks.{}.attn.norm_added_k"),
	renamed("double_blocks.{}.img_attn_proj", "transformer_blocks.{}.attn.to_out.0"),
	renamed("double_blocks.{}.txt_attn_proj", "transformer_blocks.{}.attn.to_add_out"),
	renamed("double_blocks.{}.img_mlp.fc1", "transformer_blocks.{}.ff.net.0.proj"),
	renamed("double_blocks.{}.img_mlp.fc2", "transformer_blocks.{}.ff.net.2"),
	renamed("double_blocks.{}.txt_mlp.fc1", "transformer_blocks.{}.ff_context.net.0.proj"),
	renamed("double_blocks.{}.txt_mlp.fc2", "transformer_blocks.{}.ff_context.net.2"),
	renamed("single_blocks.{}.modulation.linear", "single_transformer_blocks.{}.norm.linear"),
	renamed("single_blocks.{}.q_norm", "single_transformer_blocks.{}.attn.norm_q"),
	renamed("single_blocks.{}.k_norm", "single_transformer_blocks.{}.attn.norm_k"),
}

// comfyHunyuan turns the authors' name of a module into ComfyUI's
// (supported_models.HunyuanVideo).
var comfyHunyuan = strings.NewReplacer(
	"txt_in.t_embedder.mlp.0", "txt_in.t_embedder.in_layer", "txt_in.t_embedder.mlp.2", "txt_in.t_embedder.out_layer",
	"txt_in.c_embedder.linear_1", "txt_in.c_embedder.in_layer", "txt_in.c_embedder.linear_2", "txt_in.c_embedder.out_layer",
	"_mod.linear", "_mod.lin", "modulation.linear", "modulation.lin",
	"_attn_qkv", "_attn.qkv", "_attn_proj", "_attn.proj",
	"_attn_q_norm", "_attn.norm.query_norm", "_attn_k_norm", "_attn.norm.key_norm",
	".q_norm", ".norm.query_norm", ".k_norm", ".norm.key_norm",
	"mlp.fc1", "mlp.0", "mlp.fc2", "mlp.2", "_in.mlp.0", "_in.in_layer", "_in.mlp.2", "_in.out_layer",
)

// alsoCalled adds relations of a third naming, in which the one of a relation has the name
// that a replacer gives it.
func alsoCalled(relations []relation, names *strings.Replacer) []relation {
	all := slices.Clone(relations)
	for _, r := range relations {
		if name := names.Replace(r.one); name != r.one {
			third := r
			third.one = name
			all = append(all, renamed(r.one, name), third)
		}
	}
	return all
}
