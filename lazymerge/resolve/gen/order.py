"""Writes in which order the classes of the installed transformers have their modules.

usage: order.py OUT

Each line of OUT is "<class>\t<tree>", or "<class>\t=<class with the same tree>". A tree
lists the children of a module in the order of named_modules: "name" for a leaf,
"name(children)" for another; "#" stands for all numbers of a list; "name@" is a model of
a class of its own. Only modules with weights of two dimensions or more count.
"""

import copy
import inspect
import sys

import tables
import torch
import transformers
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING


def leaf(module):
    weight = module._parameters.get("weight")
    return weight is not None and weight.ndim > 1


def tree(module):
    """The children that matter: name -> tree, None for a model of its own."""
    children = {}
    for name, child in module.named_children():
        if isinstance(child, tables.PreTrainedModel):
            children[name] = None
            continue
        below = tree(child)
        if not below and not leaf(child):
            continue
        merge(children, {"#" if name.isdigit() else name: below})
    return children


def merge(into, other):
    """Adds what layers of a list have more than those before, in front of what both have next: layers of one model
    may be of several kinds."""
    added, order = [], list(into)
    for name, below in other.items():
        if name not in into:
            into[name] = below
            added.append(name)
            continue
        at = order.index(name)
        order[at:at], added = added, []
        if into[name] is None:
            into[name] = below
        elif below is not None:
            merge(into[name], below)
    for name in order + added:
        into[name] = into.pop(name)


def consistent(module, merged):
    """Whether the module's children are in the order of the merged tree."""
    def check(m, merged):
        place = {n: i for i, n in enumerate(merged)}
        last = -1
        for name, child in m.named_children():
            name = "#" if name.isdigit() else name
            if name not in merged:
                continue
            if name != "#":
                if place[name] < last:
                    return False
                last = place[name]
            if merged[name] and not check(child, merged[name]):
                return False
        return True

    return check(module, merged)


def text(children):
    return " ".join(n + ("@" if below is None else f"({text(below)})" if below else "") for n, below in children.items())


def whole(cls, config):
    """An instance with as many layers as the config has by default, since a few may lack a kind of them."""
    try:
        with torch.device("meta"):
            return cls(copy.deepcopy(config))
    except Exception:
        return tables.instance(cls, config)


def main(out, only=None):
    found = {}  # class -> text of the tree of an instance -> instance
    autos = tables.auto_classes()

    def add(model):
        for _, m in [("", model), *model.named_modules()]:
            if isinstance(m, tables.PreTrainedModel):
                found.setdefault(type(m).__name__, {}).setdefault(text(tree(m)), m)

    for model_type in sorted(CONFIG_MAPPING.keys()):
        if only and model_type not in only:
            continue
        try:
            config_class = CONFIG_MAPPING[model_type]
            config = config_class()
        except Exception:
            continue
        classes = {}
        for name in autos.get(model_type, []):
            cls = getattr(transformers, name, None)
            if inspect.isclass(cls) and issubclass(cls, tables.PreTrainedModel):
                classes[name] = cls
                for c in tables.siblings(cls):
                    if getattr(c, "config_class", None) is config_class:
                        classes.setdefault(c.__name__, c)
        for name, cls in classes.items():
            if name not in found:
                model = whole(cls, config)
                if model is not None:
                    add(model)
    lines, seen = [], {}
    for name in sorted(found):
        merged = {}
        for m in found[name].values():
            merge(merged, tree(m))
        t = text(merged)
        if not t or not all(consistent(m, merged) for m in found[name].values()):
            continue
        lines.append(f"{name}\t={seen[t]}" if t in seen else f"{name}\t{t}")
        seen.setdefault(t, name)
    with open(out, "w") as f:
        f.write("\n".join(lines) + "\n")
    print(f"{len(lines)} classes of {len(found)}", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1], set(sys.argv[2:]) or None)
