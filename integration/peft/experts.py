"""Mixtures of experts: tiny bases in the layouts that occur on disk, adapters in the layouts that PEFT and others wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as tf
from safetensors.torch import load_file, save_file
from torch import nn

import breaks
from bases import Dims

EXPERTS = 3
MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}


def _decoder(d: Dims, **more: Any) -> dict[str, Any]:
    """Smaller than other bases, as there is so much of it. Gate and up together are no square, but in mixtral_square."""
    return dict(
        vocab_size=32 + d.vocab % 5,
        hidden_size=2 * (d.hidden // 4),
        intermediate_size=d.hidden // 4 + 4,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=64,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        tie_word_embeddings=False,
    ) | more


def mixtral(d: Dims) -> nn.Module:
    return tf.MixtralForCausalLM(tf.MixtralConfig(**_decoder(d, num_local_experts=EXPERTS, num_experts_per_tok=2)))


def mixtral_square(d: Dims) -> nn.Module:
    """gate_up_proj is square, which down_proj is not."""
    hidden = _decoder(d)["hidden_size"]
    return tf.MixtralForCausalLM(tf.MixtralConfig(**_decoder(d, num_local_experts=EXPERTS, num_experts_per_tok=2, intermediate_size=hidden // 2)))


def qwen3_moe(d: Dims) -> nn.Module:
    more = dict(num_experts=EXPERTS, num_experts_per_tok=2, moe_intermediate_size=d.hidden // 4 + 2, mlp_only_layers=[0], head_dim=8)
    return tf.Qwen3MoeForCausalLM(tf.Qwen3MoeConfig(**_decoder(d, **more)))


def deepseek_v3(d: Dims) -> nn.Module:
    more = dict(
        n_routed_experts=EXPERTS, num_experts_per_tok=2, moe_intermediate_size=d.hidden // 4 + 2, first_k_dense_replace=1, n_group=1, topk_group=1,
        kv_lora_rank=8, q_lora_rank=8, qk_rope_head_dim=4, qk_nope_head_dim=4, v_head_dim=8,
    )  # fmt: skip
    return tf.DeepseekV3ForCausalLM(tf.DeepseekV3Config(**_decoder(d, **more)))


def olmoe(d: Dims) -> nn.Module:
    return tf.OlmoeForCausalLM(tf.OlmoeConfig(**_decoder(d, num_experts=EXPERTS, num_experts_per_tok=2)))


def jamba(d: Dims) -> nn.Module:
    more = dict(
        num_experts=EXPERTS, num_experts_per_tok=2, attn_layer_period=2, attn_layer_offset=1, expert_layer_period=2, expert_layer_offset=1,
        mamba_dt_rank=4, mamba_d_state=4,
    )  # fmt: skip
    return tf.JambaForCausalLM(tf.JambaConfig(**_decoder(d, **more)))


def gpt_oss(d: Dims) -> nn.Module:
    return tf.GptOssForCausalLM(tf.GptOssConfig(**_decoder(d, num_local_experts=EXPERTS, num_experts_per_tok=2, head_dim=8)))


def gpt_oss_square(d: Dims) -> nn.Module:
    """down_proj is square, as in the released models."""
    hidden = _decoder(d)["hidden_size"]
    more = dict(num_local_experts=EXPERTS, num_experts_per_tok=2, head_dim=8, intermediate_size=hidden)
    return tf.GptOssForCausalLM(tf.GptOssConfig(**_decoder(d, **more)))


def llama4(d: Dims) -> nn.Module:
    more = dict(num_local_experts=EXPERTS, head_dim=8, intermediate_size_mlp=20, interleave_moe_layer_step=2)
    return tf.Llama4ForCausalLM(tf.Llama4TextConfig(**_decoder(d, **more)))


def qwen3_vl_moe(d: Dims) -> nn.Module:
    text = _decoder(
        d, head_dim=8, num_experts=EXPERTS, num_experts_per_tok=2, moe_intermediate_size=d.hidden // 4 + 2,
        rope_parameters=MROPE,
    )  # fmt: skip
    vision = dict(
        depth=1, hidden_size=8, intermediate_size=8, num_heads=1, patch_size=2, out_hidden_size=text["hidden_size"], deepstack_visual_indexes=[],
        num_position_embeddings=16,
    )  # fmt: skip
    return tf.Qwen3VLMoeForConditionalGeneration(
        tf.Qwen3VLMoeConfig(text_config=text, vision_config=vision, image_token_id=5, video_token_id=6, vision_start_token_id=7, vision_end_token_id=8)
    )


def ernie4_5_vl_moe(d: Dims) -> nn.Module:
    """One list of experts on disk, the first half for text and the second for images."""
    text = _decoder(
        d, hidden_size=16, moe_intermediate_size=[10, 6], moe_num_experts=EXPERTS, moe_k=2, moe_num_shared_experts=1, mlp_layer_types=["dense", "sparse"], rope_parameters=MROPE,
    )  # fmt: skip
    vision = dict(depth=1, hidden_size=16, intermediate_size=16, num_heads=2, patch_size=4)
    return tf.Ernie4_5_VLMoeForConditionalGeneration(tf.Ernie4_5_VLMoeConfig(text_config=text, vision_config=vision))


def llama4_vision(d: Dims) -> nn.Module:
    text = _decoder(d, num_local_experts=EXPERTS, head_dim=8, intermediate_size_mlp=20, interleave_moe_layer_step=1)
    vision = dict(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=16, patch_size=8, vision_output_dim=16,
        projector_input_dim=16, projector_output_dim=16,
    )  # fmt: skip
    return tf.Llama4ForConditionalGeneration(tf.Llama4Config(text_config=text, vision_config=vision))


def lfm2_moe(d: Dims) -> nn.Module:
    more = dict(moe_intermediate_size=10, num_experts=EXPERTS, num_experts_per_tok=2, num_dense_layers=1, layer_types=["conv", "full_attention"])
    return tf.Lfm2MoeForCausalLM(tf.Lfm2MoeConfig(**_decoder(d, **more)))


def deepseek_v4(d: Dims) -> nn.Module:
    more = dict(moe_intermediate_size=10, n_routed_experts=EXPERTS, num_experts_per_tok=2, q_lora_rank=8, o_lora_rank=8, o_groups=1, head_dim=8, qk_rope_head_dim=4)
    return tf.DeepseekV4ForCausalLM(tf.DeepseekV4Config(**_decoder(d, **more)))


# Further model types with stacks of experts, for runs with other seeds.
FAMILIES = (
    "afmoe", "aria_text", "axk1", "axk2", "bailing_hybrid", "beam", "cohere2_moe", "deepseek_v2", "deepseek_v32", "ernie4_5_moe", "exaone_moe",
    "flex_olmo", "glm4_moe", "glm4_moe_lite", "glm_moe_dsa", "granitemoe", "granitemoe_swa", "granitemoehybrid", "granitemoeshared", "hy_v3", "hy_v4",
    "inkling2_text", "inkling_text", "jetmoe", "kimi_linear", "kolibri1", "laguna", "longcat_flash", "mellum", "mimo_v2_flash", "minimax", "minimax_m2",
    "minimax_m3_vl_text", "nemotron_h", "phimoe", "qwen2_moe", "qwen3_5_moe_text", "qwen3_next", "solar_open",
)  # fmt: skip


def _family(kind: str) -> Callable[[Dims], nn.Module]:
    """A model of the type with small values for what its configuration has of these."""

    def build(d: Dims) -> nn.Module:
        config_class = tf.models.auto.configuration_auto.CONFIG_MAPPING[kind]
        sizes = _decoder(
            d, head_dim=8, moe_intermediate_size=d.hidden // 4 + 2, num_experts=EXPERTS, num_local_experts=EXPERTS, n_routed_experts=EXPERTS, moe_num_experts=EXPERTS,
            num_experts_per_tok=2, moe_topk=2, moe_k=2, n_shared_experts=1, num_shared_experts=1, n_group=1, topk_group=1, first_k_dense_replace=1,
            num_dense_layers=1, moe_layer_start_index=1, decoder_sparse_step=1, mlp_layer_types=["dense", "sparse"], shared_expert_intermediate_size=12,
            ffn_hidden_size=12, expert_ffn_hidden_size=10, kv_lora_rank=8, q_lora_rank=8, qk_rope_head_dim=4, qk_nope_head_dim=4, v_head_dim=8,
            linear_num_value_heads=2, linear_num_key_heads=2, linear_key_head_dim=4, linear_value_head_dim=4, mamba_num_heads=2, mamba_head_dim=8,
            mamba_n_heads=4, mamba_d_head=d.hidden // 4, mamba_n_groups=1, n_groups=1, ssm_state_size=4, num_layers=2,
        )  # fmt: skip
        default = config_class()
        known = {name: value for name, value in sizes.items() if name in vars(default) or name in config_class.__annotations__}
        if types := getattr(default, "layer_types", None):
            known["layer_types"] = (list(dict.fromkeys(types)) * 2)[:2]
        names = tf.models.auto.modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
        return getattr(tf, names[kind])(config_class(**known))

    return build


BASES: dict[str, Callable[[Dims], nn.Module]] = {
    f.__name__: f
    for f in (
        mixtral, mixtral_square, qwen3_moe, deepseek_v3, olmoe, jamba, gpt_oss, gpt_oss_square, llama4, qwen3_vl_moe, ernie4_5_vl_moe, llama4_vision, lfm2_moe, deepseek_v4,
    )
} | {kind: _family(kind) for kind in FAMILIES}  # fmt: skip


def lay_out(base: str, directory: Path) -> None:
    """Gives a saved model the layout of the hub where this transformers saves another one."""
    if base != "qwen3_vl_moe":
        return
    for file in directory.glob("*.safetensors"):
        tensors = load_file(file)
        for name, value in tensors.items():
            if ".mlp.experts." in name:
                tensors[name] = value.transpose(1, 2).contiguous()
        save_file(tensors, file, metadata={"format": "pt"})


# --- adapters ---


def _factors(tensors: breaks.Tensors) -> list[str]:
    """Names of the factors of stacks, without their ends."""
    return sorted({name[: -len(".lora_A.weight")] for name in tensors if name.endswith(".lora_A.weight") and ".experts." in name})


def _by_expert(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A as expert, rank, input; B as output, rank, expert."""
    return a.reshape(EXPERTS, -1, a.shape[1]), b.reshape(b.shape[0], -1, EXPERTS)


