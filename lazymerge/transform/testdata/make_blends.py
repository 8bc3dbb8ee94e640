"""Writes blends.json: task tensors, as bits of fp32, and what PEFT 0.21.2 makes of them.

    make_blends.py [OUT]      OUT with a name that contains "large" has longer tensors
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import torch
from peft.utils.merge_utils import dare_linear, dare_ties, magnitude_prune, task_arithmetic, ties

SMALL = [(7, "f32", 2, 0.5), (40, "bf16", 3, 0.3), (150, "few", 2, 0.5), (200, "few", 2, 0.015), (5, "few", 2, 0.0), (32, "f32", 2, 1.0), (90, "ascending", 2, 0.6)]
LARGE = [(1000, "few", 2, 0.015), (5000, "few", 3, 0.3), (4097, "ascending", 2, 0.7), (60000, "bf16", 2, 0.5), (60000, "few", 2, 0.01)]


def bits(values: torch.Tensor) -> list[int]:
    return values.reshape(-1).contiguous().view(torch.int32).tolist()


def tensor(kind: str, n: int, generator: torch.Generator) -> torch.Tensor:
    values = torch.randn(n, generator=generator)
    if kind == "bf16":
        return values.bfloat16().float()
    if kind == "few":  # many equal magnitudes
        return (values * 2).round() / 2
    return (torch.arange(n) // 3).float() if kind == "ascending" else values


def make(n: int, kind: str, count: int, density: float, generator: torch.Generator) -> dict:
    tensors = [tensor(kind, n, generator) for _ in range(count)]
    weights = torch.tensor([0.7, -0.3, 1.25][:count])
    want = {
        "linear": lambda: task_arithmetic(tensors, weights),
        "magnitude_prune": lambda: magnitude_prune(tensors, weights, density),
        "ties": lambda: ties(tensors, weights, density),
        "ties_frequency": lambda: ties(tensors, weights, density, "frequency"),
    }
    if density > 0:
        want["dare_linear"] = lambda: dare_linear(tensors, weights, density)
        want["dare_ties"] = lambda: dare_ties(tensors, weights, density, "frequency")
    made = {}
    for name, operation in want.items():
        torch.manual_seed(n)
        made[name] = bits(operation())
    return {"tensors": [bits(t) for t in tensors], "weights": bits(weights), "density": density, "seed": n, "want": made}


def main() -> None:
    warnings.filterwarnings("ignore")
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("blends.json")
    generator = torch.Generator().manual_seed(1)
    cases = [make(*case, generator) for case in (LARGE if "large" in out.name else SMALL)]
    out.write_text("[\n" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
