"""LoRA on a base that loading the adapter changes first."""

from __future__ import annotations

from typing import Any

from peft import KasaConfig

from case import Case, lora


def rebased(name: str, base: str, targets: str | list[str], **more: Any) -> Case:
    fields = {key: more.pop(key) for key in ("dtype", "file", "safe") if key in more}
    # The decomposition in fp32 is not reproducible to the bit: an element of the changed base may round the other way.
    fields["approximate"] = {"f32": 0, "f16": 1e-3, "bf16": 8e-3}[fields.get("dtype", "bf16")]
    return Case(f"rebased-{name}", base, lora(targets, **more), **fields)


def kasa(name: str, base: str, targets: str | list[str], **more: Any) -> Case:
    return rebased(f"kasa-{name}", base, targets, kasa_config=KasaConfig(), **more)


CASES = [
    rebased("pissa", "llama", r".*\.0\.self_attn\.(k|v)_proj", init_lora_weights="pissa", r=3, rank_pattern={"v_proj": 5}),
    rebased("pissa-f32", "llama", r".*\.0\.self_attn\.k_proj", init_lora_weights="pissa", dtype="f32", use_rslora=True),
    rebased("pissa-gpt2", "gpt2", r".*\.0\.attn\.c_proj", init_lora_weights="pissa", dtype="f16", safe=True),
    rebased("pissa-dora", "llama", r".*\.0\.self_attn\.v_proj", init_lora_weights="pissa", use_dora=True, file="bf16"),
    rebased("pissa-dora-gpt2", "gpt2", r".*\.1\.attn\.c_proj", init_lora_weights="pissa", use_dora=True),
    rebased("olora", "llama", r".*\.0\.self_attn\.k_proj", init_lora_weights="olora", alpha=7),
    rebased("olora-f32", "llama", r".*\.0\.self_attn\.k_proj", init_lora_weights="OLoRA", dtype="f32", alpha_pattern={"k_proj": 3}),
    rebased("olora-gpt2", "gpt2", r".*\.0\.attn\.c_proj", init_lora_weights="olora", dtype="f16", safe=True),
    kasa("llama", "llama", r".*\.0\.self_attn\.k_proj"),
    kasa("f32", "llama", r".*\.0\.mlp\.up_proj", dtype="f32", r=3),
    kasa("kinds", "layers", ["linear"], dtype="f16", safe=True, lora_bias=True),
]
