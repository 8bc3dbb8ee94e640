from __future__ import annotations

from typing import Any

from case import Case


def road(name: str, base: str, targets: list[str] | str, dtype: str = "bf16", safe: bool = False, file: str = "f32", **more: Any) -> Case:
    options = dict(group_size=4, target_modules=targets) | more
    return Case(f"road-{name}", base, options, kind="ROAD", noise=0.4, dtype=dtype, safe=safe, file=file)


CASES = [
    road("llama", "llama", ["k_proj"], file="bf16"),
    road("bias", "qwen2", r".*\.0\.self_attn\.v_proj", variant="road_2", group_size=2, safe=True),
    road("bias-f32", "qwen2", r".*\.1\.self_attn\.k_proj", variant="road_4", dtype="f32", modules_to_save=["norm"]),
    road("four", "llama", r".*\.0\.self_attn\.v_proj", variant="road_4"),
    road("kinds", "layers", ["linear", "plain"], variant="road_2", dtype="f16"),
]
