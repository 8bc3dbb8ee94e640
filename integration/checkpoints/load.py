"""Loads recovered adapters with the real PEFT and compares what it then has with the truth.

    python load.py --recovered DIR --truth DIR

Both hold a directory a case; the truth's are those of zero.py, fsdp.py and plain.py.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path

import peft
import torch
from safetensors.torch import load_file

import fsdp
import models
import zero

KINDS = (
    {name: case[3] for name, case in (zero.CASES | fsdp.CASES).items()}
    | {name: zero.CASES[source][3] for name, source in zero.UNIVERSAL.items()}
    | {"plain-bin": "saved", "plain-sharded": "dora", "plain-compiled": "tokens", "plain-bias": "bias", "plain-two-adapters": "lora"}
    | {"stage1-old-step0": "saved"}  # of DeepSpeed 0.12.6, which needs shims, before the first step
)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--recovered", type=Path, required=True)
    parser.add_argument("--truth", type=Path, required=True)
    args = parser.parse_args()
    for directory in sorted(args.recovered.iterdir()):
        kind = KINDS[directory.name]
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            model = peft.PeftModel.from_pretrained(models.base(kind == "tied", kind == "bias"), directory)
        for w in heard:
            assert "missing" not in str(w.message).lower(), (directory.name, w.message)
        have = models.adapter_tensors(model, dict(model.state_dict()))
        want = load_file(args.truth / directory.name / "adapter.safetensors")
        assert have.keys() == want.keys(), (directory.name, have.keys() ^ want.keys())
        for name, value in want.items():
            assert torch.equal(have[name], value.to(have[name].dtype)), (directory.name, name)
        print(directory.name, len(want))


if __name__ == "__main__":
    main()
