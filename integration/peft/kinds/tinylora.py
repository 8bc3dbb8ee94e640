from __future__ import annotations

from typing import Any

from case import Case


def tinylora(name: str, base: str, targets: list[str] | str, dtype: str = "bf16", safe: bool = False, file: str = "f32", **more: Any) -> Case:
    options = dict(r=2, u=5, target_modules=targets) | more
    return Case(f"tinylora-{name}", base, options, kind="TINYLORA", noise=0.5, dtype=dtype, safe=safe, file=file)


CASES = [
    tinylora("llama", "llama", ["k_proj", "v_proj"], projection_seed=7),
    tinylora("tied", "llama", r".*\.self_attn\.(q|k)_proj|.*\.1\.mlp\.up_proj", weight_tying=0.4, r=3, u=3, safe=True, dtype="f16"),
    tinylora("one", "layers", ["linear", "emb"], weight_tying=1.0, dtype="f32", u=2, file="bf16"),
    tinylora("rank", "layers", ["linear", "plain", "emb"], r=18, u=2, weight_tying=0.3),
    tinylora("gpt2-square", "gpt2", r".*\.attn\.c_proj", u=1),
    tinylora("drawn", "llama", r".*\.0\.(self_attn\.[kv]_proj|mlp\.down_proj)", save_projection=False, projection_seed=3, u=6),
    tinylora("drawn-tied", "llama", ["v_proj", "k_proj"], save_projection=False, weight_tying=0.4, r=3, dtype="f32"),
    tinylora("drawn-gpt2", "gpt2", ["attn.c_proj", "wpe"], save_projection=False, u=1, safe=True),
    Case(
        "tinylora-drawn-unordered", "layers", dict(r=1, u=2, target_modules=["linear", "plain"], save_projection=False), kind="TINYLORA",
        expect="refuse", refusal=("draw-impossible", "linear"),
    ),
]  # fmt: skip
