"""Tiny random diffusion models, and the same values in the layout of single-file checkpoints."""

from __future__ import annotations

import copy
import inspect
import json
import pathlib
import re
from collections.abc import Callable

import torch
import transformers as tf
from diffusers import (
    Flux2Transformer2DModel, FluxTransformer2DModel, HunyuanVideoTransformer3DModel, SD3Transformer2DModel, UNet2DConditionModel,
    WanTransformer3DModel, ZImageTransformer2DModel,
)
from diffusers.loaders import single_file_utils as convert
from safetensors.torch import save_file
from torch import nn

State = dict[str, torch.Tensor]


def randomise(model: nn.Module, seed: int, dtype: torch.dtype = torch.bfloat16) -> nn.Module:
    """Random values that dtype holds exactly, kept in fp32: the references add in fp32 and round once."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.named_parameters():
        noise = torch.randn(value.shape, generator=generator)
        value.data = (0.1 * noise if value.ndim > 1 or name.endswith("bias") else 1 + 0.1 * noise).to(dtype).float()
    return model.eval().requires_grad_(False)


def clip(hidden: int, projected: bool = False) -> nn.Module:
    config = tf.CLIPTextConfig(
        vocab_size=20, hidden_size=hidden, intermediate_size=2 * hidden, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=8, projection_dim=hidden, bos_token_id=0, eos_token_id=1,
    )
    return (tf.CLIPTextModelWithProjection if projected else tf.CLIPTextModel)(config)


def t5(hidden: int) -> nn.Module:
    return tf.T5EncoderModel(tf.T5Config(
        vocab_size=20, d_model=hidden, d_kv=4, d_ff=2 * hidden, num_layers=1, num_heads=2, feed_forward_proj="gated-gelu",
    ))


def sd15() -> dict[str, nn.Module]:
    unet = UNet2DConditionModel(
        block_out_channels=(4, 8), down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), layers_per_block=2, cross_attention_dim=8,
        attention_head_dim=2, norm_num_groups=2, sample_size=8,
    )
    return {"unet": unet, "text_encoder": clip(8)}


def sdxl() -> dict[str, nn.Module]:
    unet = UNet2DConditionModel(
        block_out_channels=(4, 4, 8), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), layers_per_block=2,
        cross_attention_dim=12, attention_head_dim=(1, 2, 2), norm_num_groups=2, sample_size=8,
        transformer_layers_per_block=(1, 1, 2), use_linear_projection=True, addition_embed_type="text_time",
        addition_time_embed_dim=4, projection_class_embeddings_input_dim=32,
    )
    return {"unet": unet, "text_encoder": clip(4), "text_encoder_2": clip(8, projected=True)}


def flux() -> dict[str, nn.Module]:
    transformer = FluxTransformer2DModel(
        in_channels=4, num_layers=2, num_single_layers=2, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=8, pooled_projection_dim=8, guidance_embeds=True, axes_dims_rope=(2, 2, 4),
    )
    return {"transformer": transformer, "text_encoder": clip(8), "text_encoder_2": t5(8)}


def sd3() -> dict[str, nn.Module]:
    transformer = SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=8, caption_projection_dim=16, pooled_projection_dim=8, out_channels=4, pos_embed_max_size=8,
        dual_attention_layers=(0,), qk_norm="rms_norm",
    )
    return {"transformer": transformer}


def wan() -> dict[str, nn.Module]:
    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=8, in_channels=4, out_channels=4, text_dim=8,
        freq_dim=8, ffn_dim=24, num_layers=2, image_dim=8, added_kv_proj_dim=16, cross_attn_norm=True,
    )
    return {"transformer": transformer}


def flux2() -> dict[str, nn.Module]:
    return {"transformer": Flux2Transformer2DModel(
        in_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=8, num_attention_heads=2, joint_attention_dim=8,
        timestep_guidance_channels=8, axes_dims_rope=(2, 2, 2, 2),
    )}


def hunyuan() -> dict[str, nn.Module]:
    return {"transformer": HunyuanVideoTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=8, num_layers=1, num_single_layers=1, num_refiner_layers=1,
        patch_size=1, text_embed_dim=8, pooled_projection_dim=8, rope_axes_dim=(2, 2, 4),
    )}


def zimage() -> dict[str, nn.Module]:
    return {"transformer": ZImageTransformer2DModel(
        in_channels=4, dim=16, n_layers=2, n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=8, axes_dims=[2, 2, 4], axes_lens=[8, 8, 8],
    )}


BASES: dict[str, Callable[[], dict[str, nn.Module]]] = {"sd15": sd15, "sdxl": sdxl, "flux": flux, "sd3": sd3, "wan": wan, "flux2": flux2, "hunyuan": hunyuan}
MORE: dict[str, Callable[[], dict[str, nn.Module]]] = {"zimage": zimage}  # too large to keep


def make(name: str, seed: int) -> dict[str, nn.Module]:
    torch.manual_seed(seed)
    return {part: randomise(model, seed + i) for i, (part, model) in enumerate((BASES | MORE)[name]().items())}


def rounded(state: State, dtype: torch.dtype = torch.bfloat16) -> State:
    return {k: v.detach().to(dtype).contiguous().clone() if v.is_floating_point() else v for k, v in state.items()}


def on_disk(base: str, part: str, state: State) -> State:
    """A text encoder as older releases of transformers wrote it keeps its prefix; both are in use."""
    if base == "sdxl" and part == "text_encoder":
        return {k if k.startswith("text_model.") else "text_model." + k: v for k, v in state.items()}
    return state


def save_pipeline(name: str, models: dict[str, nn.Module], out: pathlib.Path) -> None:
    index = {"_class_name": name, "_diffusers_version": "0.42.1"}
    for part, model in models.items():
        library = "diffusers" if part in ("unet", "transformer") else "transformers"
        index[part] = [library, type(model).__name__]
        directory = out / part
        directory.mkdir(parents=True)
        file = "diffusion_pytorch_model.safetensors" if library == "diffusers" else "model.safetensors"
        save_file(rounded(on_disk(name, part, model.state_dict())), directory / file, {"format": "pt"})
        config = dict(model.config) if library == "diffusers" else json.loads(model.config.to_json_string())
        (directory / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True, default=str) + "\n")
    (out / "model_index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


# Checkpoints of the authors, from diffusers' names. Each is held against diffusers' own
# conversion, which goes the other way.

RESNET = [("norm1", "in_layers.0"), ("conv1", "in_layers.2"), ("time_emb_proj", "emb_layers.1"), ("norm2", "out_layers.0"),
          ("conv2", "out_layers.3"), ("conv_shortcut", "skip_connection")]


def ldm_unet(state: State, layers: int = 2) -> State:
    """The names of SD's and SDXL's own checkpoints."""
    out = {}
    attention = {k.split(".")[1] for k in state if k.startswith("up_blocks.") and ".attentions." in k}
    plain = {"conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2", "time_embedding.linear_1": "time_embed.0",
             "time_embedding.linear_2": "time_embed.2", "add_embedding.linear_1": "label_emb.0.0",
             "add_embedding.linear_2": "label_emb.0.2", "mid_block.resnets.0": "middle_block.0",
             "mid_block.attentions.0": "middle_block.1", "mid_block.resnets.1": "middle_block.2"}
    for key, value in state.items():
        new = next((b + key[len(a):] for a, b in plain.items() if key.startswith(a + ".")), None)
        if new is None:
            side, level, kind, layer, rest = key.split(".", 4)
            level, layer = int(level), int(layer)
            block = (1 if side == "down_blocks" else 0) + level * (layers + 1)
            side_name = "input_blocks" if side == "down_blocks" else "output_blocks"
            new = {
                "resnets": f"{side_name}.{block + layer}.0.{rest}",
                "attentions": f"{side_name}.{block + layer}.1.{rest}",
                "downsamplers": f"{side_name}.{block + layers}.0.{rest.replace('conv', 'op')}",
                "upsamplers": f"{side_name}.{block + layers}.{2 if str(level) in attention else 1}.{rest}",
            }[kind]
        if "resnets" in key:
            for a, b in RESNET:
                new = new.replace("." + a + ".", "." + b + ".")
        out[new] = value
    return out


def open_clip(state: State) -> State:
    """The names of SDXL's second text encoder."""
    names = [("text_model.", ""), ("encoder.layers.", "transformer.resblocks."), ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"), ("mlp.fc1", "mlp.c_fc"),
             ("mlp.fc2", "mlp.c_proj"), ("self_attn.out_proj", "attn.out_proj"), ("final_layer_norm", "ln_final"),
             ("embeddings.token_embedding", "token_embedding"), ("embeddings.position_embedding.weight", "positional_embedding")]
    out = {}
    for key, value in state.items():
        if "q_proj" in key:
            new = key.replace("self_attn.q_proj.", "attn.in_proj_")
            value = torch.cat([state[key.replace("q_proj", p)] for p in ("q_proj", "k_proj", "v_proj")])
        elif "k_proj" in key or "v_proj" in key:
            continue
        elif key == "text_projection.weight":
            new, value = "text_projection", value.T.contiguous()
        else:
            new = key
        for a, b in names:
            new = new.replace(a, b)
        out[new] = value
    return out


