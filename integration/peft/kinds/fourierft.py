from __future__ import annotations

from typing import Any

from case import Case


def fourierft(name: str, base: str, targets: list[str] | str, **more: Any) -> Case:
    fields = {key: more.pop(key) for key in ("dtype", "file", "safe") if key in more}
    options = dict(n_frequency=200, scaling=120.5, target_modules=targets) | more
    return Case(f"fourierft-{name}", base, options, kind="FOURIERFT", noise=0.4, **fields)


CASES = [
    fourierft("llama", "llama", ["k_proj", "down_proj"], n_frequency_pattern={"k_proj": 70, "mlp.up": 3, "1.mlp.down_proj": 300}, safe=True),
    fourierft("llama-f32", "llama", r".*\.0\.self_attn\.k_proj", random_loc_seed=-3, dtype="f32", modules_to_save=["norm"]),
    fourierft("gpt2", "gpt2", r".*\.0\.attn\.c_(attn|proj)", dtype="f16", file="bf16"),
    fourierft("kinds", "layers", ["linear", "plain"], n_frequency=480, bias="fourierft_only"),
]
