from __future__ import annotations

from typing import Any

from case import Case

BIASED = r".*\.0\.self_attn\.k_proj"


def glora(name: str, base: str, targets: list[str] | str, dtype: str = "bf16", safe: bool = False, file: str = "f32", **more: Any) -> Case:
    options = dict(r=3, target_modules=targets) | more
    return Case(f"glora-{name}", base, options, kind="GLORA", noise=0.3, dtype=dtype, safe=safe, file=file)


CASES = [
    glora("llama", "llama", r".*\.0\.self_attn\.k_proj", modules_to_save=["norm"]),
    glora("bias", "qwen2", BIASED, file="bf16"),
    glora("vectors", "qwen2", BIASED, config_A_B="vector", config_C="vector", config_D_E="vector", safe=True),
    glora("constants-f32", "qwen2", r".*\.1\.self_attn\.k_proj", config_A_B="constant", config_C="lora", dtype="f32"),
    glora("bias-alone", "qwen2", BIASED, config_A_B="none", config_C="none", config_D_E="vector", bias="glora_only"),
    glora("kinds", "layers", ["linear", "plain"], config_C="vector", dtype="f16"),
]