def matched(pattern: str, key: str) -> tuple[str, str] | None:
    """The number in place of {} and what follows the module, when the pattern is the key's module or the key."""
    m = re.fullmatch(re.escape(pattern).replace(r"\{\}", r"(?P<n>\d+)") + r"(?P<rest>(\.\w+)?)", key)
    return m and (m.groupdict().get("n", ""), m["rest"])


def fused(state: State, renames: list[tuple[str, str]], joins: list[tuple[str, list[str]]], swaps: list[str]) -> State:
    """Renames modules, joins several into one, and turns scale and shift round."""
    out, used = {}, set()
    for pattern, parts in joins:
        for key in state:
            if m := matched(parts[0], key):
                keys = [p.format(m[0]) + m[1] if "{}" in p else p + m[1] for p in parts]
                out[pattern.format(m[0]) + m[1]] = torch.cat([state[k] for k in keys])
                used.update(keys)
    for key, value in state.items():
        if key in used:
            continue
        if any(matched(s, key) for s in swaps):
            value = torch.cat(value.chunk(2)[::-1])
        new, m = next((b, m) for a, b in renames if (m := matched(a, key)))
        out[new.format(m[0]) + m[1]] = value
    return out


FLUX_RENAMES = [
    ("time_text_embed.timestep_embedder.linear_1", "time_in.in_layer"), ("time_text_embed.timestep_embedder.linear_2", "time_in.out_layer"),
    ("time_text_embed.text_embedder.linear_1", "vector_in.in_layer"), ("time_text_embed.text_embedder.linear_2", "vector_in.out_layer"),
    ("time_text_embed.guidance_embedder.linear_1", "guidance_in.in_layer"), ("time_text_embed.guidance_embedder.linear_2", "guidance_in.out_layer"),
    ("context_embedder", "txt_in"), ("x_embedder", "img_in"), ("proj_out", "final_layer.linear"), ("norm_out.linear", "final_layer.adaLN_modulation.1"),
    ("transformer_blocks.{}.norm1.linear", "double_blocks.{}.img_mod.lin"), ("transformer_blocks.{}.norm1_context.linear", "double_blocks.{}.txt_mod.lin"),
    ("transformer_blocks.{}.attn.to_out.0", "double_blocks.{}.img_attn.proj"), ("transformer_blocks.{}.attn.to_add_out", "double_blocks.{}.txt_attn.proj"),
    ("transformer_blocks.{}.ff.net.0.proj", "double_blocks.{}.img_mlp.0"), ("transformer_blocks.{}.ff.net.2", "double_blocks.{}.img_mlp.2"),
    ("transformer_blocks.{}.ff_context.net.0.proj", "double_blocks.{}.txt_mlp.0"), ("transformer_blocks.{}.ff_context.net.2", "double_blocks.{}.txt_mlp.2"),
    ("transformer_blocks.{}.attn.norm_q.weight", "double_blocks.{}.img_attn.norm.query_norm.scale"), ("transformer_blocks.{}.attn.norm_k.weight", "double_blocks.{}.img_attn.norm.key_norm.scale"),
    ("transformer_blocks.{}.attn.norm_added_q.weight", "double_blocks.{}.txt_attn.norm.query_norm.scale"), ("transformer_blocks.{}.attn.norm_added_k.weight", "double_blocks.{}.txt_attn.norm.key_norm.scale"),
    ("single_transformer_blocks.{}.norm.linear", "single_blocks.{}.modulation.lin"), ("single_transformer_blocks.{}.proj_out", "single_blocks.{}.linear2"),
    ("single_transformer_blocks.{}.attn.norm_q.weight", "single_blocks.{}.norm.query_norm.scale"), ("single_transformer_blocks.{}.attn.norm_k.weight", "single_blocks.{}.norm.key_norm.scale"),
]
FLUX_JOINS = [
    ("double_blocks.{}.img_attn.qkv", ["transformer_blocks.{}.attn.to_q", "transformer_blocks.{}.attn.to_k", "transformer_blocks.{}.attn.to_v"]),
    ("double_blocks.{}.txt_attn.qkv", ["transformer_blocks.{}.attn.add_q_proj", "transformer_blocks.{}.attn.add_k_proj", "transformer_blocks.{}.attn.add_v_proj"]),
    ("single_blocks.{}.linear1", ["single_transformer_blocks.{}.attn.to_q", "single_transformer_blocks.{}.attn.to_k", "single_transformer_blocks.{}.attn.to_v", "single_transformer_blocks.{}.proj_mlp"]),
]
SD3_RENAMES = [
    ("pos_embed.pos_embed", "pos_embed"), ("pos_embed.proj", "x_embedder.proj"), ("context_embedder", "context_embedder"),
    ("time_text_embed.timestep_embedder.linear_1", "t_embedder.mlp.0"), ("time_text_embed.timestep_embedder.linear_2", "t_embedder.mlp.2"),
    ("time_text_embed.text_embedder.linear_1", "y_embedder.mlp.0"), ("time_text_embed.text_embedder.linear_2", "y_embedder.mlp.2"),
    ("proj_out", "final_layer.linear"), ("norm_out.linear", "final_layer.adaLN_modulation.1"),
    ("transformer_blocks.{}.norm1.linear", "joint_blocks.{}.x_block.adaLN_modulation.1"), ("transformer_blocks.{}.norm1_context.linear", "joint_blocks.{}.context_block.adaLN_modulation.1"),
    ("transformer_blocks.{}.attn.norm_q", "joint_blocks.{}.x_block.attn.ln_q"), ("transformer_blocks.{}.attn.norm_k", "joint_blocks.{}.x_block.attn.ln_k"),
    ("transformer_blocks.{}.attn2.norm_q", "joint_blocks.{}.x_block.attn2.ln_q"), ("transformer_blocks.{}.attn2.norm_k", "joint_blocks.{}.x_block.attn2.ln_k"),
    ("transformer_blocks.{}.attn.norm_added_q", "joint_blocks.{}.context_block.attn.ln_q"), ("transformer_blocks.{}.attn.norm_added_k", "joint_blocks.{}.context_block.attn.ln_k"),
    ("transformer_blocks.{}.attn.to_out.0", "joint_blocks.{}.x_block.attn.proj"), ("transformer_blocks.{}.attn.to_add_out", "joint_blocks.{}.context_block.attn.proj"),
    ("transformer_blocks.{}.attn2.to_out.0", "joint_blocks.{}.x_block.attn2.proj"),
    ("transformer_blocks.{}.ff.net.0.proj", "joint_blocks.{}.x_block.mlp.fc1"), ("transformer_blocks.{}.ff.net.2", "joint_blocks.{}.x_block.mlp.fc2"),
    ("transformer_blocks.{}.ff_context.net.0.proj", "joint_blocks.{}.context_block.mlp.fc1"), ("transformer_blocks.{}.ff_context.net.2", "joint_blocks.{}.context_block.mlp.fc2"),
]
SD3_JOINS = [
    ("joint_blocks.{}.x_block.attn.qkv", ["transformer_blocks.{}.attn.to_q", "transformer_blocks.{}.attn.to_k", "transformer_blocks.{}.attn.to_v"]),
    ("joint_blocks.{}.context_block.attn.qkv", ["transformer_blocks.{}.attn.add_q_proj", "transformer_blocks.{}.attn.add_k_proj", "transformer_blocks.{}.attn.add_v_proj"]),
    ("joint_blocks.{}.x_block.attn2.qkv", ["transformer_blocks.{}.attn2.to_q", "transformer_blocks.{}.attn2.to_k", "transformer_blocks.{}.attn2.to_v"]),
]
WAN_RENAMES = [
    ("condition_embedder.text_embedder.linear_1", "text_embedding.0"), ("condition_embedder.text_embedder.linear_2", "text_embedding.2"),
    ("condition_embedder.time_embedder.linear_1", "time_embedding.0"), ("condition_embedder.time_embedder.linear_2", "time_embedding.2"),
    ("condition_embedder.time_proj", "time_projection.1"), ("condition_embedder.image_embedder.norm1", "img_emb.proj.0"),
    ("condition_embedder.image_embedder.ff.net.0.proj", "img_emb.proj.1"), ("condition_embedder.image_embedder.ff.net.2", "img_emb.proj.3"),
    ("condition_embedder.image_embedder.norm2", "img_emb.proj.4"), ("patch_embedding", "patch_embedding"),
    ("proj_out", "head.head"), ("scale_shift_table", "head.modulation"), ("blocks.{}.scale_shift_table", "blocks.{}.modulation"),
    *[(f"blocks.{{}}.attn{i}.{a}", f"blocks.{{}}.{b}.{c}") for i, b in ((1, "self_attn"), (2, "cross_attn"))
      for a, c in (("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "o"), ("norm_q", "norm_q"), ("norm_k", "norm_k"))],
    ("blocks.{}.attn2.add_k_proj", "blocks.{}.cross_attn.k_img"), ("blocks.{}.attn2.add_v_proj", "blocks.{}.cross_attn.v_img"),
    ("blocks.{}.attn2.norm_added_k", "blocks.{}.cross_attn.norm_k_img"), ("blocks.{}.norm2", "blocks.{}.norm3"),
    ("blocks.{}.ffn.net.0.proj", "blocks.{}.ffn.0"), ("blocks.{}.ffn.net.2", "blocks.{}.ffn.2"),
]


FLUX2_RENAMES = [
    ("time_guidance_embed.timestep_embedder.linear_1", "time_in.in_layer"), ("time_guidance_embed.timestep_embedder.linear_2", "time_in.out_layer"),
    ("time_guidance_embed.guidance_embedder.linear_1", "guidance_in.in_layer"), ("time_guidance_embed.guidance_embedder.linear_2", "guidance_in.out_layer"),
    *((f"{m}.linear", f"{m}.lin") for m in ("double_stream_modulation_img", "double_stream_modulation_txt", "single_stream_modulation")),
    *((f"transformer_blocks.{{}}.{a}.{b}", f"double_blocks.{{}}.{c}.{d}") for a, c in (("ff", "img_mlp"), ("ff_context", "txt_mlp"))
      for b, d in (("linear_in", "0"), ("linear_out", "2"))),
    ("single_transformer_blocks.{}.attn.to_qkv_mlp_proj", "single_blocks.{}.linear1"), ("single_transformer_blocks.{}.attn.to_out", "single_blocks.{}.linear2"),
    *FLUX_RENAMES,
]
HUNYUAN_REFINER = ("context_embedder.token_refiner.refiner_blocks.{}.", "txt_in.individual_token_refiner.blocks.{}.")
HUNYUAN_RENAMES = [
    ("x_embedder.proj", "img_in.proj"), ("proj_out", "final_layer.linear"), ("norm_out.linear", "final_layer.adaLN_modulation.1"),
    *((f"{a}time_text_embed.timestep_embedder.linear_{i + 1}", f"{b}.mlp.{2 * i}") for a, b in (("", "time_in"), ("context_embedder.", "txt_in.t_embedder")) for i in (0, 1)),
    *((f"time_text_embed.guidance_embedder.linear_{i + 1}", f"guidance_in.mlp.{2 * i}") for i in (0, 1)),
    ("time_text_embed.text_embedder.linear_1", "vector_in.in_layer"), ("time_text_embed.text_embedder.linear_2", "vector_in.out_layer"),
    *((f"context_embedder.time_text_embed.text_embedder.linear_{i}", f"txt_in.c_embedder.linear_{i}") for i in (1, 2)),
    ("context_embedder.proj_in", "txt_in.input_embedder"),
    *((HUNYUAN_REFINER[0] + a, HUNYUAN_REFINER[1] + b) for a, b in (("norm1", "norm1"), ("norm2", "norm2"), ("attn.to_out.0", "self_attn_proj"),
      ("ff.net.0.proj", "mlp.fc1"), ("ff.net.2", "mlp.fc2"), ("norm_out.linear", "adaLN_modulation.1"))),
    *((f"transformer_blocks.{{}}.{a}", f"double_blocks.{{}}.{b}") for a, b in (
        ("norm1.linear", "img_mod.linear"), ("norm1_context.linear", "txt_mod.linear"), ("attn.norm_q", "img_attn_q_norm"), ("attn.norm_k", "img_attn_k_norm"),
        ("attn.norm_added_q", "txt_attn_q_norm"), ("attn.norm_added_k", "txt_attn_k_norm"), ("attn.to_out.0", "img_attn_proj"), ("attn.to_add_out", "txt_attn_proj"),
        ("ff.net.0.proj", "img_mlp.fc1"), ("ff.net.2", "img_mlp.fc2"), ("ff_context.net.0.proj", "txt_mlp.fc1"), ("ff_context.net.2", "txt_mlp.fc2"))),
    *((f"single_transformer_blocks.{{}}.{a}", f"single_blocks.{{}}.{b}") for a, b in (
        ("norm.linear", "modulation.linear"), ("attn.norm_q", "q_norm"), ("attn.norm_k", "k_norm"), ("proj_out", "linear2"))),
]
HUNYUAN_JOINS = [
    (HUNYUAN_REFINER[1] + "self_attn_qkv", [HUNYUAN_REFINER[0] + f"attn.to_{p}" for p in "qkv"]),
    ("double_blocks.{}.img_attn_qkv", [f"transformer_blocks.{{}}.attn.to_{p}" for p in "qkv"]),
    ("double_blocks.{}.txt_attn_qkv", [f"transformer_blocks.{{}}.attn.add_{p}_proj" for p in "qkv"]),
    FLUX_JOINS[2],
]


def prefixed(prefix: str, state: State) -> State:
    return {prefix + k: v for k, v in state.items()}


def sdxl_file(parts: dict[str, State]) -> State:
    text = {k if k.startswith("text_model.") else "text_model." + k: v for k, v in parts["text_encoder"].items()}
    return (prefixed("model.diffusion_model.", ldm_unet(parts["unet"]))
            | prefixed("conditioner.embedders.0.transformer.", text)
            | prefixed("conditioner.embedders.1.model.", open_clip(parts["text_encoder_2"])))


def sd15_file(parts: dict[str, State]) -> State:
    text = {k if k.startswith("text_model.") else "text_model." + k: v for k, v in parts["text_encoder"].items()}
    return prefixed("model.diffusion_model.", ldm_unet(parts["unet"])) | prefixed("cond_stage_model.transformer.", text)


def flux_file(parts: dict[str, State]) -> State:
    return fused(parts["transformer"], FLUX_RENAMES, FLUX_JOINS, ["norm_out.linear"])


def sd3_file(parts: dict[str, State]) -> State:
    state = fused(parts["transformer"], SD3_RENAMES, SD3_JOINS, ["norm_out.linear", "transformer_blocks.1.norm1_context.linear"])
    return prefixed("model.diffusion_model.", state)


def wan_file(parts: dict[str, State]) -> State:
    return fused(parts["transformer"], WAN_RENAMES, [], [])


def flux2_file(parts: dict[str, State]) -> State:
    return fused(parts["transformer"], FLUX2_RENAMES, FLUX_JOINS[:2], ["norm_out.linear"])


def hunyuan_file(parts: dict[str, State]) -> State:
    return fused(parts["transformer"], HUNYUAN_RENAMES, HUNYUAN_JOINS, ["norm_out.linear"])


def zimage_file(parts: dict[str, State]) -> State:
    blocks = [f"{b}.{{}}." for b in ("layers", "noise_refiner", "context_refiner")]
    renames = [("all_x_embedder.2-1", "x_embedder"), ("all_final_layer.2-1.linear", "final_layer.linear"),
               ("all_final_layer.2-1.adaLN_modulation.1", "final_layer.adaLN_modulation.1"),
               *((b + "attention." + x, b + "attention." + y) for b in blocks for x, y in (("norm_q", "q_norm"), ("norm_k", "k_norm"), ("to_out.0", "out"))),
               *((k.rsplit(".", 1)[0],) * 2 for k in parts["transformer"])]
    joins = [(b + "attention.qkv", [b + f"attention.to_{p}" for p in "qkv"]) for b in blocks]
    return fused(parts["transformer"], renames, joins, [])


FILES: dict[str, Callable[[dict[str, State]], State]] = {
    "sd15": sd15_file, "sdxl": sdxl_file, "flux": flux_file, "sd3": sd3_file, "wan": wan_file, "flux2": flux2_file, "hunyuan": hunyuan_file, "zimage": zimage_file,
}


def narrow(function: Callable[..., State], real: str, width: int) -> Callable[..., State]:
    """A conversion of diffusers' that has the width of the real model written into it."""
    source = inspect.getsource(function)
    assert f"{real} = 3072" in source
    scope = dict(vars(convert))
    exec(source.replace(f"{real} = 3072", f"{real} = {width}"), scope)
    return scope[function.__name__]


def from_file(name: str, models: dict[str, nn.Module], state: State) -> State:
    """The denoiser that diffusers makes of a checkpoint."""
    state = copy.deepcopy(state)
    if "unet" in models:
        return convert.convert_ldm_unet_checkpoint(state, dict(models["unet"].config))
    width = 16
    converter = {"flux": narrow(convert.convert_flux_transformer_checkpoint_to_diffusers, "inner_dim", width),
                 "flux2": convert.convert_flux2_transformer_checkpoint_to_diffusers,
                 "zimage": convert.convert_z_image_transformer_checkpoint_to_diffusers,
                 "hunyuan": narrow(convert.convert_hunyuan_video_transformer_to_diffusers, "hidden_size", width),
                 "sd3": convert.convert_sd3_transformer_checkpoint_to_diffusers,
                 "wan": convert.convert_wan_transformer_to_diffusers}[name]
    return converter(state)


def check_file(name: str, models: dict[str, nn.Module], state: State) -> None:
    """diffusers' own conversion of the checkpoint must give the models back."""
    part = "unet" if "unet" in models else "transformer"
    want, got = models[part].state_dict(), from_file(name, models, state)
    assert got.keys() == want.keys(), (name, sorted(got.keys() ^ want.keys())[:10])
    for key in want:
        assert torch.equal(got[key], want[key]), (name, key)
