"""Makes state dicts of PEFT models in training, as trainers save them by mistake.

    python plain.py --out DIR

A case is a directory like those of zero.py: checkpoint-2/ and adapter.safetensors.
base/ is the model that most cases adapt.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import peft
import torch
from safetensors.torch import save_file

import models


def save(model, out: Path, write, config: bool = True, name: str = "default") -> None:
    shutil.rmtree(out, ignore_errors=True)
    step = out / "checkpoint-2"
    step.mkdir(parents=True)
    state = {k: v.detach().contiguous().clone() for k, v in model.state_dict().items()}
    write(state, step)
    save_file(models.adapter_tensors(model, state, name), out / "adapter.safetensors", {"format": "pt"})
    if config:
        model.peft_config[name].save_pretrained(str(step / ("" if name == "default" else name)))


def whole(state: dict, step: Path) -> None:
    torch.save(state, step / "pytorch_model.bin")


def sharded(state: dict, step: Path) -> None:
    files: dict[str, dict] = {}
    for i, (k, v) in enumerate(state.items()):
        files.setdefault(f"pytorch_model-0000{1 + i % 2}-of-00002.bin", {})[k] = v
    for name, part in files.items():
        torch.save(part, step / name)
    index = {"metadata": {}, "weight_map": {k: name for name, part in files.items() for k in part}}
    (step / "pytorch_model.bin.index.json").write_text(json.dumps(index))


def compiled(state: dict, step: Path) -> None:
    save_file({f"_orig_mod.{k}": v for k, v in state.items()}, step / "model.safetensors", {"format": "pt"})


def two_adapters():
    model = models.adapted("lora")
    model.add_adapter("policy", peft.LoraConfig(task_type="CAUSAL_LM", r=2, lora_alpha=4, target_modules=["o_proj", "q_proj"]))
    for n, p in model.named_parameters():
        if ".policy." in n:
            p.data = p.data + 0.05 * torch.randn_like(p)
    return model


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    models.base().save_pretrained(out / "base")
    save(models.adapted("saved"), out / "plain-bin", whole)
    save(models.adapted("dora"), out / "plain-sharded", sharded, config=False)
    save(models.adapted("tokens"), out / "plain-compiled", compiled)
    save(models.adapted("bias"), out / "plain-bias", whole)
    save(two_adapters(), out / "plain-two-adapters", whole, name="policy")


if __name__ == "__main__":
    main()
