from __future__ import annotations

from typing import Any

from case import Case


def gralora(name: str, base: str, targets: list[str] | str, dtype: str = "bf16", safe: bool = False, file: str = "f32", **more: Any) -> Case:
    options = dict(r=4, alpha=3, target_modules=targets) | more
    return Case(f"gralora-{name}", base, options, kind="GRALORA", noise=0.3, dtype=dtype, safe=safe, file=file)


CASES = [
    gralora("llama", "llama", r".*\.0\.(self_attn\.k_proj|mlp\.down_proj)"),
    gralora("hybrid", "llama", r".*\.0\.self_attn\.v_proj", r=8, gralora_k=4, hybrid_r=3, safe=True),
    gralora("f32", "layers", ["linear", "plain"], dtype="f32", hybrid_r=1, file="bf16"),
    gralora("gpt2-square", "gpt2", r".*\.1\.attn\.c_proj", dtype="f16", r=6, gralora_k=2, hybrid_r=2),
]