def turn(version: str) -> breaks.Edit:
    """The layout of another release: A and B change sides, the delta stays."""

    def change(tensors: breaks.Tensors) -> breaks.Tensors:
        for name in _factors(tensors):
            a, b = _by_expert(tensors[name + ".lora_A.weight"], tensors[name + ".lora_B.weight"])
            tensors[name + ".lora_A.weight"] = b.permute(2, 1, 0).reshape(-1, b.shape[0]).contiguous()
            tensors[name + ".lora_B.weight"] = a.permute(2, 1, 0).reshape(a.shape[2], -1).contiguous()
        return tensors

    def edit(adapter: Path) -> None:
        breaks.rewrite(adapter, change)
        breaks.configure(peft_version=version)(adapter)

    return edit


def group(adapter: Path) -> None:
    """The columns of B as unsloth trained them, and says."""

    def change(tensors: breaks.Tensors) -> breaks.Tensors:
        for name in _factors(tensors):
            _, b = _by_expert(tensors[name + ".lora_A.weight"], tensors[name + ".lora_B.weight"])
            tensors[name + ".lora_B.weight"] = b.transpose(1, 2).reshape(b.shape[0], -1).contiguous()
        return tensors

    breaks.rewrite(adapter, change)
    breaks.configure(lora_B_layout="grouped_by_expert")(adapter)


