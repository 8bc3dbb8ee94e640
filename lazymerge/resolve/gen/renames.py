"""Writes names and what transformers' rules make of them, for the tests of package resolve.

usage: renames.py OUT.jsonl.gz

For each entry of the conversion mapping the names are sampled from the entry's own patterns;
"loaded" is the name after all its renames and at most one converter, "back" the loaded name
after the reverse renames.
"""

import gzip
import json
import random
import re._constants as c
import re._parser as parser
import sys

import tables  # noqa: F401
from transformers import conversion_mapping
from transformers.core_model_loading import (
    GroupWeightRename,
    WeightConverter,
    WeightRenaming,
    apply_converters,
    apply_renamings,
)

LETTERS = "abcxyz_019"


def sample(tree, rng, groups):
    out = ""
    for op, arg in tree:
        if op is c.LITERAL:
            out += chr(arg)
        elif op is c.ANY:
            out += rng.choice(".a_")
        elif op is c.IN:
            kind, value = rng.choice([a for a in arg if a[0] is not c.NEGATE])
            if kind is c.LITERAL:
                out += chr(value)
            elif kind is c.RANGE:
                out += chr(rng.randint(*value))
            else:
                out += rng.choice("0123456789") if "DIGIT" in str(value) else rng.choice("ab")
        elif op in (c.MAX_REPEAT, c.MIN_REPEAT):
            low, high, sub = arg
            for _ in range(rng.randint(low, min(high, low + 2))):
                out += sample(sub, rng, groups)
        elif op is c.SUBPATTERN:
            text = sample(arg[3], rng, groups)
            groups[arg[0]] = text
            out += text
        elif op is c.BRANCH:
            out += sample(rng.choice(arg[1]), rng, groups)
        elif op is c.GROUPREF:
            out += groups.get(arg, "")
    return out


def main(out):
    rng = random.Random(5)
    rows, seen = 0, set()
    with gzip.GzipFile(out, "wb", 9, mtime=0) as z:
        for key, rules in sorted(conversion_mapping._build_checkpoint_conversion_mapping().items()):
            text = repr(rules)
            if text in seen:
                continue
            seen.add(text)
            names = []
            for r in rules:
                for _ in range(3):
                    s = sample(parser.parse(r.compiled_sources.pattern), rng, {})
                    names += [s, rng.choice(["", "model.", "x.", "3."]) + s + rng.choice(["", ".weight", "x", ".1.bias"])]
            renames = [r for r in rules if isinstance(r, WeightRenaming)]
            converters = [r for r in rules if isinstance(r, WeightConverter)]
            reverse = [r.reverse_transform() for r in renames[::-1]]
            for n in dict.fromkeys(names):
                if "\n" in n:
                    continue
                for r in renames + reverse:
                    if isinstance(r, GroupWeightRename):
                        r._active = True
                renamed = apply_renamings(n, renames)
                loaded, _ = apply_converters(renamed, converters)
                row = {"key": key, "name": n, "renamed": renamed, "loaded": loaded, "back": apply_renamings(renamed, reverse)}
                z.write((json.dumps(row, separators=(",", ":")) + "\n").encode())
                rows += 1
    print(f"{rows} names", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1])
