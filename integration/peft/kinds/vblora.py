from __future__ import annotations

from typing import Any

from case import Case


def vblora(name: str, base: str, targets: list[str] | str, dtype: str = "bf16", safe: bool = False, file: str = "f32", **more: Any) -> Case:
    options = dict(r=3, num_vectors=9, vector_length=4, target_modules=targets) | more
    return Case(f"vblora-{name}", base, options, kind="VBLORA", noise=0.3, dtype=dtype, safe=safe, file=file)


CASES = [
    vblora("llama", "llama", r".*\.0\.(self_attn\.k_proj|mlp\.down_proj)", topk=3),
    vblora("f32", "llama", r".*\.1\.self_attn\.v_proj", dtype="f32", r=2, file="bf16"),
    vblora("gpt2-square", "gpt2", r".*\.1\.attn\.c_proj", dtype="f16", safe=True, topk=1),
    vblora("chosen", "llama", r".*\.0\.(self_attn\.k_proj|mlp\.down_proj)", save_only_topk_weights=True, topk=3),
    vblora("chosen-f32", "layers", ["linear"], dtype="f32", save_only_topk_weights=True, num_vectors=300),
    vblora("chosen-one", "gpt2", r".*\.0\.attn\.c_proj", save_only_topk_weights=True, topk=1),
]
