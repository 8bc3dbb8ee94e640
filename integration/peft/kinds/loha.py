from __future__ import annotations

from typing import Any

from case import Case


def loha(name: str, base: str, targets: list[str] | str, dtype: str = "bf16", safe: bool = False, file: str = "f32", **more: Any) -> Case:
    options = dict(r=4, alpha=6, target_modules=targets) | more
    return Case(f"loha-{name}", base, options, kind="LOHA", noise=0.4, dtype=dtype, safe=safe, file=file)


CASES = [
    loha("llama", "llama", ["q_proj", "down_proj"], rank_pattern={"down_proj": 3}, alpha_pattern={r"^model\.layers\.1.*": 2}),
    loha("llama-f32", "llama", r".*\.0\.self_attn\.(k|v)_proj", dtype="f32", modules_to_save=["norm"]),
    loha("llama-f16", "llama", r".*\.0\.self_attn\.(k|v)_proj", dtype="f16", file="f16"),
    loha("kinds", "layers", ["linear", "conv1d", "conv2d"], r=3),
    loha("kinds-core", "layers", ["plain", "conv1d", "conv2d"], use_effective_conv2d=True, safe=True),
    loha("kinds-core-f32", "layers", ["conv1d", "conv2d"], use_effective_conv2d=True, dtype="f32"),
]
