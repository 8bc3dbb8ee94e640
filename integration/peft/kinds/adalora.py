from __future__ import annotations

from typing import Any

from case import Case


def adalora(name: str, base: str, targets: list[str] | str, **more: Any) -> Case:
    fields = {key: more.pop(key) for key in ("dtype", "file", "safe", "notes") if key in more}
    options = dict(init_r=4, lora_alpha=9, total_step=100, target_modules=targets) | more
    return Case(f"adalora-{name}", base, options, kind="ADALORA", noise=0.3, **fields)


def pruned(module: str, kept: list[bool]) -> dict[str, list[bool]]:
    return {f"model.layers.0.self_attn.{module}.lora_E": kept}


CASES = [
    adalora("llama", "llama", ["q_proj", "down_proj"]),
    adalora("llama-f32", "llama", r".*\.0\.self_attn\.k_proj", dtype="f32", lora_alpha=0, safe=True),
    adalora("gpt2-square", "gpt2", ["attn.c_proj"], dtype="f16", file="bf16"),
    adalora("kinds", "layers", ["linear", "conv2d"], bias="all"),
    adalora("pruned", "llama", ["k_proj"], rank_pattern=pruned("k_proj", [True, False, True, False])),
    adalora("pruned-f16", "llama", ["v_proj"], rank_pattern=pruned("v_proj", [True, True, True, False]), lora_alpha=-1, dtype="f16"),
    adalora("pruned-f32", "llama", ["v_proj"], rank_pattern=pruned("v_proj", [False, True, True, False]), dtype="f32"),
    adalora("pruned-away", "llama", ["v_proj"], rank_pattern=pruned("v_proj", [False] * 4)),
]
