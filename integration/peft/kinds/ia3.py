from __future__ import annotations

from typing import Any

from case import Case


def ia3(targets: list[str] | str, feedforward: list[str] | str, **more: Any) -> dict[str, Any]:
    return dict(target_modules=targets, feedforward_modules=feedforward, **more)


CASES = [
    Case("ia3-llama", "llama", ia3(["k_proj", "v_proj", "down_proj"], ["down_proj"], modules_to_save=["norm"]), kind="IA3"),
    Case("ia3-regex", "llama", ia3(r".*layers\.0.*(o_proj|down_proj)", r".*\.mlp\.down_proj"), kind="IA3", safe=True),
    Case("ia3-bias", "qwen2", ia3(["k_proj", "q_proj"], []), kind="IA3", dtype="f32"),
    Case("ia3-gpt2", "gpt2", ia3(["c_attn", "mlp.c_proj"], ["mlp.c_proj"]), kind="IA3"),
    Case("ia3-gpt2-square", "gpt2", ia3(r".*\.0\.attn\.c_proj", []), kind="IA3", dtype="f16"),
    Case("ia3-gpt2-square-inputs", "gpt2", ia3(["attn.c_proj"], ["attn.c_proj"]), kind="IA3", dtype="f32"),
    Case("ia3-kinds", "layers", ia3(["linear", "conv2d", "conv3d"], []), kind="IA3", file="bf16"),
    Case("ia3-kinds-inputs", "layers", ia3(["plain", "conv2d", "conv3d"], ["plain", "conv2d", "conv3d"]), kind="IA3", dtype="f16"),
]
