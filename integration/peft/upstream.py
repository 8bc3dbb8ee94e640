"""Makes golden data of PEFT's own test configurations, which its source distribution carries.

    upstream.py --out DIR [--source DIR] [--seed N] [--only SUBSTRING] [--dtypes f32,bf16]

DIR gets the form that goldens.py describes. Every entry of TEST_CASES (name, model, config class, arguments) is
saved, loaded and merged by the PEFT that is installed. What PEFT itself cannot merge is counted by its reason.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from copy import deepcopy
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

import versions

versions.require()

import peft
import torch
from peft import PeftModel, get_peft_model
from safetensors.torch import save_file

import breaks
from goldens import TORCH_DTYPES, quiet, same_bits, seed_of


# Words of the refusal of types that PEFT merges and lorafs does not: PSOFT's result depends on the signs of a
# decomposition, and UniLoRA's indices, which were not saved, on the order and the kind of modules, which a file of
# weights without a class that lorafs knows does not tell.
REFUSED = {"PSOFT": ("type-never", "PSOFT"), "UNILORA": ("draw-impossible",)}

# What the test modules import and the configurations do not use.
UNUSED = ("diffusers", "datasets", "torchvision")

Tensors = dict[str, torch.Tensor]


def fetch(into: Path) -> Path:
    """Downloads and unpacks the source distribution of the PEFT that is installed."""
    name = f"peft=={peft.__version__}"
    command = [sys.executable, "-m", "pip", "download", "-q", "--timeout", "120", "--retries", "5", "--no-deps", "--no-binary", "peft", "-d", str(into), name]
    subprocess.run(command, check=True)
    with tarfile.open(next(into.glob("peft-*.tar.gz"))) as archive:
        archive.extractall(into, filter="data")
    return into / f"peft-{peft.__version__}"


def upstream(source: Path) -> tuple[ModuleType, ModuleType]:
    sys.path.insert(0, str(source))
    for name in UNUSED:
        try:
            importlib.import_module(name)
        except ImportError:
            sys.modules[name] = MagicMock()
    return importlib.import_module("tests.test_custom_models"), importlib.import_module("tests.testing_utils")


def disturb(model: torch.nn.Module, generator: torch.Generator) -> None:
    """Moves trained parameters from the zeros and ones that change nothing."""
    for name, value in model.named_parameters():
        idle = value.numel() and value.min() == value.max() or "ln_tuning" in name
        if value.requires_grad and value.is_floating_point() and idle:
            value.data += 0.2 * torch.randn(value.shape, generator=generator).to(value.dtype)


def unwrap(state: Tensors) -> Tensors:
    """Takes off the wrapper that some types leave around modules which were trained whole."""
    return {key.replace("modules_to_save.default.", ""): value for key, value in state.items() if ".original_module." not in key}


def write_base(state: Tensors, out: Path) -> None:
    if out.exists():
        return
    out.mkdir(parents=True)
    save_file({name: value.contiguous() for name, value in state.items()}, out / "model.safetensors", {"format": "pt"})
    (out / "config.json").write_text('{\n  "architectures": [\n    "Layers"\n  ],\n  "model_type": "layers"\n}\n')


def make_case(number: int, case: tuple[str, str, type, dict[str, Any]], dtype: str, seed: int, root: Path, suite: Any, utils: Any) -> None:
    title, model_id, config_class, arguments = case
    name = f"{number:03}-{title.replace(' ', '-').replace('/', '-').lower()}-{dtype}"  # titles repeat
    base = suite.MockTransformerWrapper.from_pretrained(model_id, dtype=TORCH_DTYPES[dtype])
    old = {key: value.clone() for key, value in base.state_dict().items()}
    torch.manual_seed(seed_of(name, seed))
    arguments = utils.set_init_weights_false(config_class, deepcopy(arguments))
    model = get_peft_model(deepcopy(base), config_class(**arguments))
    disturb(model, torch.Generator().manual_seed(seed_of(name, seed)))
    out = root / "cases" / name
    with tempfile.TemporaryDirectory() as work:
        model.save_pretrained(work)
        torch.manual_seed(0)
        merged = unwrap(PeftModel.from_pretrained(deepcopy(base), work).merge_and_unload().state_dict())
        changed = {k: v.contiguous() for k, v in merged.items() if k not in old or not same_bits(v, old[k])}
        if not changed:
            raise ValueError("the adapter changes nothing")
        if any(not torch.isfinite(v).all() for v in changed.values()):
            raise ValueError("the merge is not finite")
        adapter = out / "adapter"
        adapter.mkdir(parents=True)
        for file in ("adapter_config.json", breaks.WEIGHTS):
            (adapter / file).write_bytes((Path(work) / file).read_bytes())
    write_base(old, root / "bases" / f"{model_id}-{dtype}")
    save_file(changed, out / "merged.safetensors")
    words = REFUSED.get(str(next(iter(model.peft_config.values())).peft_type.value), ())
    record = {
        "base": f"{model_id}-{dtype}",
        "expect": "refuse" if words else "peft",
        "rounding": "peft",
        "unchanged": sorted(set(merged) - set(changed)),
        "refusal": list(words),
        "config": {},
    }
    (out / "case.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--source", type=Path, help="an unpacked source distribution of PEFT")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--dtypes", default="f32,bf16")
    options = parser.parse_args()
    quiet()
    with tempfile.TemporaryDirectory() as scratch:
        suite, utils = upstream(options.source or fetch(Path(scratch)))
        unmerged: Counter[str] = Counter()
        made = 0
        for number, case in enumerate(suite.TEST_CASES):
            if options.only not in case[0]:
                continue
            for dtype in options.dtypes.split(","):
                try:
                    make_case(number, case, dtype, options.seed, options.out, suite, utils)
                    made += 1
                except Exception as error:  # noqa: BLE001: what PEFT cannot do is counted
                    first = (str(error).splitlines() or [""])[0][:90]
                    unmerged[f"{case[2].__name__} {dtype}: {type(error).__name__}: {first}"] += 1
    print(f"{made} cases of {len(suite.TEST_CASES)} configurations in {options.dtypes}")
    for reason, count in sorted(unmerged.items()):
        print(f"  not merged by PEFT: {count} x {reason}")


if __name__ == "__main__":
    main()
