"""Compares two directories of golden data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

# Last bits depend on the processor's vector units and on the order in which its BLAS sums.
RELATIVE = {torch.float32: 2e-5, torch.bfloat16: 2**-7, torch.float16: 2**-9}


def directories(committed: Path, made: Path, whole: bool) -> list[str]:
    """Names each file of made that committed has not or has otherwise; whole: and each that made has not."""
    have, want = files(committed), files(made)
    differences = [f"missing: {name}" for name in sorted(want - have)]
    if whole:
        differences += [f"left over: {name}" for name in sorted(have - want)]
    for name in sorted(have & want):
        differences += [f"{name}: {what}" for what in file_differences(committed / name, made / name)]
    return differences


def files(root: Path) -> set[Path]:
    return {file.relative_to(root) for file in root.rglob("*") if file.is_file()}


def file_differences(a: Path, b: Path) -> list[str]:
    if a.read_bytes() == b.read_bytes():
        return []
    if a.suffix == ".json":
        return [] if normal(json.loads(a.read_text())) == normal(json.loads(b.read_text())) else ["other JSON"]
    if a.suffix == ".safetensors":
        return tensor_differences(load_file(a), load_file(b))
    return ["other bytes"]


def normal(value: Any) -> Any:
    """PEFT writes sets as lists in no order."""
    if isinstance(value, dict):
        return {key: normal(item) for key, item in value.items()}
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return sorted(value)
    return value


def tensor_differences(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> list[str]:
    if a.keys() != b.keys():
        return [f"other names: {sorted(a.keys() ^ b.keys())}"]
    return [what for name in a if (what := tensor_difference(name, a[name], b[name]))]


def tensor_difference(name: str, a: torch.Tensor, b: torch.Tensor) -> str:
    if a.dtype != b.dtype or a.shape != b.shape:
        return f"{name}: {a.dtype} {tuple(a.shape)} against {b.dtype} {tuple(b.shape)}"
    limit = RELATIVE.get(a.dtype, 0.0)
    x, y = a.double(), b.double()
    both_nan = x.isnan() & y.isnan()
    distance = torch.where(both_nan | (x == y), 0.0, (x - y).abs())
    if distance.numel() and not bool((distance <= limit * x.nan_to_num(posinf=0, neginf=0).abs().max()).all()):
        return f"{name}: values differ by {distance.max().item():.3g}"
    return ""
