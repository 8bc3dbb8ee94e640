from __future__ import annotations

from typing import Any

from case import Case


def hira(name: str, base: str, targets: list[str] | str, dtype: str = "bf16", safe: bool = False, file: str = "f32", **more: Any) -> Case:
    options = dict(r=4, target_modules=targets) | more
    return Case(f"hira-{name}", base, options, kind="HIRA", noise=0.4, dtype=dtype, safe=safe, file=file)


CASES = [
    hira("llama", "llama", r".*\.0\.(self_attn\.k_proj|mlp\.down_proj)", rank_pattern={"down_proj": 3}),
    hira("kinds", "layers", ["linear", "conv1d", "conv2d", "conv3d", "emb"], r=3, safe=True),
    hira("kinds-f32", "layers", ["plain", "conv2d", "emb"], dtype="f32", file="bf16"),
    hira("gpt2-square", "gpt2", r".*\.1\.attn\.c_proj", dtype="f16"),
    hira("gpt2-embedding", "gpt2", ["wpe"]),
]