def each_expert(modules: dict[str, str], layers: tuple[int, ...], rank: int) -> breaks.Edit:
    """The file that PEFT on transformers 4 wrote, where every expert has its own layers: modules gives the places of
    gate, up and down below the model, and of the router."""

    def edit(adapter: Path) -> None:
        config = json.loads((adapter / breaks.CONFIG).read_text())
        shapes = _expert_shapes(adapter)
        generator = torch.Generator().manual_seed(len(layers))
        tensors = {name: value for name, value in load_file(adapter / breaks.WEIGHTS).items() if ".experts." not in name and ".gate." not in name}
        for layer in layers:
            for expert in range(EXPERTS):
                for role in ("gate", "up", "down"):
                    out, inputs = shapes[role]
                    name = f"{breaks.PREFIX}model.layers.{layer}.{modules[role].replace('*', str(expert))}"
                    tensors[name + ".lora_A.weight"] = 0.1 * torch.randn(rank, inputs, generator=generator)
                    tensors[name + ".lora_B.weight"] = 0.1 * torch.randn(out, rank, generator=generator)
            if "router" in modules:
                name = f"{breaks.PREFIX}model.layers.{layer}.{modules['router']}"
                tensors[name + ".lora_A.weight"] = 0.1 * torch.randn(rank, shapes["gate"][1], generator=generator)
                tensors[name + ".lora_B.weight"] = 0.1 * torch.randn(EXPERTS, rank, generator=generator)
        save_file(tensors, adapter / breaks.WEIGHTS, metadata={"format": "pt"})
        targets = sorted(set(config["target_modules"]) | {path.split(".")[-1] for path in modules.values()})
        others = sorted({name for path in modules.values() if "*" in path for name in _like_experts(path)})
        breaks.configure(target_modules=targets, exclude_modules=others, target_parameters=None, rank_pattern={}, alpha_pattern={}, peft_version="0.17.1")(adapter)

    return edit


def _like_experts(path: str) -> list[str]:
    """Ends of the names of dense layers that are called as the experts' are."""
    block, leaf = path.split(".")[0], path.split(".")[-1]
    return [f"{block}.{leaf}", f"{block}.shared_experts.{leaf}", f"{block}.shared_expert.{leaf}"]


def _expert_shapes(adapter: Path) -> dict[str, tuple[int, int]]:
    """Outputs and inputs of an expert's layers, by the factors that PEFT wrote for the stacks."""
    tensors = load_file(adapter / breaks.WEIGHTS)
    outer = next(name for name in _factors(tensors) if name.endswith(".experts"))
    hidden = tensors[outer + ".lora_B.weight"].shape[0]
    inner = tensors[outer + ".lora_A.weight"].shape[1]
    return {"gate": (inner, hidden), "up": (inner, hidden), "down": (hidden, inner)}
