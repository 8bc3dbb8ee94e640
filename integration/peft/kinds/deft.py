from __future__ import annotations

from typing import Any

from case import Case


def deft(name: str, base: str, targets: list[str] | str, **more: Any) -> Case:
    fields = {key: more.pop(key) for key in ("dtype", "file", "safe", "sweep") if key in more}
    options = dict(r=4, target_modules=targets) | more
    return Case(f"deft-{name}", base, options, kind="DEFT", noise=0.2, **fields)


CASES = [
    deft("llama", "llama", r".*\.0\.(self_attn\.k_proj|mlp\.down_proj)"),
    deft("llama-qr", "llama", r".*\.0\.self_attn\.(k|v)_proj", decomposition_method="qr", alpha=6, safe=True, bias="deft_only"),
    deft("llama-f32", "llama", r".*\.0\.self_attn\.k_proj", decomposition_method="qr", alpha=3, dtype="f32"),
    deft("gpt2", "gpt2", r".*\.0\.attn\.c_proj", alpha=9, dtype="f16"),
    deft("gpt2-wide", "gpt2", r".*\.0\.attn\.c_attn", decomposition_method="qr", init_weights=False, file="bf16"),
    deft("para", "llama", r".*\.1\.self_attn\.k_proj", para=True),
    deft("narrow", "layers", ["linear", "plain"], para=True, decomposition_method="qr", r=30),
]
