from __future__ import annotations

from case import Case

CASES = [
    Case("beft-qwen2", "qwen2", dict(target_modules=["q_proj", "v_proj"]), kind="BEFT"),
    Case("beft-f32", "qwen2", dict(target_modules=["k_proj"]), kind="BEFT", dtype="f32"),
    Case("beft-kinds", "layers", dict(target_modules=["linear"], modules_to_save=["norm"]), kind="BEFT", dtype="f16", safe=True, file="bf16"),
]
