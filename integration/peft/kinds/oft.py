from __future__ import annotations

from typing import Any

from case import Case

ONE = r".*\.0\.self_attn\.k_proj"


def oft(name: str, base: str, targets: list[str] | str, dtype: str = "bf16", safe: bool = False, file: str = "f32", **more: Any) -> Case:
    options = dict(oft_block_size=8, target_modules=targets) | more
    return Case(f"oft-{name}", base, options, kind="OFT", noise=0.1, dtype=dtype, safe=safe, file=file)


CASES = [
    oft("llama", "llama", r".*\.1\.self_attn\.q_proj"),
    oft("exact", "llama", ONE, use_cayley_neumann=False, safe=True, file="bf16"),
    oft("exact-f32", "llama", ONE, use_cayley_neumann=False, dtype="f32"),
    oft("two-terms-f16", "llama", ONE, num_cayley_neumann_terms=2, dtype="f16", file="f16"),
    oft("three-terms", "llama", ONE, num_cayley_neumann_terms=3, modules_to_save=["norm"]),
    oft("seven-terms", "llama", ONE, num_cayley_neumann_terms=7),
    oft("coft", "llama", ONE, coft=True, eps=0.3),
    oft("share", "llama", ONE, oft_block_size=0, r=4, block_share=True, coft=True, eps=0.2),
    oft("bias", "qwen2", ["k_proj"], oft_block_size=7, bias="oft_only"),
    oft("conv", "vit", ["projection"], oft_block_size=6),
    oft("kinds", "layers", ["linear", "emb"], oft_block_size=4, dtype="f16"),
    oft("embedding-f32", "layers", ["emb"], oft_block_size=0, r=2, dtype="f32", coft=True, eps=0.5),
]
