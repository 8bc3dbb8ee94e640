"""Cases of several adapters: merged one after another, added exactly, or combined by add_weighted_adapter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from case import lora


@dataclass(frozen=True)
class Layer:
    """One adapter of a stack."""

    options: dict[str, Any]
    weight: float = 1
    kind: str = "LORA"
    file: str = "f32"


@dataclass(frozen=True)
class Stack:
    """Adapters on one base, the first of which is called a.

    how: "sum": what PEFT's combination cat gives in f32, rounded once; "steps": merged one after
    another; else a combination type of add_weighted_adapter
    """

    name: str
    base: str
    layers: tuple[Layer, ...]
    how: str = "sum"
    dtype: str = "bf16"
    safe: bool = False
    density: float | None = None
    sign: str = "total"
    seed: int = 0
    sweep: bool = False
    notes: str = ""
    head: str = ""
    load: dict[str, Any] = field(default_factory=dict)
    vocab: int = 0
    edit: Callable[..., None] | None = None


QV = ["q_proj", "v_proj"]
ATTN = r".*\.0\.self_attn\.(q|k)_proj"
TWO = (Layer(lora(QV), 0.7), Layer(lora(["v_proj", "down_proj"], alpha=6), 0.3))
PAIR = (Layer(lora(["q_proj"]), 0.7), Layer(lora(["q_proj", "k_proj"], alpha=3), -0.4))
UNLIKE = (
    Layer(lora(QV, rank_pattern={"v_proj": 3}, alpha_pattern={r"layers\.1\..*q_proj": 5}), 0.6),
    Layer(lora(["v_proj", "down_proj"], r=7, use_rslora=True), 1.25, file="bf16"),
    Layer(lora(["q_proj", "o_proj"], r=2, alpha=1), -0.5, file="f16"),
)
DORA = (Layer(lora(["q_proj"]), 0.5), Layer(lora(["q_proj"], use_dora=True)), Layer(lora(["q_proj", "k_proj"], use_dora=True)))
TYPES = (Layer(lora(QV), 0.5), Layer(dict(r=4, alpha=6, target_modules=["q_proj"]), kind="LOHA"), Layer(dict(init_r=4, lora_alpha=9, total_step=100, target_modules=["v_proj"]), kind="ADALORA"))
RS = (Layer(lora(["q_proj"], use_rslora=True), 0.5), Layer(lora(["q_proj", "k_proj"], r=4), 0.5))
KINDS = (Layer(lora(["linear", "conv1d", "conv2d", "emb"]), 0.8), Layer(lora(["linear", "conv1d", "conv2d", "emb"], alpha=2), 1.5))
PLAIN = (Layer(lora(["linear", "conv2d"]), 0.8), Layer(lora(["linear", "conv2d"], alpha=2), 1.5))
GPT2 = (Layer(lora(["attn.c_proj", "c_attn"]), 0.8), Layer(lora(["attn.c_proj"], alpha=2), 1.5))
BF16 = (Layer(lora(["q_proj"]), file="bf16"), Layer(lora(["q_proj"], alpha=16), file="bf16"))

CASES = [
    Stack("stack-sum", "llama", TWO),
    Stack("stack-sum-f32", "llama", UNLIKE, dtype="f32"),
    Stack("stack-sum-unlike", "llama", UNLIKE, sweep=True),
    Stack("stack-sum-gpt2-f16", "gpt2", GPT2, dtype="f16"),
    Stack("stack-sum-plain", "layers", PLAIN, sweep=True),
    Stack("stack-sum-bf16", "llama", BF16, sweep=True),
    Stack("stack-sum-alone", "llama", (Layer(lora(["q_proj"]), 0.37),), sweep=True),
    Stack("stack-sum-types", "llama", TYPES),
    Stack("stack-steps", "llama", UNLIKE, how="steps"),
    Stack("stack-steps-safe", "llama", TWO, how="steps", safe=True, sweep=True),
    Stack("stack-steps-kinds", "layers", KINDS, how="steps", dtype="f16"),
    Stack("stack-sum-dora", "llama", DORA),
    Stack("stack-sum-dora-gpt2", "gpt2", (Layer(lora(["attn.c_proj"], use_dora=True)), Layer(lora(["c_attn", "attn.c_proj"])), Layer(lora(["attn.c_proj"], use_dora=True))), dtype="f16"),
    Stack("stack-steps-dora-f32", "llama", DORA, how="steps", dtype="f32", notes="on 16 bits PEFT takes the earlier adapters off and adds them again, which costs bits"),
    Stack("stack-steps-ia3", "llama", (Layer(dict(target_modules=["k_proj"], feedforward_modules=[]), kind="IA3"),) * 2, how="steps"),
    Stack("stack-linear", "llama", PAIR, how="linear"),
    Stack("stack-linear-rslora", "llama", RS, how="linear"),
    Stack("stack-linear-gpt2", "gpt2", GPT2, how="linear", dtype="f16", sweep=True),
    Stack("stack-linear-kinds", "layers", KINDS, how="linear", sweep=True),
    Stack("stack-linear-ia3", "llama", (Layer(dict(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]), 0.6, "IA3"), Layer(dict(target_modules=["k_proj"], feedforward_modules=[]), 0.3, "IA3")), how="linear"),
    Stack("stack-cat", "llama", UNLIKE, how="cat"),
    Stack("stack-cat-rslora", "llama", RS, how="cat", dtype="f32", sweep=True),
    Stack("stack-ties", "llama", PAIR, how="ties", density=0.5),
    Stack("stack-ties-frequency", "llama", PAIR, how="ties", density=0.4, sign="frequency", dtype="f32", sweep=True),
    Stack("stack-magnitude", "llama", (Layer(lora(["q_proj"]), 0.7, file="bf16"), Layer(lora(["q_proj"], alpha=3), 1.4, file="bf16")), how="magnitude_prune", density=0.3),
    Stack("stack-dare-linear", "llama", PAIR, how="dare_linear", density=0.6, seed=11),
    Stack("stack-dare-ties", "gpt2", GPT2, how="dare_ties", density=0.7, seed=5, sign="frequency"),
    Stack("stack-svd", "llama", (Layer(lora(["q_proj"]), 0.7), Layer(lora(["q_proj"], r=6), 0.5)), how="svd", dtype="f32"),
    Stack("stack-svd-gpt2", "gpt2", (Layer(lora(["attn.c_proj"]), 0.7), Layer(lora(["attn.c_proj"], r=3), 0.5)), how="svd", dtype="f32", sweep=True),
    Stack("stack-ties-svd", "llama", PAIR, how="ties_svd", density=0.5, dtype="f32"),
    Stack("stack-dare-linear-svd", "llama", PAIR, how="dare_linear_svd", density=0.5, seed=3, dtype="f32", sweep=True),
]
