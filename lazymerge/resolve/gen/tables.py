"""Writes the tables of package resolve from the installed transformers.

usage: tables.py OUT

Each line of OUT is "<kind> <key>\t<json>":
  version -           the transformers release
  rules KEY           renames and conversions registered for a class or model type
  class NAME          what resolve needs of a model class, from an instance on the meta device
                      ("x": modules with bare parameters, by the end of their names)
  type MODEL_TYPE     classes of the model type per task, default of tie_word_embeddings
"""

import copy
import inspect
import json
import os
import re
import sys
import warnings

os.environ["TRANSFORMERS_VERBOSITY"] = "critical"
os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")

import torch
import transformers
from transformers import conversion_mapping
from transformers.core_model_loading import (
    Chunk,
    Concatenate,
    GroupWeightRename,
    Inkling2IndexOffsetWeightRename,
    Interleave,
    PrefixChange,
    Transpose,
    WeightConverter,
)
from transformers.modeling_utils import PreTrainedModel
from transformers.models.auto import modeling_auto
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.pytorch_utils import Conv1D

# PEFT's task types and the auto mappings that its auto classes use, then the
# mappings that only say which class is the plain model.
TASKS = {
    "CAUSAL_LM": "MODEL_FOR_CAUSAL_LM_MAPPING_NAMES",
    "SEQ_2_SEQ_LM": "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES",
    "SEQ_CLS": "MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES",
    "TOKEN_CLS": "MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING_NAMES",
    "QUESTION_ANS": "MODEL_FOR_QUESTION_ANSWERING_MAPPING_NAMES",
    "FEATURE_EXTRACTION": "MODEL_MAPPING_NAMES",
}

LAYERS = re.compile(r"(^|_)(num|n|encoder|decoder)_(\w+_)?(layers?|blocks|layer_num)$|^num_hidden_layers$|^n_layers?$|^depth$|^(en|de)coder_layers$")

# Layers before the first one with experts.
DENSE = ("first_k_dense_replace", "num_dense_layers", "moe_layer_start_index")


def branches(compiled):
    """A Python alternation of named groups as plain groups: (pattern, [[source, group]...])."""
    groups = [[int(n[1:]), i] for n, i in sorted(compiled.groupindex.items(), key=lambda kv: kv[1])]
    return re.sub(r"\(\?P<g\d+>", "(", compiled.pattern), groups


def half(transform):
    pattern, groups = branches(transform.compiled_sources)
    d = {"s": pattern, "t": transform.target_patterns}
    # A pattern of one source whose group is the first needs no list.
    if groups != [[0, 1]]:
        d["g"] = groups
    return d


def operation(op):
    """The operation as transformers names it, with what its own repr leaves out."""
    if isinstance(op, Transpose):
        return f"Transpose({op.dim0}, {op.dim1}{', check_dims' if op.check_dims else ''})"
    if isinstance(op, Interleave) and op.inverse:
        return f"Interleave(dim={op.dim}, inverse)"
    if isinstance(op, (Chunk, Concatenate)) and op.num_shards_attribute:
        return f"{type(op).__name__}(dim={op.dim}, {op.num_shards_attribute})"
    return repr(op)


def rule(transform):
    d = {"f": half(transform), "r": half(transform.reverse_transform())}
    if isinstance(transform, PrefixChange):
        d["k"] = "prefix"
    elif isinstance(transform, GroupWeightRename):
        d["k"] = "group"
    elif isinstance(transform, Inkling2IndexOffsetWeightRename):
        d["k"], d["o"] = "offset", transform.offset
    elif isinstance(transform, WeightConverter):
        d["k"], d["ops"] = "convert", [operation(o) for o in transform.operations]
        d["n"] = len(transform.source_patterns)
    return d


def shrink(config, seen=None):
    """Two layers are enough: the classes below a layer do not depend on its number."""
    seen = seen if seen is not None else set()
    if id(config) in seen:
        return config
    seen.add(id(config))
    for name, value in list(vars(config).items()):
        if isinstance(value, transformers.PreTrainedConfig):
            shrink(value, seen)
        elif isinstance(value, bool):
            continue
        elif name in DENSE and isinstance(value, int):
            setattr(config, name, min(value, 1))
        elif isinstance(value, int) and LAYERS.search(name) and value > 2:
            try:
                setattr(config, name, 2)
            except Exception:
                pass
    for name in ("layer_types", "mlp_layer_types"):
        value = getattr(config, name, None)
        if isinstance(value, (list, tuple)) and len(value) > 2:
            try:
                # The last of these is sparse where there are experts.
                setattr(config, name, [value[0], value[-1]] if name == "mlp_layer_types" else list(value)[:2])
            except Exception:
                pass
    return config


