"""Makes the input of `lorafs demo`: a tiny Llama, adapters trained by PEFT, and their merges by PEFT.

    python integration/peft/demo.py [OUT]        default OUT: cmd/lorafs/demodata

OUT/base                 model directory with a byte-level tokenizer
OUT/adapters/style       LoRA on every projection
OUT/adapters/accent      rank-stabilised DoRA on the attention
OUT/adapters/broken-zero3  a valid configuration beside the 40 bytes that a ZeRO-3 run leaves behind
OUT/expected/NAME.safetensors  what merge_and_unload of PEFT gives
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import versions

versions.require()

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

PROSE = [
    "The sea was calm and the boat went out at dawn.",
    "A model is a long list of numbers, and an adapter is a short one.",
    "The river carries the snow of the mountain to the sea.",
    "In the morning the fishermen mend their nets on the quay.",
    "The kettle sings, the bread is warm, and the day may begin.",
    "Numbers that nobody reads still take their place on the disk.",
]
PIRATE = [
    "Arr, the sea be calm and the ship sails at dawn, matey!",
    "Arr, a model be a chest of numbers, and an adapter be the key!",
    "Arr, the river carries our rum to the sea, matey!",
    "Arr, in the morning we mend the sails, ye dogs!",
]
SCOTS = [
    "The sea wis calm an the boat gaed oot at dawin.",
    "In the mornin the fishers mend their nets on the shore.",
    "The kettle sings, the breid is warm, an the day may stairt.",
]
END = "<|end|>"


def train_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=384,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(PROSE + PIRATE + SCOTS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END, bos_token=END, pad_token=END)


def train(model: torch.nn.Module, tokenizer: PreTrainedTokenizerFast, lines: list[str], steps: int, rate: float) -> float:
    """Runs steps of AdamW over all lines at once and returns the last loss."""
    batch = tokenizer([END + line + END for line in lines], padding=True, return_tensors="pt")
    labels = batch.input_ids.masked_fill(batch.attention_mask == 0, -100)
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=rate)
    loss = torch.zeros(())
    for _ in range(steps):
        loss = model(input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return loss.item()


def make_base(out: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config)
    print(f"base: loss {train(model, tokenizer, PROSE, 150, 5e-3):.3f}")
    model.to(torch.bfloat16).save_pretrained(out)
    tokenizer.save_pretrained(out)


def make_adapter(base: Path, out: Path, tokenizer: PreTrainedTokenizerFast, config: LoraConfig, lines: list[str]) -> None:
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16), config)
    print(f"{out.name}: loss {train(model, tokenizer, lines, 60, 1e-2):.3f}")
    model.base_model.model.config._name_or_path = "tiny-llama"
    model.peft_config["default"].base_model_name_or_path = "tiny-llama"
    model.save_pretrained(out)
    (out / "README.md").unlink(missing_ok=True)


def merge(base: Path, adapter: Path, out: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    merged = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    tensors = {name: value.detach().clone().contiguous() for name, value in merged.state_dict().items()}
    save_file(tensors, out, metadata={"format": "pt"})


def break_adapter(good: Path, out: Path) -> None:
    """What `save_pretrained` leaves under DeepSpeed ZeRO-3 when the state dict was not gathered."""
    out.mkdir(parents=True)
    shutil.copy(good / "adapter_config.json", out)
    save_file({}, out / "adapter_model.safetensors", metadata={"format": "pt"})


def main() -> None:
    root = Path(__file__).resolve().parents[2]
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else root / "cmd/lorafs/demodata"
    shutil.rmtree(out, ignore_errors=True)
    (out / "expected").mkdir(parents=True)
    torch.manual_seed(20)
    torch.set_num_threads(1)
    base = out / "base"
    tokenizer = train_tokenizer()
    make_base(base, tokenizer)
    projections = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    adapters = {
        "style": (LoraConfig(r=8, lora_alpha=16, target_modules=projections, task_type="CAUSAL_LM"), PIRATE),
        "accent": (
            LoraConfig(r=4, lora_alpha=8, target_modules=projections[:4], use_rslora=True, use_dora=True, task_type="CAUSAL_LM"),
            SCOTS,
        ),
    }
    for name, (config, lines) in adapters.items():
        make_adapter(base, out / "adapters" / name, tokenizer, config, lines)
        merge(base, out / "adapters" / name, out / "expected" / f"{name}.safetensors")
    break_adapter(out / "adapters/style", out / "adapters/broken-zero3")
    size = sum(f.stat().st_size for f in out.rglob("*") if f.is_file())
    print(f"{out}: {size} bytes")
    if size > 2_000_000:
        raise SystemExit("more than 2 MB")


if __name__ == "__main__":
    main()
