from __future__ import annotations

from typing import Any

from case import Case


def c3a(name: str, base: str, targets: list[str] | str, dtype: str = "bf16", safe: bool = False, file: str = "f32", **more: Any) -> Case:
    options = dict(block_size=4, target_modules=targets) | more
    return Case(f"c3a-{name}", base, options, kind="C3A", noise=2.0, dtype=dtype, safe=safe, file=file)


CASES = [
    c3a("llama", "llama", ["k_proj"], block_size_pattern={"0.self_attn.k_proj": 2}),
    c3a("inner", "llama", r".*\.0\.mlp\.down_proj", block_size=8, safe=True, file="bf16"),
    c3a("llama-f32", "llama", r".*\.1\.self_attn\.v_proj", block_size=1, dtype="f32", modules_to_save=["norm"]),
    c3a("bias", "qwen2", r".*\.1\.self_attn\.v_proj", bias="c3a_only"),
    c3a("kinds", "layers", ["linear", "plain"], dtype="f16"),
]
