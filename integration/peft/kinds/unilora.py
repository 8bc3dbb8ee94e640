from __future__ import annotations

from typing import Any

from case import Case


def unilora(name: str, base: str, targets: list[str] | str, dtype: str = "bf16", safe: bool = False, file: str = "f32", **more: Any) -> Case:
    fields = {key: more.pop(key) for key in ("twin", "expect") if key in more}
    options = dict(r=3, theta_d_length=50, save_indices=True, target_modules=targets) | more
    return Case(f"unilora-{name}", base, options, kind="UNILORA", noise=0.3, dtype=dtype, safe=safe, file=file, **fields)


CASES = [
    unilora("llama", "llama", r".*\.0\.(self_attn\.k_proj|mlp\.down_proj)", r=4),
    unilora("f32", "layers", ["linear", "plain"], dtype="f32"),
    unilora("gpt2-square", "gpt2", r".*\.1\.attn\.c_proj", dtype="f16", safe=True),
    unilora("drawn", "llama", ["k_proj", "v_proj"], save_indices=False, proj_seed=7),
    unilora("drawn-f32", "llama", r".*\.0\.self_attn\.(k|v)_proj", save_indices=False, dtype="f32", r=2, theta_d_length=3000),
    unilora("drawn-gpt2", "gpt2", ["attn.c_proj"], save_indices=False, dtype="f16", theta_d_length=30),
    unilora("drawn-tied", "llama_tied", ["lm_head", "k_proj"], save_indices=False, theta_d_length=30, twin="untied", expect="forward"),
]
