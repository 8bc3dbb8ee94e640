from __future__ import annotations

from typing import Any

import torch
from peft.tuners.boft import layer

from case import Case


class FastBlockDiag:
    """What PEFT's CUDA extension does, without which it allows one layer of a butterfly only."""

    @staticmethod
    def apply(blocks: torch.Tensor) -> torch.Tensor:
        return torch.stack([torch.block_diag(*of) for of in blocks])


layer._FBD_CUDA = FastBlockDiag
layer.FastBlockDiag = FastBlockDiag


def boft(name: str, base: str, targets: list[str] | str, dtype: str = "bf16", safe: bool = False, file: str = "f32", **more: Any) -> Case:
    options = dict(boft_block_size=4, target_modules=targets) | more
    return Case(f"boft-{name}", base, options, kind="BOFT", noise=0.2, dtype=dtype, safe=safe, file=file)


CASES = [
    boft("llama", "llama", ["k_proj"], file="bf16"),
    boft("butterfly", "llama", r".*\.0\.self_attn\.k_proj", boft_block_size=2, boft_n_butterfly_factor=3, safe=True),
    boft("butterfly-f32", "llama", r".*\.0\.self_attn\.v_proj", boft_block_size=0, boft_block_num=4, boft_n_butterfly_factor=3, dtype="f32", modules_to_save=["norm"]),
    boft("bias", "qwen2", r".*\.1\.self_attn\.v_proj", bias="boft_only"),
    boft("conv", "vit", ["projection"], boft_block_size=6, boft_n_butterfly_factor=4),
    boft("kinds", "layers", ["linear", "plain"], dtype="f16"),
]
