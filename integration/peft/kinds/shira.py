from __future__ import annotations

from typing import Any

from case import Case


def shira(name: str, base: str, targets: list[str] | str, dtype: str = "bf16", safe: bool = False, file: str = "f32", **more: Any) -> Case:
    options = dict(r=3, target_modules=targets) | more
    return Case(f"shira-{name}", base, options, kind="SHIRA", noise=0.2, dtype=dtype, safe=safe, file=file)


CASES = [
    shira("llama", "llama", ["k_proj"], random_seed=3),
    shira("qwen2-f32", "qwen2", r".*\.1\.mlp\.down_proj", r=1, dtype="f32"),
    shira("safe", "llama", r".*\.0\.self_attn\.v_proj", r=6, safe=True, modules_to_save=["norm"]),
    shira("kinds", "layers", ["linear", "plain"], r=4, dtype="f16", random_seed=1),
]
