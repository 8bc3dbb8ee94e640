from __future__ import annotations

from case import Case

CASES = [
    Case("ln-tuning-llama", "llama", dict(target_modules=["input_layernorm", "norm"]), kind="LN_TUNING"),
    Case("ln-tuning-gpt2", "gpt2", dict(target_modules=["ln_1", "ln_f"]), kind="LN_TUNING", dtype="f16"),
    Case("ln-tuning-kinds", "layers", dict(target_modules=["norm"]), kind="LN_TUNING", file="bf16"),
]
