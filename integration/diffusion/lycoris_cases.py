"""Adapters by LyCORIS' own modules, with the weights that their forward pass computes with."""

from __future__ import annotations

import copy

import torch
from lycoris.modules import (
    ButterflyOFTModule, DiagOFTModule, DyLoraModule, FullModule, GLoRAModule, IA3Module, LoConModule, LohaModule,
    LokrModule, NormModule,
)
from torch import nn

State = dict[str, torch.Tensor]


def tiny() -> nn.Module:
    """A model of one layer of each kind."""
    class Tiny(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(12, 16)
            self.square = nn.Linear(16, 16)
            self.bare = nn.Linear(18, 24, bias=False)
            self.conv = nn.Conv2d(8, 16, 3, padding=1)
            self.point = nn.Conv2d(12, 16, 1)
            self.ln = nn.LayerNorm(12)
            self.gn = nn.GroupNorm(4, 16)

    return Tiny()


def awaken(module: nn.Module, generator: torch.Generator) -> None:
    """LyCORIS begins with a delta of zero."""
    for name, value in module.named_parameters():
        noise = torch.randn(value.shape, generator=generator)
        if "dora_scale" in name:
            value.data = value.data * (1 + 0.1 * noise)
        elif "rescale" in name:
            value.data = 1 + 0.1 * noise
        elif "oft_blocks" in name:
            value.data = 0.2 * noise
        else:
            value.data = 0.3 * noise


def merged(module: nn.Module, layer: nn.Module) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The weight and bias that the layer has in the module's forward pass: the change is what its op is given."""
    seen = {}

    def op(x, weight=None, bias=None, *_, **more):
        if isinstance(weight, (tuple, list)):  # layer_norm's shape comes second
            weight = more["weight"]
        seen.update(weight=more.get("weight", weight), bias=more.get("bias", bias))
        return torch.zeros(1)

    kept, module.op = module.op, op
    module.eval()
    size = {nn.Linear: lambda: (1, layer.in_features), nn.Conv2d: lambda: (1, layer.in_channels, 8, 8),
            nn.LayerNorm: lambda: (1, layer.normalized_shape[0]), nn.GroupNorm: lambda: (1, layer.num_channels, 4, 4)}
    if isinstance(layer, (nn.LayerNorm, nn.GroupNorm)):
        def op(x, *args, weight=None, bias=None, **_):  # noqa: F811
            seen.update(weight=weight, bias=bias)
            return torch.zeros(1)

        module.op = op
    with torch.no_grad():
        module.forward(torch.zeros(size[type(layer)]()))
    module.op = kept
    bias = None if seen["bias"] is None else layer.bias + seen["bias"]
    return layer.weight + seen["weight"].reshape(layer.weight.shape), bias


def adapt(layers: dict[str, nn.Module], make, prefix: str, seed: int) -> tuple[State, State]:
    """The adapter's tensors and the parameters that change, by the layers' names."""
    generator = torch.Generator().manual_seed(seed)
    adapter, want = {}, {}
    for name, layer in layers.items():
        key = prefix + name.replace(".", "_")
        layer = copy.deepcopy(layer)
        module = make(key, layer)
        awaken(module, generator)
        if isinstance(module, FullModule):
            module.apply_to()  # it saves the difference from the weights that it took over
        for role, value in module.state_dict().items():
            adapter[f"{key}.{role}"] = value.detach().clone().contiguous()
        special = {DyLoraModule: full_rank, FullModule: lambda m, _: m.make_weight()}
        weight, bias = special.get(type(module), merged)(module, layer)
        want[name + ".weight"] = weight.detach()
        if bias is not None:
            want[name + ".bias"] = bias.detach()
    return adapter, want


def linear_layers(state: State, prefix: str, ends: tuple[str, ...]) -> dict[str, nn.Module]:
    """Linear layers of a checkpoint's modules whose name ends in one of ends, by their names behind prefix."""
    layers = {}
    for key, weight in state.items():
        name = key.removesuffix(".weight")
        if not key.endswith(".weight") or not name.startswith(prefix) or not name.endswith(ends) or weight.ndim != 2:
            continue
        layers[name[len(prefix):]] = layer = nn.Linear(weight.shape[1], weight.shape[0], bias=name + ".bias" in state)
        layer.weight.data = weight.clone()
        if layer.bias is not None:
            layer.bias.data = state[name + ".bias"].clone()
        layer.requires_grad_(False)
    return layers


def full_rank(module: nn.Module, layer: nn.Module) -> tuple[torch.Tensor, None]:
    """DyLoRA trains all ranks and its forward pass takes a random one; the file is a plain LoCon."""
    up, down = torch.cat(list(module.up_list), 1), torch.cat(list(module.down_list))
    return layer.weight + (up @ down).reshape(layer.weight.shape) * (module.alpha / module.lora_dim), None


def maker(cls, **more):
    return lambda name, layer: cls(name, layer, 1.0, **more)


# Of layers that diffusers divides into several.
DIVIDED = {
    "lokr": lambda: maker(LokrModule, lora_dim=2, alpha=1.0),
    "loha": lambda: maker(LohaModule, lora_dim=2, alpha=1.0),
    "dora": lambda: maker(LoConModule, lora_dim=2, alpha=1.0, weight_decompose=True),
    "oft": lambda: maker(DiagOFTModule, lora_dim=4),
    "full": lambda: maker(FullModule),
    "glora": lambda: maker(GLoRAModule, lora_dim=2, alpha=1.0),
}

# Of every linear layer of a checkpoint.
EVERYWHERE = {"every-layer": lambda: maker(LoConModule, lora_dim=1, alpha=0.5)}

MATRICES = ("linear", "square", "bare", "conv", "point")
NORMS = ("ln", "gn")

# name: (layers, maker)
ALGORITHMS = {
    "locon": (MATRICES, maker(LoConModule, lora_dim=4, alpha=2.0)),
    "locon-rslora": (MATRICES, maker(LoConModule, lora_dim=4, alpha=3.0, rs_lora=True)),
    "locon-tucker": (MATRICES, maker(LoConModule, lora_dim=4, alpha=2.0, use_tucker=True)),
    "locon-scalar": (("linear", "conv"), maker(LoConModule, lora_dim=3, alpha=1.0, use_scalar=True)),
    "locon-dora": (MATRICES, maker(LoConModule, lora_dim=4, alpha=2.0, weight_decompose=True)),
    "locon-dora-inputs": (MATRICES, maker(LoConModule, lora_dim=4, alpha=2.0, weight_decompose=True, wd_on_out=False)),
    "locon-dora-tucker": (("conv",), maker(LoConModule, lora_dim=4, alpha=2.0, weight_decompose=True, use_tucker=True)),
    "loha": (MATRICES, maker(LohaModule, lora_dim=3, alpha=1.5)),
    "loha-tucker": (("linear", "conv", "point"), maker(LohaModule, lora_dim=3, alpha=1.5, use_tucker=True)),
    "loha-dora": (MATRICES, maker(LohaModule, lora_dim=3, alpha=1.5, weight_decompose=True)),
    "lokr": (MATRICES, maker(LokrModule, lora_dim=1, alpha=0.5)),
    "lokr-whole": (MATRICES, maker(LokrModule, lora_dim=10000, alpha=1.0)),
    "lokr-factor": (MATRICES, maker(LokrModule, lora_dim=2, alpha=1.0, factor=2)),
    "lokr-both": (MATRICES, maker(LokrModule, lora_dim=1, alpha=1.0, factor=4, decompose_both=True)),
    "lokr-unbalanced": (MATRICES, maker(LokrModule, lora_dim=1, alpha=0.5, factor=2, unbalanced_factorization=True)),
    "lokr-tucker": (("conv",), maker(LokrModule, lora_dim=1, alpha=0.5, use_tucker=True)),
    "lokr-dora": (MATRICES, maker(LokrModule, lora_dim=1, alpha=0.5, weight_decompose=True)),
    "lokr-dora-inputs": (MATRICES, maker(LokrModule, lora_dim=1, alpha=0.5, weight_decompose=True, wd_on_out=False)),
    "full": (("linear", "bare", "conv", "point"), maker(FullModule)),
    "norm": (NORMS, lambda name, layer: NormModule(name, layer, 1.0)),
    "ia3": (MATRICES, maker(IA3Module)),
    "ia3-inputs": (MATRICES, maker(IA3Module, train_on_input=True)),
    "glora": (MATRICES, maker(GLoRAModule, lora_dim=3, alpha=1.5)),
    "diag-oft": (MATRICES, maker(DiagOFTModule, lora_dim=4)),
    "diag-oft-constraint": (MATRICES, maker(DiagOFTModule, lora_dim=8, constraint=0.02)),
    "diag-oft-rescale": (MATRICES, maker(DiagOFTModule, lora_dim=4, rescaled=True)),
    "boft": (("linear", "square", "conv", "point"), maker(ButterflyOFTModule, lora_dim=4)),
    "boft-constraint": (MATRICES, maker(ButterflyOFTModule, lora_dim=6, constraint=0.05)),
    "boft-rescale": (("square", "conv"), maker(ButterflyOFTModule, lora_dim=4, rescaled=True)),
    "dylora": (MATRICES, maker(DyLoraModule, lora_dim=8, alpha=4.0, block_size=4)),
}
