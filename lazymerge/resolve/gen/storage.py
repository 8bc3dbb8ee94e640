"""Writes what transformers' converters make of numbered tensors, for the tests of package lazymerge.

usage: storage.py OUT.jsonl.gz

A row is one parameter in memory: "disk" are the tensors that it is made of with their shapes, "ids" its
elements, as numbers of elements of the disk tensors one after another. Without "ids" it has to be refused.
"""

import gzip
import json
import math
import re
import sys
from types import SimpleNamespace

import tables  # noqa: F401
import torch
from transformers import conversion_mapping
from transformers.core_model_loading import WeightConverter, WeightRenaming, apply_converters, apply_renamings, dot_natural_key

EXPERTS = 12  # more than ten: the order of names is not that of numbers
ROWS, COLS = 4, 3


def plain(pattern):
    """A name that a source pattern matches; the number of an expert stays a star."""
    return re.sub(r"\\(.)", r"\1", pattern).lstrip("^").rstrip("$").lstrip(".").rstrip(".").replace(".*", "*").replace("..", ".")


def shape(name, operations, index, target):
    names = [type(o).__name__ for o in operations]
    if "conv1d" in name:
        return [ROWS, 1, COLS]
    rows = ROWS * 6 if names[0] in ("Chunk", "Split", "Interleave") else ROWS + index
    if names == ["Interleave"] or "Concatenate" in names and getattr(operations[-1], "dim", 0) == 1 and "MergeModulelist" not in names:
        return [EXPERTS, rows, COLS]
    if names[0] == "Interleave" and operations[0].dim == 1:
        return [EXPERTS, rows, COLS]
    if names == ["Transpose"] and operations[0].dim1 == 2:
        return [EXPERTS, rows, COLS]
    return [rows, COLS]


def model_of(converter, shapes):
    """The part of a model that operations ask: the shapes of parameters."""
    total = next(iter(shapes.values()))
    sizes = [total[0] - 2 * ROWS, ROWS, ROWS] if len(converter.target_patterns) == 3 else None

    def get_parameter(name):
        if any(type(o).__name__ == "Split" for o in converter.operations):
            return torch.empty([sizes[converter.target_patterns.index(name)], COLS])
        return torch.empty(total)  # of Transpose with check_dims: nothing to do

    return SimpleNamespace(get_parameter=get_parameter)


def rows_of(key, rules):
    renames = [r for r in rules if isinstance(r, WeightRenaming)]
    converters = [r for r in rules if isinstance(r, WeightConverter)]
    for c in converters:
        if any("bias" in p or "scale" in p for p in c.source_patterns):
            continue
        disk, inputs, start = {}, {}, 0
        for index, pattern in enumerate(c.source_patterns):
            template = "m." + plain(pattern)
            names = [template.replace("*", "." + str(e) if not template.split("*")[0].endswith((".", "_")) else str(e)) for e in range(EXPERTS)] if "*" in template else [template]
            names = [re.sub(r"\.+", ".", n) for n in names]
            if not names[0].endswith("weight") and c.target_patterns[0].endswith(("_proj", "proj")) and "expert" not in names[0] and "shared" not in names[0]:
                names = [n + ".weight" for n in names]
            inputs[pattern] = []
            for name in sorted(names, key=dot_natural_key):
                s = shape(name, c.operations, index, c.target_patterns[0])
                n = math.prod(s)
                inputs[pattern].append(torch.arange(start, start + n).reshape(s))
                disk[name] = s
                start += n
        first = next(iter(disk))
        if any(apply_renamings(n, renames) != n for n in disk):
            print(f"{key}: {first}: renamed", file=sys.stderr)
            continue
        loaded, source = apply_converters(first, converters)
        if source not in c.source_patterns:
            print(f"{key}: {first}: not matched by {c.source_patterns}", file=sys.stderr)
            continue
        refused = any(type(o).__name__ == "PermuteForRope" or getattr(o, "num_shards_attribute", None) for o in c.operations) or "conv1d" in first
        values = dict(inputs)
        if not refused:
            for op in c.operations:
                values = op.convert(
                    values, source_patterns=c.source_patterns, target_patterns=c.target_patterns, full_layer_name=c.target_patterns[0],
                    model=model_of(c, disk), config=SimpleNamespace(), missing_keys=None,
                )  # fmt: skip
        stem = loaded
        for target in c.target_patterns:
            name = stem.replace(c.target_patterns[0], target, 1)
            row = {"key": key, "ops": [tables.operation(o) for o in c.operations], "disk": list(disk.items()), "name": name}
            if not refused:
                value = values[target]
                value = value[0] if isinstance(value, list) else value
                row |= {"shape": list(value.shape), "ids": value.flatten().tolist()}
            yield row


def main(out):
    rows, seen = 0, set()
    with gzip.GzipFile(out, "wb", 9, mtime=0) as z:
        for key, rules in sorted(conversion_mapping._build_checkpoint_conversion_mapping().items()):
            text = repr([r for r in rules if isinstance(r, WeightConverter)])
            if text in seen:
                continue
            seen.add(text)
            for row in rows_of(key, rules):
                z.write((json.dumps(row, separators=(",", ":")) + "\n").encode())
                rows += 1
    print(f"{rows} parameters", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1])
