from __future__ import annotations

from typing import Any

from case import Case


def waveft(name: str, base: str, targets: list[str] | str, **more: Any) -> Case:
    fields = {key: more.pop(key) for key in ("dtype", "file", "safe", "sweep") if key in more}
    options = dict(n_frequency=250, scaling=1.5, target_modules=targets) | more
    return Case(f"waveft-{name}", base, options, kind="WAVEFT", noise=0.3, **fields)


CASES = [
    waveft("llama", "llama", r".*\.0\.(self_attn\.k_proj|mlp\.down_proj)", n_frequency_pattern={"k_proj": 90}),
    waveft("llama-f32", "llama", r".*\.0\.self_attn\.k_proj", wavelet_family="db4", random_loc_seed=5, dtype="f32"),
    waveft("gpt2", "gpt2", r".*\.0\.attn\.c_proj", wavelet_family="sym3", dtype="f16", safe=True),
    waveft("gpt2-wide", "gpt2", r".*\.0\.attn\.c_attn", wavelet_family="coif4", proportional_parameters=True),
    waveft("head", "llama", ["lm_head"], wavelet_family="db2", n_frequency=400, sweep=True),
    waveft("plain", "layers", ["linear", "plain"], use_idwt=False, file="bf16", bias="waveft_only"),
]