def tie(config, seen=None):
    seen = seen if seen is not None else set()
    if id(config) in seen:
        return
    seen.add(id(config))
    for value in vars(config).values():
        if isinstance(value, transformers.PreTrainedConfig):
            tie(value, seen)
    try:
        config.tie_word_embeddings = True
    except Exception:
        pass


# What some default configs leave unset although their models need it.
MISSING = {
    "vocab_size": 100, "num_key_value_heads": 8, "head_dim": 64, "prediction_length": 4, "pad_token_id": 0,
    "hidden_size": 64, "num_attention_heads": 8, "contrastive_hidden_size": 64, "vocabulary_map": {},
    "block_ff_dim": 64, "layer_types": ["full_attention", "full_attention"], "n_routed_experts": 8,
}


def complete(config):
    """A config whose model can be made, where the default one's cannot."""
    for _, c in configs(config):
        for name, value in MISSING.items():
            if getattr(c, name, "none" if name not in vars(c) else None) is None:
                try:
                    setattr(c, name, value)
                except Exception:
                    pass
        width, heads = getattr(c, "hidden_size", None), getattr(c, "num_attention_heads", None)
        if isinstance(width, int) and isinstance(heads, int) and width % heads:
            c.num_attention_heads = 1
        if getattr(c, "backbone_config", None) is not None and "timm" in type(c.backbone_config).__name__.lower():
            c.backbone_config = transformers.ResNetConfig(out_features=["stage1", "stage2", "stage3", "stage4"])
    return config


def instance(cls, config):
    for prepare in (shrink, lambda c: c, lambda c: complete(shrink(c)), complete):
        try:
            c = prepare(copy.deepcopy(config))
            tie(c)
            with torch.device("meta"):
                return cls(c)
        except Exception as e:
            error = e
    print(f"{cls.__name__}: {type(error).__name__}: {str(error)[:100]}", file=sys.stderr)
    return None


def roots(module):
    """Names of the direct children and parameters below which there are parameters."""
    names = [n for n, c in module.named_children() if next(iter(c.state_dict()), None) is not None]
    return names + [n for n, _ in module.named_parameters(recurse=False)]


def configs(config, path=""):
    yield path, config
    for name, value in vars(config).items():
        if isinstance(value, transformers.PreTrainedConfig):
            yield from configs(value, f"{path}.{name}" if path else name)


def parts(model):
    """The nearest PreTrainedModels below model: (path, module)."""
    found = []
    for name, m in model.named_modules():
        if name and isinstance(m, PreTrainedModel) and not any(name.startswith(f + ".") for f, _ in found):
            found.append((name, m))
    return found


LAYERS_OF_TORCH = (torch.nn.Linear, torch.nn.Embedding, torch.nn.modules.conv._ConvNd, torch.nn.MultiheadAttention, Conv1D)


def bare(model):
    """Modules whose matrices are no layer's, such as stacks of experts and routers: {last name component:
    {"p": their parameters in the order of registration, "t": is_transposed, "i": gate and up alternate}}.
    A component that means different things in a model, or a layer as well, is left out."""
    found, mixed = {}, set()
    for name, m in model.named_modules():
        leaf = name.rsplit(".", 1)[-1]
        shapes = {n: p.shape for n, p in m.named_parameters(recurse=False) if p.ndim in (2, 3)}
        stacked = any(len(s) == 3 and s[0] > 1 for s in shapes.values())
        if isinstance(m, LAYERS_OF_TORCH) or not (stacked or len(shapes.get("weight", ())) == 2):
            if isinstance(m, LAYERS_OF_TORCH):
                mixed.add(leaf)
            continue
        d = {"p": list(shapes)}
        if getattr(m, "is_transposed", False):
            d["t"] = True
        if not getattr(m, "is_concatenated", True):
            d["i"] = True
        if found.setdefault(leaf, d) != d:
            mixed.add(leaf)
    return {k: d for k, d in sorted(found.items()) if k and k not in mixed}


