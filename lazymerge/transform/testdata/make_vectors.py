"""Writes vectors.safetensors: small layers merged by the real PEFT.

Run with torch 2.15, peft 0.21.2, transformers 5.23 and safetensors 0.8:

    python make_vectors.py

Each case holds base, A, B, and optionally magnitude, delta_bias and base_bias; "plain"
is the result of merge_and_unload(), "safe" that of merge_and_unload(safe_merge=True).
The case list, with scales and layer kinds, is the file's metadata.
"""

import copy
import json
import pathlib
import tempfile
import warnings

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn
from transformers.pytorch_utils import Conv1D

warnings.simplefilter("ignore")
DTYPES = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}


class Model(nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, *args):
        return self.layer(*args)


LAYERS = {
    "linear": (lambda: nn.Linear(30, 21), "linear"),
    "conv1d_gpt2": (lambda: Conv1D(21, 30), "linear"),
    "conv1d_square": (lambda: Conv1D(22, 22), "linear"),
    "linear_square": (lambda: nn.Linear(22, 22), "linear"),
    "conv1": (lambda: nn.Conv1d(8, 9, 3), "conv"),
    "conv2": (lambda: nn.Conv2d(6, 5, (3, 5)), "conv"),
    "conv2_1x1": (lambda: nn.Conv2d(20, 13, 1), "conv"),
    "conv3": (lambda: nn.Conv3d(3, 5, (2, 3, 4)), "conv"),
    "embedding": (lambda: nn.Embedding(37, 16), "embedding"),
    "mha": (lambda: nn.MultiheadAttention(16, 4), "mha"),
}


def adapt(base, options, dtype):
    """Saves an adapter whose values are all of the size of a trained one."""
    model = get_peft_model(copy.deepcopy(base), LoraConfig(target_modules=["layer"], **options))
    for name, p in model.named_parameters():
        if "lora_" not in name:
            continue
        with torch.no_grad():
            if "magnitude" in name:
                p.mul_(1 + 0.2 * torch.randn_like(p))
            else:
                p.copy_(0.15 * torch.randn_like(p))
    d = tempfile.mkdtemp()
    model.save_pretrained(d)
    file = pathlib.Path(d) / "adapter_model.safetensors"
    tensors = {k: v.to(dtype).contiguous() for k, v in load_file(file).items()}
    save_file(tensors, file)
    return d, tensors


def merge(base, directory, safe):
    model = PeftModel.from_pretrained(copy.deepcopy(base), directory)
    return model.merge_and_unload(safe_merge=safe).state_dict()


def pick(tensors, *ends):
    for name, t in tensors.items():
        if any(name.endswith(e) for e in ends):
            return t
    return None


class Writer:
    def __init__(self):
        self.tensors, self.cases = {}, []

    def add(self, name, kind, conv1d, scale, parts):
        self.cases.append({"name": name, "kind": kind, "conv1d": conv1d, "scale": scale})
        for part, t in parts.items():
            if t is not None:
                self.tensors[f"{name}/{part}"] = t.detach().contiguous().clone()


def run(out, layer, base_type, adapter_type, options, suffix=""):
    make, kind = LAYERS[layer]
    options = {"r": 5, "lora_alpha": 7, "init_lora_weights": False} | options
    base = Model(make()).to(DTYPES[base_type])
    before = {k: v.clone() for k, v in base.state_dict().items()}
    directory, adapter = adapt(base, options, DTYPES[adapter_type])
    plain, safe = merge(base, directory, False), merge(base, directory, True)
    scale = options["lora_alpha"] / (options["r"] ** 0.5 if options.get("use_rslora") else options["r"])
    name = f"{layer}{suffix}-{base_type}-{adapter_type}"

    def case(title, kind, param, a, b, **more):
        key = f"layer.{param}"
        out.add(title, kind, "conv1d_" in layer, scale,
                {"base": before[key], "plain": plain[key], "safe": safe[key], "A": a, "B": b} | more)

    if kind == "mha":
        inner = {k: v for k, v in adapter.items() if "out_proj" not in k}
        outer = {k: v for k, v in adapter.items() if "out_proj" in k}
        case(name + "-in", "in_proj", "in_proj_weight", pick(inner, "lora_A.weight"), pick(inner, "lora_B.weight"))
        case(name + "-out", "out_proj", "out_proj.weight", pick(outer, "lora_A.weight"), pick(outer, "lora_B.weight"))
        return
    more = {"magnitude": pick(adapter, "lora_magnitude_vector", "lora_magnitude_vector.weight")}
    case(name, kind, "weight", pick(adapter, "lora_A.weight", "embedding_A"),
         pick(adapter, "lora_B.weight", "embedding_B"), **more)
    bias = pick(adapter, "lora_B.bias")
    if bias is not None:
        out.add(name + "-bias", "bias", False, scale,
                {"base": before["layer.bias"], "plain": plain["layer.bias"], "safe": safe["layer.bias"], "delta": bias})


def main():
    torch.manual_seed(7)
    torch.set_num_threads(1)
    out = Writer()
    for layer in LAYERS:
        for base_type in DTYPES:
            for adapter_type in DTYPES:
                run(out, layer, base_type, adapter_type, {})
                if layer != "mha" and adapter_type == "f32":
                    run(out, layer, base_type, adapter_type, {"use_dora": True}, "_dora")
                if layer in ("linear", "conv1d_gpt2", "conv2") and adapter_type != "f16":
                    run(out, layer, base_type, adapter_type, {"lora_bias": True, "use_rslora": True}, "_bias")
    for rank in (1, 32, 33, 70):
        run(out, "linear", "bf16", "f32", {"r": rank}, f"_r{rank}")
    run(out, "linear", "bf16", "bf16", {"use_dora": True}, "_dora")
    run(out, "embedding", "f16", "bf16", {"use_dora": True}, "_dora")
    save_file(out.tensors, pathlib.Path(__file__).with_name("vectors.safetensors"),
              metadata={"cases": json.dumps(out.cases)})
    print(len(out.cases), "cases")


if __name__ == "__main__":
    main()
