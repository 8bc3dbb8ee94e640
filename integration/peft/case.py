"""What a golden case is, and the arguments of LoRA."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DTYPES = ("f32", "bf16", "f16")

@dataclass(frozen=True)
class Case:
    """One adapter on one base.

    expect says where the truth comes from:
      peft     merge_and_unload followed by save_pretrained
      forward  the un-merged model: PEFT's merge of a twin of the base, see `twin`
      refuse   there is none: the adapter has to be refused, naming what `refusal` lists
    """

    name: str
    base: str
    options: dict[str, Any]  # arguments of the config class
    kind: str = "LORA"  # PEFT's type
    noise: float = 0.1  # what training added to parameters, in standard deviations; LORA has its own rule
    dtype: str = "bf16"
    file: str = "f32"
    safe: bool = False
    expect: str = "peft"
    head: str = ""  # class that the adapter was trained on, when it is not the base's
    load: dict[str, Any] = field(default_factory=dict)
    vocab: int = 0  # difference in rows after resize_token_embeddings
    twin: str = ""  # "untied": a base with its own head; "layers": a base with the layers written out
    twin_lora: dict[str, Any] = field(default_factory=dict)
    edit: Callable[[Path], None] | None = None  # what happened to the adapter's files after PEFT saved them
    before: Callable[[Path], None] | None = None  # the same before PEFT merges it
    refusal: tuple[str, ...] = ()
    against: str = ""  # another base, which the adapter was not trained on
    card: bool = False
    approximate: float = 0  # PEFT's merge is not reproducible to the bit: error allowed, relative to a tensor's largest magnitude
    sweep: bool = False  # made for runs with another seed only, not committed
    notes: str = ""


def lora(targets: list[str] | str | None = None, r: int = 4, alpha: float = 8, **more: Any) -> dict[str, Any]:
    return dict(r=r, lora_alpha=alpha, target_modules=targets, **more)
