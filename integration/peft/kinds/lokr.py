from __future__ import annotations

from typing import Any

from case import Case


def lokr(name: str, base: str, targets: list[str] | str, dtype: str = "bf16", safe: bool = False, file: str = "f32", **more: Any) -> Case:
    options = dict(r=2, alpha=3, target_modules=targets) | more
    return Case(f"lokr-{name}", base, options, kind="LOKR", noise=0.4, dtype=dtype, safe=safe, file=file)


CASES = [
    lokr("llama", "llama", ["q_proj", "k_proj"], rank_pattern={"k_proj": 3}, alpha_pattern={r"^model\.layers\.1.*": 2}),
    lokr("llama-both-f16", "llama", r".*\.0\.self_attn\.(k|v)_proj", decompose_both=True, r=1, dtype="f16", file="f16"),
    lokr("llama-factor-f32", "llama", r".*\.0\.self_attn\.k_proj", decompose_factor=4, decompose_both=True, r=1, dtype="f32", modules_to_save=["norm"]),
    lokr("kinds", "layers", ["linear", "conv1d", "conv2d"], r=1, alpha=1, safe=True),
    lokr("kinds-whole", "layers", ["plain", "conv1d", "conv2d"], r=8, file="bf16"),
    lokr("kinds-whole-f32", "layers", ["conv1d", "conv2d"], r=8, dtype="f32"),
    lokr("kinds-core", "layers", ["conv1d", "conv2d"], r=2, alpha=1, rank_pattern={"conv2d": 1}, use_effective_conv2d=True),
    lokr("kinds-core-f16", "layers", ["conv1d", "conv2d"], r=2, alpha=1, rank_pattern={"conv2d": 1}, use_effective_conv2d=True, dtype="f16"),
]
