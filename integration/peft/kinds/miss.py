from __future__ import annotations

from typing import Any

import breaks
from case import Case


def miss(name: str, base: str, targets: list[str] | str, r: int, **more: Any) -> Case:
    fields = {key: more.pop(key) for key in ("dtype", "file", "safe", "edit", "notes") if key in more}
    return Case(name, base, dict(r=r, target_modules=targets, **more), kind="MISS", **fields)


CASES = [
    miss("miss-llama", "llama", ["q_proj", "down_proj"], 5),
    miss("miss-even", "llama", r".*\.0\.self_attn\.k_proj", 8, dtype="f16", file="f16", safe=True, modules_to_save=["norm"]),
    miss("miss-bat", "llama", ["v_proj"], 4, init_weights="bat", safe=True),
    miss("miss-bat-f32", "llama", r".*\.0\.mlp\.down_proj", 4, init_weights="bat", dtype="f32"),
    miss("miss-mini", "llama", ["v_proj"], 6, init_weights="mini", mini_r=4),
    miss("miss-kinds", "layers", ["linear"], 7, bias="all", dtype="f32", file="bf16"),
    miss("bone", "llama", ["k_proj"], 8, edit=breaks.bone, notes="as PEFT before 0.18 saved it"),
    miss("bone-bat", "llama", ["k_proj"], 4, init_weights="bat", edit=breaks.bone, notes="as PEFT before 0.18 saved it"),
]
