from __future__ import annotations

from typing import Any

from case import Case, lora


def bdlora(name: str, base: str, a: list[str], b: list[str], blocks: int, strict: bool = True, **more: Any) -> Case:
    fields = {key: more.pop(key) for key in ("dtype", "file", "safe") if key in more}
    use = dict(target_modules_bd_a=a, target_modules_bd_b=b, nblocks=blocks, match_strict=strict)
    return Case(f"bdlora-{name}", base, lora(use_bdlora=use, **more), **fields)


CASES = [
    bdlora("llama", "llama", ["o_proj"], ["k_proj"], 2, targets=r".*\.0\.self_attn\.(k|o)_proj"),
    bdlora("loose", "llama", ["layers.0"], [], 4, strict=False, targets=["v_proj"], safe=True, dtype="f16"),
    bdlora("kinds", "layers", ["plain"], ["linear"], 2, targets=["linear", "plain"], dtype="f32", file="bf16"),
]
