"""Prints activations.txt: values of transformers' activations, a name, an argument and a value a line."""

import torch
from transformers.activations import ACT2FN

for name in sorted(ACT2FN):
    if name != "xielu":
        act = ACT2FN[name].double()
        for x in (-30.0, -4.5, -1.25, -0.2, 0.0, 0.3, 2.0, 7.5, 30.0):
            print(name, x, act(torch.tensor([x], dtype=torch.float64)).item())
