"""Writes what the tests of this package compare with: lists taken from the real PEFT,
answers of Python's re, and adapters that PEFT saved.

    python make.py [lists | CASE…]            (PEFT 0.21.2, transformers 5.23)

Each adapter gets an expect.json: rank and scaling of every LoRA layer as PEFT loads
the adapter again, and the names of the base's parameters.
"""

import dataclasses
import json
import re
import shutil
import sys
import warnings
from pathlib import Path

import peft
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING, PEFT_TYPE_TO_PREFIX_MAPPING
from peft.tuners.lora import LoraLayer
from torch import nn
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

HERE = Path(__file__).resolve().parent
SAVED = HERE / "saved"
if peft.__version__ != "0.21.2":
    sys.exit(f"PEFT 0.21.2 is needed, this is {peft.__version__}")
warnings.simplefilter("ignore")


def llama(tied=False, vocab=24):
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=vocab, hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, tie_word_embeddings=tied, bos_token_id=0, eos_token_id=1, pad_token_id=2,
    )
    return LlamaForCausalLM(config)


def gpt2():
    torch.manual_seed(1)
    return GPT2LMHeadModel(GPT2Config(vocab_size=24, n_embd=8, n_layer=1, n_head=2, n_positions=16, bos_token_id=0, eos_token_id=1))


def bert():
    torch.manual_seed(1)
    config = BertConfig(vocab_size=24, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                        intermediate_size=12, max_position_embeddings=16, num_labels=3)
    return BertForSequenceClassification(config)


class Kinds(nn.Module):
    """One layer of every kind that LoRA knows."""

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(6, 4)
        self.conv1 = nn.Conv1d(3, 4, 3)
        self.conv2 = nn.Conv2d(3, 4, (2, 3))
        self.point = nn.Conv2d(3, 4, 1)
        self.conv3 = nn.Conv3d(2, 4, 2)
        self.emb = nn.Embedding(10, 6)
        self.attn = nn.MultiheadAttention(6, 2)
        self.norm = nn.LayerNorm(6)


def kinds():
    torch.manual_seed(1)
    return Kinds()


def resized():
    m = llama()
    m.resize_token_embeddings(27)
    return m


QV = ["q_proj", "v_proj"]
ALL = ["lin", "conv1", "conv2", "point", "conv3", "emb", "attn"]

# name: (base, LoraConfig arguments, save_pretrained arguments)
CASES = {
    "patterns": (llama, dict(r=2, lora_alpha=3, target_modules=["q_proj", "k_proj", "v_proj", "down_proj"],
                             rank_pattern={"layers.1.self_attn.q_proj": 4, r"down_p\w+": 3, "^model.layers.0.self_attn.k_proj": 1},
                             alpha_pattern={r"layers\.(\d+)\.self_attn\.v_proj": 5, r"model\.(?P<l>layers)\..*\.k_proj": 7}), {}),
    "rslora": (llama, dict(r=2, lora_alpha=3, use_rslora=True, target_modules=QV, rank_pattern={"v_proj": 3}), {}),
    "dora": (llama, dict(r=2, use_dora=True, target_modules=QV), {}),
    "gpt2": (gpt2, dict(r=2, target_modules=["c_attn", "c_proj", "c_fc", "wte"]), {}),
    "kinds": (kinds, dict(r=2, lora_alpha=5, target_modules=ALL), {}),
    "kinds_dora": (kinds, dict(r=2, use_dora=True, target_modules=ALL[:-1]), {}),
    "kinds_bias": (kinds, dict(r=2, bias="all", target_modules=ALL), {}),
    "lora_bias": (kinds, dict(r=2, lora_bias=True, target_modules=["lin", "conv2"]), {}),
    "bias_lora_only": (kinds, dict(r=2, bias="lora_only", target_modules=ALL), {}),
    "bias_all_saved": (bert, dict(r=2, bias="all", task_type="SEQ_CLS", target_modules=["query", "value"]), {}),
    "classifier": (bert, dict(r=2, task_type="SEQ_CLS", target_modules=["query", "value"]), {}),
    "embeddings": (llama, dict(r=2, target_modules=["q_proj", "embed_tokens", "lm_head"]), {}),
    "resized": (resized, dict(r=2, target_modules=QV), dict(save_embedding_layers=True)),
    "resized_saved": (resized, dict(r=2, target_modules=QV, modules_to_save=["embed_tokens", "lm_head"]), dict(save_embedding_layers=True)),
    "resized_tokens": (resized, dict(r=2, target_modules=QV, trainable_token_indices=[24, 25, 26]), dict(save_embedding_layers=True)),
    "tokens": (llama, dict(r=2, target_modules=QV, trainable_token_indices=[3, 1]), {}),
    "tokens_tied": (lambda: llama(True), dict(r=2, target_modules=QV, trainable_token_indices={"embed_tokens": [3, 1], "lm_head": [3, 1]}), {}),
    "tokens_apart": (llama, dict(r=2, target_modules=QV, trainable_token_indices={"embed_tokens": [3, 1], "lm_head": [4]}), {}),
    "tied_embed": (lambda: llama(True), dict(r=2, target_modules=["embed_tokens"], ensure_weight_tying=True), {}),
    "tied_saved": (lambda: llama(True), dict(r=2, target_modules=QV, modules_to_save=["lm_head"], ensure_weight_tying=True), {}),
    "tied_plain_saved": (lambda: llama(True), dict(r=2, target_modules=QV, modules_to_save=["embed_tokens", "lm_head"]), {}),
    "replication": (llama, dict(r=2, target_modules=QV, layer_replication=[[0, 2], [1, 2]]), {}),
    "mica": (llama, dict(r=2, target_modules=QV, init_lora_weights="mica"), {}),
    "velora": (llama, dict(r=2, target_modules=QV, velora_config=peft.VeloraConfig(num_groups=2)), {}),
    "monteclora": (llama, dict(r=2, target_modules=QV, monteclora_config=peft.MontecloraConfig()), {}),
    "gaussian": (llama, dict(r=2, target_modules=r".*\.(q|v)_proj", init_lora_weights="gaussian"), {}),
}


