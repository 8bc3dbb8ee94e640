from __future__ import annotations

from typing import Any

from case import Case


def tokens(name: str, base: str, indices: list[int], **more: Any) -> Case:
    fields = {key: more.pop(key) for key in ("dtype", "file", "vocab") if key in more}
    return Case(f"trainable-tokens-{name}", base, dict(token_indices=indices, **more), kind="TRAINABLE_TOKENS", **fields)


CASES = [
    tokens("llama", "llama", [0, 9, 95]),
    tokens("head", "llama", [7, 3], target_modules=["lm_head", "embed_tokens"], dtype="f16"),
    tokens("tied", "llama_tied", [5, 6], file="bf16"),
    tokens("gpt2", "gpt2", [1, 2], target_modules=["wte"], dtype="f32"),
    tokens("kinds", "layers", [29, 4], target_modules=["emb"]),
]
