"""Files of torch.save of many kinds, and what is in them.

    python files.py OUT_DIR [NAME...]

Writes NAME.pt for each case, and expected.json: for each file its tensors by path, with
dtype, shape, strides and the hex of their values in C order, little-endian. A path is
the keys and indices that lead to a tensor, joined by "/". A tensor that lorafs is to
refuse has "refused" in place of values; what is to be opaque has "opaque".
"""

import argparse
import collections
import datetime
import enum
import json
import pathlib
import sys
import warnings

import numpy as np
import torch


class Stage(enum.IntEnum):
    weights = 3


class Settings:
    def __init__(self, **kw):
        self.__dict__.update(kw)


class Subclass(torch.Tensor):
    pass


DTYPES = [
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.int64, torch.uint64,
    torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64,
    torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.float8_e8m0fnu,
]


def of(dtype, *shape):
    """A tensor of a dtype with random bytes, but true bools."""
    n = int(np.prod(shape)) * torch.empty(0, dtype=dtype).element_size()
    raw = torch.randint(0, 2 if dtype == torch.bool else 256, (max(n, 1),), dtype=torch.uint8)[:n]
    return raw.view(dtype).reshape(shape)


def dtypes():
    return {str(d).removeprefix("torch."): of(d, 3, 5) for d in DTYPES}


def views():
    big = of(torch.float32, 40, 30)
    half = of(torch.bfloat16, 7, 6, 5)
    return {
        "big": big, "rows": big[3:9], "columns": big[:, 4:11], "steps": big[1::3, ::2], "turned": big.t(), "one": big[5, 7],
        "expanded": big[0].expand(4, 30), "expanded_column": big[:, :1].expand(40, 3), "permuted": half.permute(2, 0, 1),
        "inner": half[:, 2:4, :], "empty": big[:0], "empty_columns": big[:, :0], "scalar": torch.tensor(2.5),
        "strided": torch.as_strided(big, (3, 4, 2), (100, 1, 7), 11), "ones": of(torch.int16, 1, 6, 1).transpose(0, 1),
        "last": big[-1:, -1:], "channels_last": of(torch.float16, 2, 3, 4, 5).to(memory_format=torch.channels_last),
    }


def parameters():
    p = torch.nn.Parameter(of(torch.float32, 3, 2))
    with_state = torch.nn.Parameter(of(torch.float32, 2, 2))
    with_state.note = "kept"
    buffer = torch.nn.Buffer(of(torch.float16, 4)) if hasattr(torch.nn, "Buffer") else of(torch.float16, 4)
    noted = of(torch.float32, 5)
    noted.note = {"a": 1}
    return {"p": p, "with_state": with_state, "buffer": buffer, "noted": noted, "grad": of(torch.float64, 2).requires_grad_()}


def module():
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)).state_dict()


def optimizer():
    m = torch.nn.Linear(5, 2)
    o = torch.optim.AdamW(m.parameters(), lr=1e-3)
    m(torch.randn(3, 5)).sum().backward()
    o.step()
    return o.state_dict()


def values():
    return {
        "none": None, "true": True, "int": 5, "negative": -70000, "long": 1 << 80, "minus": -(1 << 70), "float": 1.5, "text": "é\U0001f600\udc80x",
        "bytes": b"\x00\xff", "bytearray": bytearray(b"abc"), "list": [1, [2, (3,)]], "tuple": (), "set": {1}, "frozen": frozenset([2]),
        "ordered": collections.OrderedDict(a=1), "default": collections.defaultdict(list, {"k": [1]}), "counter": collections.Counter("aab"),
        "size": torch.Size([3, 4]), "namespace": argparse.Namespace(lr=1e-4), "path": pathlib.PurePosixPath("a/b"), "when": datetime.datetime(2026, 1, 2),
        "stage": Stage.weights, "numpy": np.float64(2.5), "array": np.arange(3), "dtype": torch.bfloat16, "device": torch.device("cpu"),
        "complex": 1 + 2j, "object": Settings(t=of(torch.float32, 2)), "slice": slice(1, 2), "range": range(3), "class": collections.OrderedDict,
        (1, "a", None): 1.0, 7: "seven", Stage.weights: "enum", (torch.device("cpu"), 2): "key", "t": of(torch.float32, 2),
    }


