"""LORA on mixtures of experts: layers of single experts, and stacks through target_parameters."""

from __future__ import annotations

from typing import Any

import breaks
import experts
from case import Case, lora

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]


def stacks(parameters: list[str], modules: list[str] | str | None = None, **more: Any) -> dict[str, Any]:
    return lora(modules or [], target_parameters=parameters, **more)


BOTH = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
MIXTRAL_4 = {"gate": "block_sparse_moe.experts.*.w1", "up": "block_sparse_moe.experts.*.w3", "down": "block_sparse_moe.experts.*.w2", "router": "block_sparse_moe.gate"}
QWEN_4 = {"gate": "mlp.experts.*.gate_proj", "up": "mlp.experts.*.up_proj", "down": "mlp.experts.*.down_proj", "router": "mlp.gate"}
DEEPSEEK_4 = {role: path for role, path in QWEN_4.items() if role != "router"}
V4 = experts.each_expert(MIXTRAL_4, (0, 1), 2)
EVERYTHING = [*BOTH, "gate.weight"]


def refuse(name: str, edit: breaks.Edit, *words: str, **more: Any) -> Case:
    return Case(f"mixtral-refuse-{name}", "mixtral", stacks(BOTH, ["q_proj"], r=2), expect="refuse", edit=edit, refusal=words, **more)


