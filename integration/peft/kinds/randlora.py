from __future__ import annotations

from typing import Any

from case import Case


def randlora(name: str, base: str, targets: list[str] | str, dtype: str = "bf16", safe: bool = False, file: str = "f32", **more: Any) -> Case:
    options = dict(r=5, randlora_alpha=2, target_modules=targets) | more
    return Case(f"randlora-{name}", base, options, kind="RANDLORA", noise=0.1, dtype=dtype, safe=safe, file=file)


CASES = [
    randlora("layers", "layers", ["linear", "plain"]),
    randlora("layers-f32", "layers", ["linear", "plain"], dtype="f32", sparse=True, r=4),
    randlora("gpt2", "gpt2", r".*\.1\.attn\.c_proj", dtype="f16", safe=True, very_sparse=True, r=16),
    randlora("different", "layers", ["linear", "out_proj"], r=6, file="bf16"),
    randlora("drawn", "layers", ["linear", "plain", "out_proj"], save_projection=False, projection_prng_key=3),
    randlora("drawn-f32", "layers", ["linear", "out_proj"], dtype="f32", save_projection=False, r=7, projection_prng_key=5),
    randlora("drawn-gpt2", "gpt2", r".*\.1\.attn\.c_proj", dtype="f16", save_projection=False),
    randlora("drawn-sparse", "layers", ["linear", "out_proj"], dtype="f32", sparse=True, save_projection=False),
    randlora("drawn-very-sparse", "layers", ["linear", "plain"], safe=True, very_sparse=True, save_projection=False),
]