def describe(model):
    places = {id(c): p for p, c in reversed(list(configs(model.config)))}
    d = {"p": model.base_model_prefix, "m": model.config.model_type, "r": roots(model)}
    base = getattr(model, model.base_model_prefix, None) if model.base_model_prefix else None
    if isinstance(base, torch.nn.Module):
        d["b"] = roots(base)
    children = [[n, type(m).__name__, m.config.model_type, places.get(id(m.config), "")] for n, m in parts(model)]
    if children:
        d["c"] = children
    try:
        tied = model.get_expanded_tied_weights_keys(all_submodels=False)
    except Exception:
        tied = {}
    # Detection models tie whole heads per layer; nothing there is an embedding.
    if tied and len(tied) <= 12:
        d["e"] = tied
    if parameters := bare(model):
        d["x"] = parameters
    conv1d = sorted({n.rsplit(".", 1)[-1] for n, m in model.named_modules() if isinstance(m, Conv1D)})
    if conv1d:
        d["v"] = conv1d
        others = {n.rsplit(".", 1)[-1] for n, m in model.named_modules() if not isinstance(m, Conv1D)}
        assert not others & set(conv1d), (type(model), others & set(conv1d))
    return d


def compact(d, classes):
    """Leaves out the roots of the base model when they are those of its class."""
    for path, name, *_ in d.get("c", []):
        if path == d["p"] and "b" in d and d["b"] == classes[name].get("r"):
            del d["b"]


def auto_classes():
    """model_type -> class names of its auto mappings."""
    out = {}
    for name, mapping in vars(modeling_auto).items():
        if name.endswith("_MAPPING_NAMES") and name != "CONFIG_MAPPING_NAMES":
            for model_type, classes in mapping.items():
                classes = classes if isinstance(classes, (list, tuple)) else [classes]
                out.setdefault(model_type, []).extend(c for c in classes if c)
    return out


def siblings(cls):
    """All models of the file that defines cls, so that classes outside the auto mappings count."""
    module = inspect.getmodule(cls)
    for name, c in vars(module).items():
        if inspect.isclass(c) and issubclass(c, PreTrainedModel) and c.__module__ == module.__name__:
            if not name.endswith("PreTrainedModel"):
                yield c


def collect(only=None):
    classes, inner, types, failed = {}, {}, {}, []
    autos = auto_classes()
    for model_type in sorted(CONFIG_MAPPING.keys()):
        if only and model_type not in only:
            continue
        try:
            config_class = CONFIG_MAPPING[model_type]
            config = config_class()
        except Exception as e:
            print(f"{model_type}: {type(e).__name__}: {str(e)[:100]}", file=sys.stderr)
            continue
        entry = {"tie": bool(getattr(config, "tie_word_embeddings", False))}
        tasks = {}
        for task, mapping in TASKS.items():
            name = getattr(modeling_auto, mapping).get(model_type)
            if name:
                tasks[task] = name if isinstance(name, str) else name[0]
        if tasks:
            entry["tasks"] = tasks
        names = list(dict.fromkeys(autos.get(model_type, [])))
        found = {}
        for name in names:
            cls = getattr(transformers, name, None)
            if cls is not None and inspect.isclass(cls) and issubclass(cls, PreTrainedModel):
                found[name] = cls
                for c in siblings(cls):
                    if getattr(c, "config_class", None) is config_class:
                        found.setdefault(c.__name__, c)
        kept = []
        for name, cls in found.items():
            if name not in classes or classes[name]["m"] != model_type:
                model = instance(cls, config)
                if model is None:
                    failed.append(name)
                    classes.setdefault(name, {"p": cls.base_model_prefix, "m": model_type})
                    kept.append(name)
                    continue
                classes[name] = describe(model)
                for _, m in model.named_modules():
                    if isinstance(m, PreTrainedModel) and type(m).__name__ not in classes:
                        inner[type(m).__name__] = describe(m)
            kept.append(name)
        if kept:
            entry["classes"] = kept
        types[model_type] = entry
    for name, d in inner.items():
        classes.setdefault(name, d)
    for d in classes.values():
        compact(d, classes)
    return classes, types, failed


def main(out, only=None):
    mapping = conversion_mapping._build_checkpoint_conversion_mapping()
    classes, types, failed = collect(only)
    lines = [f"version -\t{json.dumps('transformers ' + transformers.__version__)}"]

    def put(kind, table):
        for key in sorted(table):
            lines.append(f"{kind} {key}\t{json.dumps(table[key], separators=(',', ':'))}")

    seen = {}
    rules = {}
    for k, v in mapping.items():
        r = [rule(t) for t in v]
        s = json.dumps(r)
        if s in seen:
            rules[k] = seen[s]  # a string names the entry with the same rules
        else:
            seen[s] = k
            rules[k] = r
    put("rules", rules)
    put("class", classes)
    put("type", types)
    with open(out, "w") as f:
        f.write("\n".join(lines) + "\n")
    print(f"{len(classes)} classes, {len(types)} model types, {len(failed)} classes not made", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1], set(sys.argv[2:]) or None)
