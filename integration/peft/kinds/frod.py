from __future__ import annotations

from typing import Any

from case import Case


def frod(name: str, base: str, targets: list[str] | str, **more: Any) -> Case:
    fields = {key: more.pop(key) for key in ("dtype", "file", "safe") if key in more}
    options = dict(target_modules=targets, sparse_rate=0.05, progressbar=False) | more
    return Case(f"frod-{name}", base, options, kind="FROD", noise=0.1, **fields)


CASES = [
    frod("llama", "llama", ["k_proj"]),
    frod("llama-f32", "llama", r".*\.0\.self_attn\.(k|v)_proj", dtype="f32"),
    frod("gpt2", "gpt2", r".*\.0\.attn\.c_proj", dtype="f32", safe=True),
    frod("kinds", "layers", ["linear"], dtype="f16"),
]
