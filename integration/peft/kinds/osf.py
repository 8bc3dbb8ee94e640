from __future__ import annotations

from typing import Any

from case import Case


def osf(name: str, base: str, targets: list[str] | str, **more: Any) -> Case:
    fields = {key: more.pop(key) for key in ("dtype", "file", "safe") if key in more}
    if fields.get("dtype") != "f32":  # an element of a rounded factor that flips changes a row or a column
        fields["approximate"] = 1e-3
    return Case(f"osf-{name}", base, dict(target_modules=targets) | more, kind="OSF", noise=0.1, **fields)


CASES = [
    osf("llama", "llama", r".*\.0\.self_attn\.(k|q)_proj", effective_rank=20, rank_pattern={"k_proj": 0.6}),
    osf("llama-wide", "llama", r".*\.0\.mlp\.(down|up)_proj", effective_rank=30, file="bf16"),
    osf("llama-f32", "llama", r".*\.0\.self_attn\.k_proj", dtype="f32", modules_to_save=["norm"]),
    osf("kinds", "layers", ["linear", "plain"], effective_rank=0.9, dtype="f16", safe=True),
]
