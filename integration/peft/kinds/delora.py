from __future__ import annotations

from typing import Any

from case import Case


def delora(name: str, base: str, targets: list[str] | str, dtype: str = "bf16", safe: bool = False, file: str = "f32", **more: Any) -> Case:
    options = dict(r=4, delora_lambda=2, target_modules=targets) | more
    return Case(f"delora-{name}", base, options, kind="DELORA", noise=0.3, dtype=dtype, safe=safe, file=file)


CASES = [
    delora("llama", "llama", r".*\.0\.(self_attn\.k_proj|mlp\.down_proj)", rank_pattern={"down_proj": 3}),
    delora("f32", "layers", ["linear", "plain"], dtype="f32", lambda_pattern={"linear": 1}, file="bf16"),
    delora("f16", "layers", ["linear", "plain"], dtype="f16", bias="all", safe=True),
]
