"""Writes the test corpus of package resolve with the installed transformers.

usage: corpus.py OUT.jsonl.gz

Each line is one checkpoint and one class that loads it, made by transformers' own code on
the meta device: the names that saving the class "arch" writes, and for each module of the
class "runs" that an adapter can name, which of them the loader puts there.

  disk    names as save_pretrained writes them
  find    runtime name -> index in disk, or -1: built by a conversion, -2: tied (tied[name] is
          the index of the tensor shared), -3: absent from the checkpoint
"""

import gzip
import json
import sys

import torch
import transformers
from transformers.conversion_mapping import get_model_conversion_mapping
from transformers.core_model_loading import (
    PrefixChange,
    WeightConverter,
    WeightRenaming,
    dot_natural_key,
    rename_source_key,
    revert_weight_conversion,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

import tables

# Every model type that has rules of its own is in, and these.
PLAIN = """llama mistral qwen2 qwen3 gpt2 gpt_neo gpt_neox gptj opt bloom falcon phi phi3 gemma gemma2 gemma3_text
t5 mt5 umt5 bart mbart pegasus marian whisper bert roberta distilbert deberta deberta-v2 electra albert camembert
modernbert mpnet dinov2 swin convnext wav2vec2 hubert wavlm mamba mamba2 falcon_mamba rwkv stablelm starcoder2
codegen cohere cohere2 olmo olmo2 olmo3 granite smollm3 nemotron glm glm4 exaone4 t5gemma xglm biogpt led longformer
big_bird xlm-roberta esm segformer detr blip-2 blip idefics2 idefics3 smolvlm qwen3_vl layoutlm layoutlmv3 mobilebert
funnel squeezebert xlnet xlm ctrl openai-gpt decision_transformer imagegpt clvp blenderbot m2m_100 nllb-moe fnet
roformer nystromformer ernie rembert data2vec-text speech_to_text trocr vision-encoder-decoder encoder-decoder
gpt_bigcode mpt persimmon seed_oss apertus arcee helium hunyuan_v1_dense lfm2 minicpm3 ministral qwen3_5 smolvlm
gemma4 florence2 ovis2 cohere2_vision kosmos-2 instructblip git pix2struct layoutlmv2 deit beit mobilevit regnet resnet
clip siglip siglip2 aya_vision chinese_clip altclip clap x-clip metaclip_2
sam depth_anything dpt vitpose owlvit groupvit tvp bridgetower flava pixtral speecht5 bark vits encodec""".split()


def texts(config):
    """What the resolver may ask of config.json."""
    out = {}
    for path, c in tables.configs(config):
        for key in ("model_type", "tie_word_embeddings"):
            value = getattr(c, key, None)
            if value not in (None, ""):
                out[f"{path}.{key}" if path else key] = value
    return out


def leaves(model):
    kinds = (torch.nn.Linear, torch.nn.Embedding, torch.nn.Conv1d, torch.nn.Conv2d, torch.nn.Conv3d, tables.Conv1D)
    for name, m in model.named_modules(remove_duplicate=False):
        if name and isinstance(m, kinds) and "parametrizations" not in dict(m.named_children()):
            yield name + ".weight"


def saved(model, hub):
    """Names and tensors of a save; with hub, as a model that came from the hub, prefixes kept."""
    state = dict(model.state_dict())
    if hub:
        model._weight_conversions = get_model_conversion_mapping(model, add_legacy=False)
    tied = set(model.get_expanded_tied_weights_keys(all_submodels=True))
    state = {k: v for k, v in state.items() if k not in tied}
    return list(revert_weight_conversion(model, state))


def load(model, disk):
    """Where the loader puts each disk name: the body of convert_and_load_state_dict_in_model."""
    mapping = get_model_conversion_mapping(model)
    renamings = [m for m in mapping if isinstance(m, WeightRenaming)]
    converters = [m for m in mapping if isinstance(m, WeightConverter)]
    state = model.state_dict()
    prefix = model.base_model_prefix
    placed = {}
    for key in sorted(disk, key=dot_natural_key):
        name, pattern = rename_source_key(key, renamings, converters, prefix, state)
        if name not in state and key in state:
            name, pattern = rename_source_key(key, [], [], prefix, state)
        if pattern is None:
            if name in state:
                placed[name] = key
            continue
        converter = next(c for c in converters if pattern in c.source_patterns)
        for target in converter.target_patterns:
            n = name.replace(converter.target_patterns[0], target)
            if n in state:
                placed[n] = None
    return placed


def find(model, disk):
    placed = load(model, disk)
    tied = model.get_expanded_tied_weights_keys(all_submodels=True)
    groups = {}
    for t, s in tied.items():
        groups.setdefault(s, [s]).append(t)
    index = {d: i for i, d in enumerate(disk)}
    out, shared = {}, {}
    for name in leaves(model):
        if name in placed:
            out[name] = -1 if placed[name] is None else index[placed[name]]
            continue
        others = [g for g in groups.get(tied.get(name, name), []) if placed.get(g)]
        out[name] = -2 if others else -3
        if others:
            shared[name] = index[placed[others[0]]]
    return out, shared


def small(config):
    """Fewer experts, besides fewer layers."""
    c = tables.shrink(config)
    for _, sub in tables.configs(c):
        for name in ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts"):
            if isinstance(getattr(sub, name, None), int) and getattr(sub, name) > 8:
                try:
                    setattr(sub, name, 8)
                except Exception:
                    pass
    return c


def make(cls, config):
    import copy

    for prepare in (small, tables.shrink, lambda c: c):
        for overrides in (lambda c: c, tables.complete):
            try:
                with torch.device("meta"):
                    return cls(overrides(prepare(copy.deepcopy(config))))
            except Exception:
                pass
    return None


def pairs(model_type, entry):
    """(saved class, loading class): each main class with itself and with the others."""
    tasks = entry.get("tasks", {})
    names = [tasks.get(t) for t in ("CAUSAL_LM", "SEQ_2_SEQ_LM")]
    names += [c for c in entry.get("classes", []) if c.endswith(("ForConditionalGeneration", "ForPreTraining", "ForMaskedLM", "ForImageClassification", "ForCTC"))]
    names += [tasks.get("SEQ_CLS")]
    base = tasks.get("FEATURE_EXTRACTION")
    names = [n for n in dict.fromkeys(names) if n and n != base][:3]
    out = [(n, n) for n in names] + ([(base, base)] if base else [])
    if base and names:
        out += [(base, names[0]), (names[0], base)]
    if len(names) > 1:
        out += [(names[0], names[-1])]
    return out


def main(out):
    with open("tables.txt") as f:
        rows = [line.rstrip("\n").split("\t", 1) for line in f]
    rules = {k.split(" ", 1)[1] for k, _ in rows if k.startswith("rules ")}
    types = {k.split(" ", 1)[1]: json.loads(v) for k, v in rows if k.startswith("type ")}
    classes = {k.split(" ", 1)[1]: json.loads(v) for k, v in rows if k.startswith("class ")}
    count = modules = 0
    made_types = set()
    with gzip.GzipFile(out, "wb", 9, mtime=0) as z:
        for t, entry in sorted(types.items()):
            if not (t in PLAIN or t in rules or rules & set(entry.get("classes", []))):
                continue
            config = CONFIG_MAPPING[t]()
            models = {}
            for arch, runs in pairs(t, entry):
                for n in (arch, runs):
                    if n not in models:
                        models[n] = make(getattr(transformers, n), config)
                a, r = models[arch], models[runs]
                if a is None or r is None or a.config.model_type != t:
                    continue
                styles = {}
                for hub in (True, False):
                    try:
                        styles.setdefault(tuple(saved(a, hub)), hub)
                    except Exception as e:
                        print(f"{arch}: {type(e).__name__}: {str(e)[:100]}", file=sys.stderr)
                for disk, hub in styles.items():
                    found, shared = find(r, disk)
                    d = {"type": t, "arch": arch, "runs": runs, "hub": hub, "config": texts(a.config), "disk": disk, "find": found}
                    if shared:
                        d["tied"] = shared
                    z.write((json.dumps(d, separators=(",", ":")) + "\n").encode())
                    count, modules = count + 1, modules + len(found)
                    made_types.add(t)
    print(f"{len(made_types)} model types, {count} cases, {modules} modules", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1])
