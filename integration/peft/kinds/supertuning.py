from __future__ import annotations

from typing import Any

from case import Case


def supertuning(name: str, base: str, targets: list[str] | str, dtype: str = "bf16", safe: bool = False, file: str = "f32", **more: Any) -> Case:
    options = dict(sparsity=0.5, target_modules=targets) | more
    return Case(f"supertuning-{name}", base, options, kind="SUPERTUNING", noise=0.2, dtype=dtype, safe=safe, file=file)


CASES = [
    supertuning("llama", "llama", ["k_proj"], r=3),
    supertuning("alpha", "llama", r".*\.0\.self_attn\.v_proj", r=4, lora_alpha=3, select_top=False, safe=True),
    supertuning("sparse-f32", "qwen2", r".*\.1\.self_attn\.k_proj", dtype="f32", modules_to_save=["norm"]),
    supertuning("kinds", "layers", ["linear", "plain"], r=2, sparsity=0.2, dtype="f16"),
]