def opaque():
    return {
        "sparse": torch.eye(3).to_sparse(), "csr": torch.eye(3).to_sparse_csr(), "quantised": torch.quantize_per_tensor(torch.randn(4), 0.1, 0, torch.qint8),
        "meta": torch.empty(3, device="meta"), "subclass": of(torch.float32, 3).as_subclass(Subclass),
        "nested": torch.nested.nested_tensor([torch.randn(2), torch.randn(3)]), "t": of(torch.float32, 2),
    }


def refused():
    negative = torch._neg_view(of(torch.float32, 3))
    return {"complex128": of(torch.complex128, 2), "complex32": of(torch.complex32, 2), "conj": of(torch.complex64, 3).conj(), "neg": negative, "t": of(torch.float32, 2)}


def storages():
    return {"typed": of(torch.float32, 6).storage(), "untyped": of(torch.float32, 6).untyped_storage(), "t": of(torch.float32, 6)}


def shared():
    t = of(torch.float32, 4)
    return {"a": t, "b": t, "list": [t, t[1:]], "deep": {"x": {"y": [{"z": t}]}}}


CASES = {
    "dtypes": dtypes, "views": views, "parameters": parameters, "module": module, "optimizer": optimizer, "values": values, "opaque": opaque,
    "refused": refused, "storages": storages, "shared": shared, "empty": dict, "tensor": lambda: of(torch.float32, 2, 3), "list": lambda: [of(torch.int64, 2)],
    "many": lambda: {f"layers.{i}.weight": of(torch.float16, 2, 2) for i in range(300)},
    "strange_names": lambda: {"": of(torch.float32, 1), "a/b": of(torch.float32, 1), "../x": of(torch.float32, 1), "ü\n": of(torch.float32, 1)},
}

OPAQUE = ("sparse", "csr", "quantised", "meta", "subclass", "nested")
REFUSED = ("complex128", "complex32", "conj", "neg")


def walk(v, path, found):
    if isinstance(v, torch.Tensor):
        name = path[-1] if path else ""
        if name in OPAQUE:
            found["/".join(path)] = {"opaque": True}
        elif name in REFUSED:
            found["/".join(path)] = {"refused": True, "shape": list(v.shape)}
        else:
            v = v.detach()
            found["/".join(path)] = {
                "dtype": str(v.dtype).removeprefix("torch."), "shape": list(v.shape), "stride": list(v.stride()),
                "values": v.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes().hex() if v.numel() else "",
            }
    elif isinstance(v, dict):
        for k, item in v.items():
            if isinstance(k, (str, int)):
                walk(item, path + [str(int(k) if isinstance(k, int) else k)], found)
    elif isinstance(v, (list, tuple)):
        for i, item in enumerate(v):
            walk(item, path + [str(i)], found)


def main():
    out = pathlib.Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    warnings.simplefilter("ignore")
    expected = {}

    only = sys.argv[2:]

    def save(name, value, **kw):
        if only and name not in only:
            return
        torch.save(value, out / f"{name}.pt", **kw)
        walk(value, [], expected.setdefault(f"{name}.pt", {}))

    for name, make in CASES.items():
        value = make()
        save(name, value)
        save(f"{name}-legacy", value, _use_new_zipfile_serialization=False)
        for protocol in (1, 3, 4, 5):  # torch cannot read its own files of protocol 0
            save(f"{name}-p{protocol}", value, pickle_protocol=protocol)
    (out / "expected.json").write_text(json.dumps(expected))


if __name__ == "__main__":
    main()
