from __future__ import annotations

from typing import Any

from case import Case


def pvera(name: str, base: str, targets: list[str] | str, dtype: str = "bf16", safe: bool = False, file: str = "f32", **more: Any) -> Case:
    options = dict(r=4, target_modules=targets) | more
    return Case(f"pvera-{name}", base, options, kind="PVERA", noise=0.3, dtype=dtype, safe=safe, file=file)


CASES = [
    pvera("llama", "llama", r".*\.0\.(self_attn\.v_proj|mlp\.down_proj)", d_initial=0.5, sample_at_inference=True, generator_seed=3),
    pvera("f32", "llama", r".*\.0\.self_attn\.k_proj", dtype="f32", r=3, file="bf16"),
    pvera("gpt2-square", "gpt2", r".*\.1\.attn\.c_proj", dtype="f16", safe=True),
    pvera("drawn", "llama", r".*\.0\.(self_attn\.v_proj|mlp\.down_proj)", save_projection=False, projection_prng_key=3),
    pvera("drawn-f32", "layers", ["linear", "plain"], r=5, save_projection=False, projection_prng_key=-4, dtype="f32"),
    pvera("drawn-gpt2", "gpt2", r".*\.1\.attn\.c_(proj|attn)", save_projection=False, dtype="f16", safe=True),
]
