from __future__ import annotations

from typing import Any

from case import Case


def hra(name: str, base: str, targets: list[str] | str, dtype: str = "bf16", safe: bool = False, file: str = "f32", **more: Any) -> Case:
    options = dict(r=4, target_modules=targets) | more
    return Case(f"hra-{name}", base, options, kind="HRA", noise=0.2, dtype=dtype, safe=safe, file=file)


CASES = [
    hra("llama", "llama", ["k_proj"], r=3, file="bf16"),
    hra("orthogonal", "llama", r".*\.0\.self_attn\.k_proj", apply_GS=True, safe=True),
    hra("orthogonal-f32", "llama", r".*\.1\.self_attn\.v_proj", r=5, apply_GS=True, dtype="f32", modules_to_save=["norm"]),
    hra("bias", "qwen2", r".*\.1\.self_attn\.v_proj", bias="hra_only"),
    hra("conv", "vit", ["projection"]),
    hra("conv-orthogonal", "vit", ["projection"], apply_GS=True, safe=True),
    hra("kinds", "layers", ["linear", "plain"], r=1, dtype="f16"),
]
