from __future__ import annotations

from typing import Any

from case import Case


def peanut(name: str, base: str, targets: list[str] | str, **more: Any) -> Case:
    fields = {key: more.pop(key) for key in ("dtype", "file", "safe") if key in more}
    options = dict(r=6, target_modules=targets) | more
    return Case(f"peanut-{name}", base, options, kind="PEANUT", noise=0.3, **fields)


CASES = [
    peanut("llama", "llama", r".*\.0\.(self_attn\.k_proj|mlp\.down_proj)", scaling=0.7, safe=True),
    peanut("llama-deep", "llama", r".*\.1\.self_attn\.v_proj", depth=2, act_fn="gelu_new", file="bf16"),
    peanut("llama-f32", "llama", r".*\.0\.self_attn\.k_proj", depth=1, act_fn="sigmoid", dtype="f32", modules_to_save=["norm"]),
    peanut("kinds", "layers", ["linear", "plain"], depth=1, act_fn="mish", scaling=2, dtype="f16"),
]