def perturb(model):
    torch.manual_seed(2)
    for name, p in model.named_parameters():
        if "lora_" in name or "modules_to_save" in name or "trainable_tokens" in name:
            p.data += torch.randn_like(p) * 0.1


def expectation(directory, base):
    model = base()
    names = sorted(model.state_dict())
    loaded = PeftModel.from_pretrained(model, directory)
    layers = {}
    for name, module in loaded.base_model.model.named_modules():
        if isinstance(module, LoraLayer):
            layers[name] = {"r": module.r["default"], "scaling": module.scaling["default"]}
    return {"layers": layers, "base": names}


def save(name, base, config, kwargs):
    directory = SAVED / name
    model = get_peft_model(base(), LoraConfig(**config))
    perturb(model)
    model.save_pretrained(directory, **kwargs)
    (directory / "README.md").unlink(missing_ok=True)
    expect = expectation(directory, base)
    (directory / "expect.json").write_text(json.dumps(expect, sort_keys=True) + "\n")


PATTERNS = [
    "q_proj", "self_attn.q_proj", "layers.1.self_attn.q_proj", "^model.layers.0.mlp.up_proj", ".*q_proj", r".*\.(q|v)_proj",
    r"model\.layers\.(?!0).*", r"layers\.(\d)\.self_attn\.(\w)_proj", r"(?P<a>q|k)_proj", r"(?P<a>l)ayers\.(?P<b>\d)\..*(?P=a).*",
    r"layers\.([01])\..*", r"(.)\3.*", r"(\w+)_proj", r"[qkv]_proj", r"[^qkv]+_proj", r"[]q[]_proj", r"[a-z-[qk]]_proj", r"q_proj\Z",
    r"\Amodel.*", r"\x71_proj", r"\u0071_proj", r"\161_proj", r"[\161]_proj", r"q_pro{1}j", r"q_pro{,2}j", r"q_pro{x}j", r"(?i:Q_PROJ)",
    r"(?<=self_attn\.)q_proj", r"(?<!mlp\.)\w+_proj", r"(?:q|k)_proj", r"(?#c)q_proj", r"(q)?(?(3)_proj|v_proj)",
    r"(?P<q>q)?(?(q)_proj|v_proj)", r"(?>q)_proj", r"q_proj|v_proj", r"q_proj$", r"\w+\.\w+", "", r"\.", r"a||b", r"(q_proj)?",
    r"(?s:.)_proj", r"(?x: q _ proj )", r"\S+", r"[\w.]+", r"q\_proj", r"q\-proj", "(a", "[a", "a)", "*", "a**", r"\p{L}+", r"\Gq_proj", r"(?<n>q)_proj",
    r"\Qq\E", r"\9", r"(?P=z)", r"(?i)q_proj", r"(?n:q)_proj", r"\e", r"\N", "\\", r"(?|q)_proj", r"{2}", r"x{2}{3}", r"größe.*", r"\d\d?", r"q_proj\b", r"\BProj",
    r"(?(1)q|v)_proj", r"(?(9)q|v)_proj", r"[[:alpha:]]_proj", r"[q-]_proj", r"(?u:q)_proj", r"(?-i:q)_proj", r"(?a:q)_proj",
]
NAMES = [
    "q_proj", "xq_proj", "model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj", "model.layers.11.self_attn.v_proj",
    "model.layers.1.self_attn.k_proj", "model.layers.0.mlp.up_proj", "lm_head", "model.llayers.0.q_proj", "model.größe.lin", "aa.q-proj", "model",
    "layers.0", "a..b",
]


def answer(pattern, name):
    """The answers of PEFT's ways to match; None where Python refuses."""
    def ask(f):
        try:
            return bool(f())
        except (re.error, OverflowError):
            return None

    return [
        ask(lambda: re.match(rf"(.*\.)?({pattern})$", name)),
        ask(lambda: re.fullmatch(pattern, name)),
        ask(lambda: re.match(rf".*\.{pattern}$", name)),
        ask(lambda: re.search(pattern, name)),
    ]


def lists():
    fields = {}
    for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items():
        fields[kind.value] = sorted(f.name for f in dataclasses.fields(config))
    lines = [" ".join([kind, *fields[kind]]) for kind in sorted(fields)]
    (HERE / "config_fields.txt").write_text("\n".join(lines) + "\n")
    types = sorted(f"{t.value} {PEFT_TYPE_TO_PREFIX_MAPPING.get(t, '')}".strip() for t in peft.PeftType)
    (HERE / "peft_types.txt").write_text("\n".join(types) + "\n")
    rows = [[p, [code(answer(p, n)) for n in NAMES]] for p in PATTERNS]
    lines = ",\n".join(json.dumps(row) for row in rows)
    (HERE / "patterns.json").write_text('{"names": ' + json.dumps(NAMES) + ', "rows": [\n' + lines + "\n]}\n")


def code(pair):
    return "".join({True: "y", False: "n", None: "!"}[x] for x in pair)


if __name__ == "__main__":
    lists()
    wanted = [] if sys.argv[1:] == ["lists"] else sys.argv[1:] or CASES
    for name in wanted:
        shutil.rmtree(SAVED / name, ignore_errors=True)
        try:
            save(name, *CASES[name])
        except Exception as e:  # a case that PEFT itself cannot load again
            print(name, type(e).__name__, e)
