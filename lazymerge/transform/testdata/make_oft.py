"""Writes oft.safetensors: what OFT of earlier versions of PEFT makes of weights.

    pip download --no-deps peft==0.15.2 peft==0.17.1; unzip each into a directory of its name
    python make_oft.py DIR/peft-0.15.2 DIR/peft-0.17.1

The classes are taken out of PEFT's files, since these versions cannot be imported
beside a current transformers.
"""

import ast
import json
import math
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn


def classes(root: str) -> dict:
    """The names that PEFT's file defines, without what it imports."""
    tree = ast.parse((Path(root) / "peft/tuners/oft/layer.py").read_text())
    tree.body = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    for node in tree.body:
        node.bases = [base for base in node.bases if ast.unparse(base) != "BaseTunerLayer"]
    names = {"torch": torch, "nn": nn, "math": math, "Any": object, "Optional": __import__("typing").Optional, "Union": __import__("typing").Union,
             "OFTConfig": object}
    exec(compile(tree, root, "exec"), names)
    return names


def before_016(old: dict, base: torch.Tensor, r: int, coft: bool, share: bool, eps: float) -> dict:
    layer = nn.Module.__new__(old["Linear"])
    nn.Module.__init__(layer)
    n = base.shape[1] // r
    blocks, scale = 0.3 * torch.randn(1 if share else r, n, n), 1 + 0.2 * torch.randn(base.shape[0], 1)
    layer.oft_r, layer.oft_s = {"x": blocks.clone()}, {"x": scale}
    layer.r, layer.coft, layer.eps = {"x": r}, {"x": coft}, {"x": eps * math.ceil(base.shape[0] / r) ** 2}
    matrix, by = layer.get_delta_weight("x")
    merged = torch.mm(matrix, base.t()).t() * by
    return {"base": base, "blocks": blocks, "rescale": scale, "merged": merged.contiguous()}


def before_018(old: dict, base: torch.Tensor, size: int, terms: int) -> dict:
    r = base.shape[1] // size
    rotation = old["OFTRotationModule"](r, size * (size - 1) // 2, size, base.shape[1], num_cayley_neumann_terms=terms)
    rotation.weight.data = 0.2 * torch.randn(rotation.weight.shape)
    merged = torch.mm(rotation.get_weight(), base.t()).t()
    return {"base": base, "blocks": rotation.weight.data, "merged": merged.detach().contiguous()}


def main() -> None:
    torch.manual_seed(1)
    first, second = map(classes, sys.argv[1:])
    base = torch.randn(9, 12)
    cases, tensors = [], {}
    for name, fields, made in (
        [(f"0.15-{coft}-{share}", {"constraint": 0.02 * coft, "share": share}, before_016(first, base, 3, coft, share, 0.02))
         for coft in (False, True) for share in (False, True)]
        + [(f"0.17-{terms}", {"terms": terms}, before_018(second, base, 4, terms)) for terms in (1, 2, 3, 4, 5, 6)]
    ):
        cases.append({"name": name} | fields)
        tensors |= {f"{name}/{part}": value.clone() for part, value in made.items()}
    save_file(tensors, Path(__file__).with_name("oft.safetensors"), metadata={"cases": json.dumps(cases)})


main()