OTHERS = ("ernie4_5_vl_moe", "llama4_vision", "lfm2_moe", "deepseek_v4")
ANY = ["experts.gate_up_proj", "experts.up_proj", "experts.down_proj", "input_linear.weight", "output_linear.weight", "gate.weight", "router.weight"]
CASES = [
    *(Case(f"moe-{kind.replace('_', '-')}", kind, stacks(ANY, r=2), sweep=True) for kind in (*experts.FAMILIES, *OTHERS)),
    Case("mixtral-attention", "mixtral", lora(ATTENTION)),
    Case("mixtral-experts", "mixtral", stacks(BOTH, r=3, alpha=5)),
    Case("mixtral-all", "mixtral", stacks(EVERYTHING, ATTENTION, r=2)),
    Case("mixtral-all-linear", "mixtral", lora("all-linear", r=2, alpha=3)),
    Case("mixtral-f32", "mixtral", stacks(EVERYTHING, ["q_proj"], r=3), dtype="f32"),
    Case("mixtral-f16-file-bf16", "mixtral", stacks(EVERYTHING, ["q_proj"], r=3), dtype="f16", file="bf16"),
    Case("mixtral-safe", "mixtral", stacks(EVERYTHING, ["q_proj"], r=3), safe=True),
    Case("mixtral-down", "mixtral", stacks(["experts.down_proj"], r=2)),
    Case("mixtral-gate-up", "mixtral", stacks(["gate_up_proj"], r=2, use_rslora=True)),
    Case("mixtral-router", "mixtral", stacks(["mlp.gate.weight"], r=2)),
    Case(
        "mixtral-patterns",
        "mixtral",
        stacks(BOTH, ["q_proj"], r=2, rank_pattern={r"layers\.1\.mlp\.experts\.gate_up_proj": 3, "down_proj": 1}, alpha_pattern={r".*\.experts\.down_proj": 5}),
    ),
    Case("mixtral-fused", "mixtral_fused", stacks(EVERYTHING, ["q_proj"], r=3), notes="a base saved as it is in memory"),
    Case("mixtral-fused-f32", "mixtral_fused", stacks(BOTH, r=2), dtype="f32"),
    Case("mixtral-peft-0-18", "mixtral", stacks(BOTH, ["q_proj"], r=3), edit=experts.turn("0.18.1")),
    Case("mixtral-grouped", "mixtral", stacks(BOTH, r=3), edit=experts.group),
    Case("mixtral-fused-grouped", "mixtral_fused", stacks(BOTH, r=3), edit=experts.group),
    Case("mixtral-v4", "mixtral", stacks(BOTH, ["q_proj"], r=2), before=V4, notes="keys of transformers 4"),
    Case("mixtral-v4-fused", "mixtral_fused", stacks(BOTH, ["q_proj"], r=2), before=V4),
    Case("mixtral-square", "mixtral_square", stacks(BOTH, r=3)),
    Case("mixtral-square-0-18", "mixtral_square", stacks(BOTH, r=3), edit=experts.turn("0.18.0")),
    Case("mixtral-square-alone", "mixtral_square", stacks(["experts.gate_up_proj"], r=3), notes="only the release of PEFT tells"),
    Case("mixtral-square-alone-0-18", "mixtral_square", stacks(["experts.gate_up_proj"], r=3), edit=experts.turn("0.18.0")),
    Case("mixtral-square-alone-0-19-0", "mixtral_square", stacks(["experts.gate_up_proj"], r=3), edit=experts.turn("0.19.0")),
    Case("qwen3-moe-experts", "qwen3_moe", stacks(BOTH, r=2)),
    Case("qwen3-moe-all-linear", "qwen3_moe", lora("all-linear", r=2)),
    Case("qwen3-moe-attention", "qwen3_moe", lora(ATTENTION)),
    Case("qwen3-moe-fused", "qwen3_moe_fused", stacks(BOTH, ["q_proj"], r=2)),
    Case("qwen3-moe-v4", "qwen3_moe", stacks(BOTH, ["q_proj"], r=2), before=experts.each_expert(QWEN_4, (1,), 2)),
    Case("qwen3-moe-v4-fused", "qwen3_moe_fused", stacks(BOTH, ["q_proj"], r=2), before=experts.each_expert(QWEN_4, (1,), 2)),
    Case("deepseek-v3-attention", "deepseek_v3", lora(["q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj"], r=2)),
    Case("deepseek-v3-experts", "deepseek_v3", stacks(BOTH, r=2)),
    Case("deepseek-v3-both", "deepseek_v3", stacks(EVERYTHING, ["o_proj", "kv_b_proj"], r=3)),
    Case("deepseek-v3-v4", "deepseek_v3", stacks(BOTH, ["o_proj"], r=2), file="bf16", before=experts.each_expert(DEEPSEEK_4, (1,), 2)),
    Case("olmoe", "olmoe", stacks(EVERYTHING, ["q_proj"], r=2)),
    Case("jamba", "jamba", stacks(["experts.gate_up_proj", "experts.down_proj", "router.weight"], ["q_proj", "in_proj"], r=2)),
    Case("gpt-oss-attention", "gpt_oss", lora(ATTENTION)),
    Case("gpt-oss-experts", "gpt_oss", stacks(BOTH, r=3)),
    Case("gpt-oss-both", "gpt_oss", stacks([*BOTH, "router.weight"], ["q_proj"], r=2), dtype="f32"),
    Case("gpt-oss-biases", "gpt_oss", stacks([*BOTH, "gate_up_proj_bias", "down_proj_bias"], r=2)),
    Case("gpt-oss-0-19-0", "gpt_oss", stacks(BOTH, r=3), edit=experts.turn("0.19.0")),
    Case("gpt-oss-square", "gpt_oss_square", stacks(BOTH, r=3)),
    Case("gpt-oss-square-alone", "gpt_oss_square", stacks(["down_proj"], r=3)),
    Case("gpt-oss-square-0-19-0", "gpt_oss_square", stacks(["down_proj"], r=3), edit=experts.turn("0.19.0")),
    Case("gpt-oss-bias-all", "gpt_oss", stacks(BOTH, ["q_proj"], r=2, bias="all")),
    Case("llama4-attention", "llama4", lora(ATTENTION)),
    Case("llama4-experts", "llama4", stacks(["feed_forward.experts.gate_up_proj", "feed_forward.experts.down_proj"], r=3)),
    Case("llama4-both", "llama4", stacks(["experts.gate_up_proj", "experts.down_proj"], ["q_proj", "shared_expert.down_proj"], r=2), dtype="f32"),
    Case("llama4-0-18", "llama4", stacks(["experts.gate_up_proj", "experts.down_proj"], r=3), edit=experts.turn("0.17.0")),
    Case("qwen3-vl-moe", "qwen3_vl_moe", stacks(EVERYTHING, ["q_proj"], r=2), notes="the hub stores the experts transposed"),
    Case("qwen3-vl-moe-f32", "qwen3_vl_moe", stacks(BOTH, r=2), dtype="f32"),
    refuse("renamed", breaks.rename("layers.0.mlp.experts.lora_A", "layers.0.mlp.expertz.lora_A"), "expertz"),
    refuse("renamed-level", breaks.rename("experts.base_layer.lora_B", "experts.outer_layer.lora_B"), "outer_layer"),
    refuse("missing", breaks.drop("model.layers.0.mlp.experts.lora_B.weight"), "layers.0.mlp.experts", "lora_B"),
    refuse("extra", breaks.add("base_model.model.model.layers.0.mlp.experts.base_layer.base_layer.lora_A.weight"), "experts.base_layer.base_layer"),
    refuse("order", breaks.configure(lora_B_layout="sorted"), "lora_B_layout"),
    refuse("rank", breaks.configure(rank_pattern={"down_proj": 3}), "mlp.experts.lora_A"),
    refuse("experts", breaks.unchanged, "mlp.experts", against="mixtral-square-bf16"),
    refuse("v4-renamed", breaks.rename("experts.1.w2.lora_A", "experts.1.w4.lora_A"), "w4", before=V4),
    refuse("v4-missing", breaks.drop("model.layers.1.block_sparse_moe.experts.2.w3.lora_B.weight"), "experts.2.w3", "lora_B", before=V4),
    refuse("v4-too-many-experts", breaks.rename("experts.2.", "experts.7."), "experts.7.", before=V4),
]
