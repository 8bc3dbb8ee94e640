"""Adapters as PEFT saves them with safe_serialization=False.

    python adapters.py OUT_DIR ADAPTER_DIR...

Copies each adapter to OUT_DIR/NUMBER, its adapter_model.safetensors rewritten as
adapter_model.bin: by torch.save as it is, in its older format, with views of one
storage, or with parameters in place of tensors, in turn.
"""

import pathlib
import shutil
import sys

import torch
from safetensors.torch import load_file


def views(tensors):
    """The same values as views of one storage a dtype, every second one turned."""
    out = {}
    for dtype in {t.dtype for t in tensors.values()}:
        mine = {k: t for k, t in tensors.items() if t.dtype == dtype}
        turned = {k: t.t() if t.ndim == 2 and i % 2 else t for i, (k, t) in enumerate(mine.items())}
        flat = torch.cat([t.reshape(-1) for t in turned.values()])
        at = 0
        for k, t in turned.items():
            part = flat[at : at + t.numel()].view(t.shape)
            at += t.numel()
            out[k] = part.t() if t is not mine[k] else part
    return out


def main():
    out = pathlib.Path(sys.argv[1])
    for i, name in enumerate(sys.argv[2:]):
        to = out / str(i)
        shutil.copytree(name, to, ignore=shutil.ignore_patterns("adapter_model.*"))
        tensors = load_file(pathlib.Path(name) / "adapter_model.safetensors")
        path = to / "adapter_model.bin"
        if i % 4 == 1:
            torch.save(tensors, path, _use_new_zipfile_serialization=False)
        elif i % 4 == 2:
            torch.save(views(tensors), path)
        elif i % 4 == 3:
            torch.save({k: torch.nn.Parameter(t, requires_grad=False) for k, t in tensors.items()}, path, pickle_protocol=4)
        else:
            torch.save(tensors, path)


if __name__ == "__main__":
    main()
