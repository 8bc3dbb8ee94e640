"""LoRA's modes that act in training alone: their merge is LoRA's."""

from __future__ import annotations

from peft import MontecloraConfig, VeloraConfig

from case import Case, lora

CASES = [
    Case("velora", "llama", lora(r".*\.0\.self_attn\.(k|v)_proj", velora_config=VeloraConfig(num_groups=4)), safe=True),
    Case("monteclora", "llama", lora(r".*\.0\.self_attn\.(k|v)_proj", monteclora_config=MontecloraConfig(num_samples=2)), dtype="f16"),
]
