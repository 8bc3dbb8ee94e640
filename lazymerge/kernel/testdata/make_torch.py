"""Writes torch.json: low-rank products as torch computes and PEFT merges them on a CPU.

Run with torch 2.15 (MKL) on x86-64:

    python make_torch.py > torch.json

Factors and weights come from a generator that the test repeats, so that only results
are recorded: "delta" is B @ A in fp32, "merged" is bf16 weights += delta * scale.
"""

import base64
import json
import sys

import numpy as np
import torch

ROWS, COLS, SCALE = 16, 48, 0.75
DTYPES = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}


def draw(seed, rows, cols, dtype):
    """Values in [-1/8, 1/8) by a linear congruential generator, rounded to dtype."""
    out, x = np.empty(rows * cols, np.float32), seed
    for i in range(out.size):
        x = (x * 1664525 + 1013904223) % 2**32
        out[i] = ((x >> 8) - 2**23) / 2**26
    return torch.from_numpy(out).view(rows, cols).to(DTYPES[dtype])


def text(tensor):
    return base64.b64encode(tensor.contiguous().view(torch.uint8).numpy().tobytes()).decode()


cases = []
for rank in [1, 8, 16, 33, 64, 192, 200, 384, 400, 512]:
    for dtype in DTYPES:
        a = draw(rank, rank, COLS, dtype).float()
        b = draw(rank + 1, ROWS, rank, dtype).float()
        weight = draw(rank + 2, ROWS, COLS, "bf16")
        delta = b @ a
        weight.data += delta * SCALE
        cases.append({"rank": rank, "dtype": dtype, "delta": text(delta), "merged": text(weight)})
json.dump({"torch": torch.__version__, "rows": ROWS, "cols": COLS, "scale": SCALE, "cases": cases}, sys.stdout, indent=1)
