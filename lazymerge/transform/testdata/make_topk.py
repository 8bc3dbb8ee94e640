"""Writes topk.json: which of equal values torch.topk picks on a CPU, and in which order.

Run with torch 2.15 on Linux:

    python make_topk.py > topk.json
"""

import json
import random
import sys

import torch

random.seed(7)
cases = []
for n in range(400):
    size = random.choice([3, 9, 9, 20, 64, 90, 128, 256, 256, 300])
    k = random.choice([1, 2, 2, 3, 4, 9])
    if n % 10 == 0:
        k = 17
    if k > size:
        continue
    steps = random.choice([1, 2, 5, 30, 200])
    if n % 25 == 1:  # sizes at which the selection changes, and runs that wear it out
        size, k, steps = 640, random.choice([10, 11, 12]), random.choice([3, 700])
    values = [random.randint(0, steps) for _ in range(size)]
    if n % 50 == 2:
        values.sort(reverse=bool(n % 4))
    picks = torch.topk(torch.tensor(values, dtype=torch.float32), k).indices.tolist()
    cases.append({"values": values, "picks": picks})
json.dump(cases, sys.stdout, separators=(",", ":"))
print()
