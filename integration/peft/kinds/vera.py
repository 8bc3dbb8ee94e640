from __future__ import annotations

from typing import Any

from case import Case


def vera(name: str, base: str, targets: list[str] | str, dtype: str = "bf16", safe: bool = False, file: str = "f32", **more: Any) -> Case:
    options = dict(r=8, target_modules=targets) | more
    return Case(f"vera-{name}", base, options, kind="VERA", noise=0.3, dtype=dtype, safe=safe, file=file)


CASES = [
    vera("llama", "llama", ["q_proj", "v_proj", "down_proj"], d_initial=0.5),
    vera("llama-f32", "llama", r".*\.0\.(self_attn\.k_proj|mlp\.up_proj)", dtype="f32", r=5, modules_to_save=["norm"]),
    vera("llama-safe", "llama", ["k_proj"], safe=True, file="bf16"),
    vera("gpt2", "gpt2", ["c_attn"], dtype="f16"),
    vera("gpt2-square", "gpt2", ["attn.c_proj"]),
    vera("bias", "qwen2", ["k_proj"], bias="vera_only"),
    vera("drawn", "llama", r".*\.0\.(self_attn\.v_proj|mlp\.down_proj)", save_projection=False, projection_prng_key=3),
    vera("drawn-f32", "layers", ["linear", "plain"], r=5, save_projection=False, projection_prng_key=-4, dtype="f32"),
    vera("drawn-gpt2", "gpt2", r".*\.1\.attn\.c_(proj|attn)", save_projection=False, dtype="f16", safe=True),
]
