"""What happens to an adapter after PEFT has saved it: harmless renamings and real damage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
PREFIX = "base_model.model."

Edit = Callable[[Path], None]
Tensors = dict[str, torch.Tensor]


def rewrite(adapter: Path, change: Callable[[Tensors], Tensors]) -> None:
    save_file(change(load_file(adapter / WEIGHTS)), adapter / WEIGHTS, metadata={"format": "pt"})


def _rename_all(change: Callable[[str], str]) -> Edit:
    return lambda adapter: rewrite(adapter, lambda tensors: {_moved(name, change): value for name, value in tensors.items()})


def _moved(name: str, change: Callable[[str], str]) -> str:
    return PREFIX + change(name.removeprefix(PREFIX))


def insert(wrapper: str) -> Edit:
    return _rename_all(lambda name: wrapper + name)


def wrap_fsdp(adapter: Path) -> None:
    _rename_all(lambda name: name.replace("self_attn.", "_fsdp_wrapped_module.self_attn."))(adapter)


def name_default(adapter: Path) -> None:
    """Keys of a state dict that was saved without PEFT's own clean-up."""

    def change(name: str) -> str:
        name = name.replace(".lora_magnitude_vector", ".lora_magnitude_vector.default.weight")
        return name.replace(".lora_A.", ".lora_A.default.").replace(".lora_B.", ".lora_B.default.")

    _rename_all(change)(adapter)


def name_saved_modules(adapter: Path) -> None:
    """The same for modules_to_save: the trained copy under its adapter's name, the original beside it."""

    def change(tensors: Tensors) -> Tensors:
        name = PREFIX + "lm_head.weight"
        trained = tensors.pop(name)
        return tensors | {
            PREFIX + "lm_head.modules_to_save.default.weight": trained,
            PREFIX + "lm_head.original_module.weight": torch.zeros_like(trained),
        }

    rewrite(adapter, change)


def magnitude_weight(adapter: Path) -> None:
    _rename_all(lambda name: name + ".weight" if name.endswith(".lora_magnitude_vector") else name)(adapter)


def config_of_2023(adapter: Path) -> None:
    """The fields that PEFT 0.3 wrote, some of which later versions do not know."""
    config = json.loads((adapter / CONFIG).read_text())
    kept = ("base_model_name_or_path", "bias", "fan_in_fan_out", "inference_mode", "lora_alpha", "lora_dropout", "peft_type", "r", "target_modules", "task_type")
    old = {key: config[key] for key in kept} | {"enable_lora": None, "merge_weights": False, "modules_to_save": None}
    (adapter / CONFIG).write_text(json.dumps(old, indent=2, sort_keys=True))


def llava_v4(adapter: Path) -> None:
    _rename_all(lambda name: name.replace("model.language_model.", "language_model.model."))(adapter)


def qwen2_vl_v4(adapter: Path) -> None:
    _rename_all(lambda name: name.replace("model.visual.", "visual.").replace("model.language_model.", "model."))(adapter)


def unchanged(adapter: Path) -> None:
    del adapter


def rename(old: str, new: str) -> Edit:
    def edit(adapter: Path) -> None:
        if not any(old in name for name in load_file(adapter / WEIGHTS)):
            raise ValueError(f"no tensor is named {old}")
        _rename_all(lambda name: name.replace(old, new))(adapter)

    return edit


def drop(name: str) -> Edit:
    return lambda adapter: rewrite(adapter, lambda tensors: {k: v for k, v in tensors.items() if _require(tensors, name) and k != PREFIX + name})


def _require(tensors: Tensors, name: str) -> bool:
    if PREFIX + name not in tensors:
        raise ValueError(f"no tensor is named {name}")
    return True


def add(name: str) -> Edit:
    return lambda adapter: rewrite(adapter, lambda tensors: tensors | {name: torch.ones(2, 2)})


def poison(name: str, value: float) -> Edit:
    def change(tensors: Tensors) -> Tensors:
        tensors[PREFIX + name].view(-1)[3] = value
        return tensors

    return lambda adapter: rewrite(adapter, change)


def enlarge(factor: float) -> Edit:
    def change(name: str, value: torch.Tensor) -> torch.Tensor:
        return value * factor if "lora_B" in name else value

    return lambda adapter: rewrite(adapter, lambda tensors: {name: change(name, value) for name, value in tensors.items()})


def widen(adapter: Path) -> None:
    """As if the adapter had been trained on a wider model of the same family."""

    def wider(name: str, value: torch.Tensor) -> torch.Tensor:
        return torch.cat([value, value], dim=1 if "lora_A" in name else 0)

    rewrite(adapter, lambda tensors: {name: wider(name, value) for name, value in tensors.items()})


def add_lora_bias(adapter: Path) -> None:
    def change(tensors: Tensors) -> Tensors:
        biases = {name.replace(".weight", ".bias"): torch.ones(value.shape[0]) for name, value in tensors.items() if "lora_B" in name}
        return tensors | biases

    rewrite(adapter, change)
    configure(lora_bias=True)(adapter)


def configure(**fields: Any) -> Edit:
    def edit(adapter: Path) -> None:
        config = json.loads((adapter / CONFIG).read_text())
        (adapter / CONFIG).write_text(json.dumps(config | fields, indent=2, sort_keys=True))

    return edit


def empty(adapter: Path) -> None:
    """The 40 bytes that a ZeRO-3 run saves when nobody gathered the parameters."""
    save_file({}, adapter / WEIGHTS, metadata={"format": "pt"})


def truncate(adapter: Path) -> None:
    data = (adapter / WEIGHTS).read_bytes()
    (adapter / WEIGHTS).write_bytes(data[: len(data) * 2 // 3])


def lfs_pointer(adapter: Path) -> None:
    digest = "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"
    (adapter / WEIGHTS).write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize 12345\n")


def remove(file: str) -> Edit:
    return lambda adapter: (adapter / file).unlink()


def garble_config(adapter: Path) -> None:
    (adapter / CONFIG).write_text('{"peft_type": "LORA", "r": 2,\n')


def bone(adapter: Path) -> None:
    """A MiSS adapter as PEFT had it when the type was called Bone."""
    _rename_all(lambda name: name.replace(".miss_block", ".bone_block"))(adapter)
    config = json.loads((adapter / CONFIG).read_text())
    old = {key: value for key, value in config.items() if key not in ("mini_r", "miss_dropout", "peft_version")}
    (adapter / CONFIG).write_text(json.dumps(old | {"peft_type": "BONE"}, indent=2, sort_keys=True))
