"""Adapters for whole pipelines, with the weights that diffusers' own loader leads to."""

from __future__ import annotations

import copy
import inspect
import json

import bases
import torch
from diffusers import FluxPipeline, FluxTransformer2DModel, loaders
from diffusers.loaders import lora_conversion_utils, lora_pipeline
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from torch import nn

State = dict[str, torch.Tensor]


class Case:
    """An adapter file, and what becomes of each component."""

    def __init__(self, base: str, adapter: State, want: dict[str, State], metadata: dict[str, str] | None = None, notes: str = "") -> None:
        self.base, self.adapter, self.want, self.metadata, self.notes = base, adapter, want, metadata, notes


def pairs(shapes: dict[str, tuple[int, ...]], rank: int, seed: int, down: str, up: str, alpha: float | None = None) -> State:
    """A low-rank pair for each module of a shape, by the spellings of the two."""
    generator = torch.Generator().manual_seed(seed)
    out: State = {}
    for name, shape in shapes.items():
        out[f"{name}.{down}"] = (0.3 * torch.randn((rank, *shape[1:]), generator=generator)).half()
        out[f"{name}.{up}"] = (0.3 * torch.randn((shape[0], rank, *(1 for _ in shape[2:])), generator=generator)).half()
        if alpha is not None:
            out[f"{name}.alpha"] = torch.tensor(alpha)
    return out


def shapes_of(model: nn.Module, *ends: str) -> dict[str, tuple[int, ...]]:
    """The modules with a matrix or a convolution whose name ends in one of ends."""
    return {n: tuple(m.weight.shape) for n, m in model.named_modules()
            if isinstance(m, (nn.Linear, nn.Conv2d)) and any(n.endswith(e) for e in ends)}


def flat(prefix: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {prefix + n.replace(".", "_"): s for n, s in shapes.items()}


def dotted(prefix: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    return {prefix + n: s for n, s in shapes.items()}


def fuse(model: nn.Module, state: State, alphas: dict | None, prefix: str | None, **more) -> State:
    """What the model computes with after diffusers has loaded and fused the adapter, in fp32."""
    model, state = copy.deepcopy(model), {k: v.float() for k, v in state.items()}
    if prefix == "text":
        from diffusers.loaders.lora_base import _load_lora_into_text_encoder

        _load_lora_into_text_encoder(state, alphas, model, prefix=more.pop("part"), text_encoder_name="x", **more)
        for m in model.modules():
            if hasattr(m, "merge"):
                m.merge()
    else:
        model.load_lora_adapter(state, network_alphas=alphas, prefix=prefix, **more)
        model.fuse_lora()
    out = {}
    for key, value in model.state_dict().items():
        if ".lora_" in key:
            continue
        out[key.replace(".base_layer.", ".")] = value.detach()
    return out


def sd_kohya(name: str, seed: int, sgm: bool) -> Case:
    """sd-scripts' LoRA for a UNet and its text encoders, in either naming of the UNet's blocks."""
    models = bases.make(name, seed)
    unet = models["unet"]
    shapes = flat("lora_unet_", shapes_of(unet, "attn1.to_q", "attn2.to_k", "ff.net.2", "proj_in", "0.conv1", "conv_shortcut",
                                          "downsamplers.0.conv", "upsamplers.0.conv", "time_emb_proj", "time_embedding.linear_1", "conv_in"))
    adapter = pairs(shapes, 2, seed, "lora_down.weight", "lora_up.weight", 2.0)
    prefixes = {"text_encoder": "lora_te_" if name == "sd15" else "lora_te1_", "text_encoder_2": "lora_te2_"}
    parts = [p for p in models if p != "unet"]
    for i, part in enumerate(parts):
        texts = shapes_of(models[part], "q_proj", "v_proj", "out_proj", "fc1", "fc2")
        texts = {n if n.startswith("text_model.") else "text_model." + n: s for n, s in texts.items()}
        adapter |= pairs(flat(prefixes[part], texts), 2, seed + 1 + i, "lora_down.weight", "lora_up.weight", 1.5)
    if sgm:
        names = {f"lora_unet_{a.replace('.', '_')}": f"lora_unet_{b.replace('.', '_')}" for a, b in sgm_names(unet).items()}
        adapter = {names.get(k.split(".", 1)[0], k.split(".", 1)[0]) + "." + k.split(".", 1)[1]: v for k, v in adapter.items()}
    mixin = loaders.StableDiffusionXLLoraLoaderMixin if name == "sdxl" else loaders.StableDiffusionLoraLoaderMixin
    # diffusers turns the blocks' names round only for SDXL.
    state, alphas = mixin.lora_state_dict(copy.deepcopy(adapter), unet_config=unet.config if name == "sdxl" else None)
    want = {"unet": fuse(unet, state, alphas, "unet")}
    for part in parts:
        want[part] = fuse(models[part], state, alphas, "text", part=part)
    return Case(name, adapter, want)


def sgm_names(unet: nn.Module) -> dict[str, str]:
    """diffusers' names of modules → the authors'."""
    tagged = {k: torch.tensor([float(i)]) for i, k in enumerate(unet.state_dict())}
    other = {float(v): k for k, v in bases.ldm_unet(tagged).items()}
    return {k.rsplit(".", 1)[0]: other[float(v)].rsplit(".", 1)[0] for k, v in tagged.items()}


def saved_by_diffusers(name: str, part: str, seed: int, targets: list[str], **more) -> Case:
    """An adapter as PEFT makes it in a component, in the file that save_lora_weights writes."""
    models = bases.make(name, seed)
    model = copy.deepcopy(models[part])
    config = LoraConfig(r=4, lora_alpha=6, init_lora_weights=False, target_modules=targets, **more)
    torch.manual_seed(seed + 7)
    model.add_adapter(config)
    for key, value in model.named_parameters():
        if "lora_magnitude" in key:
            value.data *= 1.1
    state = get_peft_model_state_dict(model)
    adapter = {f"{part}.{k}": v.detach().clone().contiguous() for k, v in state.items()}
    fields = {f"{part}.{k}": v for k, v in model.peft_config["default"].to_dict().items()}
    fields = {k: sorted(v) if isinstance(v, set) else v for k, v in fields.items() if not k.endswith(("runtime_config", "corda_config", "eva_config", "lora_ga_config"))}
    metadata = {"format": "pt", "lora_adapter_metadata": json.dumps(fields, indent=2, sort_keys=True, default=str)}
    model.fuse_lora()
    want = {k.replace(".base_layer.", "."): v.detach() for k, v in model.state_dict().items() if ".lora_" not in k}
    return Case(name, adapter, {part: want}, metadata)


def transformer_case(name: str, seed: int, mixin, adapter: State, **more) -> Case:
    """A file for the transformer in a spelling that diffusers converts."""
    models = bases.make(name, seed)
    state = mixin.lora_state_dict(copy.deepcopy(adapter), **more)
    state, alphas = state if isinstance(state, tuple) else (state, None)
    return Case(name, adapter, {"transformer": fuse(models["transformer"], state, alphas, "transformer")})


def modules_of(state: State, *ends: str) -> dict[str, tuple[int, ...]]:
    return {k[: -len(".weight")]: tuple(v.shape) for k, v in state.items() if any(k.endswith(e + ".weight") for e in ends)}


def narrow_flux(width: int) -> None:
    """diffusers' conversion of sd-scripts' files has the widths of the real model written into it."""
    function = lora_conversion_utils._convert_kohya_flux_lora_to_diffusers
    source, real = inspect.getsource(function), "dims=[3072, 3072, 3072, 12288]"
    assert real in source
    scope = dict(vars(lora_conversion_utils))
    exec(source.replace(real, f"dims=[{width}, {width}, {width}, {4 * width}]"), scope)
    lora_pipeline._convert_kohya_flux_lora_to_diffusers = scope[function.__name__]


def flux_cases(seed: int) -> dict[str, Case]:
    mixin = loaders.FluxLoraLoaderMixin
    models = bases.make("flux", seed)
    file = bases.flux_file({k: m.state_dict() for k, m in models.items()})
    authors = modules_of(file, "img_attn.qkv", "txt_attn.qkv", "linear1", "linear2", "img_mlp.0", "txt_mlp.2", "img_mod.lin", "img_attn.proj", "modulation.lin")
    kohya = pairs(flat("lora_unet_", authors), 2, seed, "lora_down.weight", "lora_up.weight", 2.0)
    width = 16
    narrow_flux(width)
    xlabs = {}
    for i in range(2):
        for n, (o, d) in {"qkv_lora1": (3 * width, width), "proj_lora1": (width, width), "qkv_lora2": (3 * width, width), "proj_lora2": (width, width)}.items():
            xlabs[f"double_blocks.{i}.processor.{n}"] = (o, d)
        xlabs[f"single_blocks.{i}.processor.qkv_lora"] = (3 * width, width)
        xlabs[f"single_blocks.{i}.processor.proj_lora"] = (width, 5 * width)
    own = shapes_of(models["transformer"], "attn.to_q", "attn.add_k_proj", "proj_mlp", "ff.net.0.proj", "norm_out.linear", "proj_out")
    return {
        "flux-kohya": transformer_case("flux", seed, mixin, kohya),
        "flux-xlabs": transformer_case("flux", seed, mixin, pairs(xlabs, 4, seed, "down.weight", "up.weight")),
        "flux-diffusers": transformer_case("flux", seed, mixin, pairs(dotted("transformer.", own), 4, seed, "lora_A.weight", "lora_B.weight")),
    }


def wan_cases(seed: int) -> dict[str, Case]:
    mixin = loaders.WanLoraLoaderMixin
    models = bases.make("wan", seed)
    file = bases.wan_file({k: m.state_dict() for k, m in models.items()})
    names = modules_of(file, *(f"{a}.{p}" for a in ("self_attn", "cross_attn") for p in "qkvo"), "ffn.0", "ffn.2", "cross_attn.k_img", "cross_attn.v_img")
    comfy = pairs(dotted("diffusion_model.", names), 4, seed, "lora_down.weight", "lora_up.weight")
    generator = torch.Generator().manual_seed(seed + 3)
    for name, shape in names.items():
        comfy[f"diffusion_model.{name}.diff_b"] = 0.2 * torch.randn(shape[0], generator=generator)
    musubi = pairs(flat("lora_unet_", names), 4, seed, "lora_down.weight", "lora_up.weight", 2.0)
    own = shapes_of(models["transformer"], "attn1.to_q", "attn2.to_out.0", "ffn.net.0.proj")
    return {
        "wan-comfy": transformer_case("wan", seed, mixin, comfy),
        "wan-musubi": transformer_case("wan", seed, mixin, musubi),
        "wan-diffusers": transformer_case("wan", seed, mixin, pairs(dotted("transformer.", own), 4, seed, "lora_A.weight", "lora_B.weight")),
    }


def sd3_cases(seed: int) -> dict[str, Case]:
    mixin = loaders.SD3LoraLoaderMixin
    models = bases.make("sd3", seed)
    own = shapes_of(models["transformer"], "attn.to_q", "attn.to_v", "attn2.to_k", "attn.add_k_proj", "norm_out.linear", "norm1_context.linear", "norm1.linear", "ff.net.2", "proj_out")
    old = shapes_of(models["transformer"], "attn.to_q", "to_out.0")
    return {
        "sd3-diffusers": transformer_case("sd3", seed, mixin, pairs(dotted("transformer.", own), 4, seed, "lora_A.weight", "lora_B.weight")),
        "sd3-old": transformer_case("sd3", seed, mixin, pairs(dotted("transformer.", old), 4, seed, "lora.down.weight", "lora.up.weight")),
    }


def processors(seed: int) -> Case:
    """The attention processors' own keys, as the first releases saved them."""
    models = bases.make("sd15", seed)
    unet = models["unet"]
    shapes = {n.replace(".to_out.0", ".to_out").rsplit(".", 1)[0] + ".processor." + n.replace(".to_out.0", ".to_out").rsplit(".", 1)[1] + "_lora": s
              for n, s in shapes_of(unet, "attn1.to_q", "attn2.to_v", "attn2.to_out.0").items()}
    adapter = pairs(dotted("unet.", shapes), 4, seed, "down.weight", "up.weight")
    state, alphas = loaders.StableDiffusionLoraLoaderMixin.lora_state_dict(copy.deepcopy(adapter))
    return Case("sd15", adapter, {"unet": fuse(unet, state, alphas, "unet")})


def narrow_model(seed: int, dtype: torch.dtype) -> nn.Module:
    model = FluxTransformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=(4, 4, 8),
    )
    return bases.randomise(model, seed, dtype).to(dtype)


def narrow_adapter(seed: int, alpha: float | None, kohya: bool) -> State:
    """Factors of fp32, whose rounding to 16 bits shows."""
    modules = {
        "transformer_blocks.0.attn.to_out.0": ("double_blocks_0_img_attn_proj", 32),
        "single_transformer_blocks.0.proj_out": ("single_blocks_0_linear2", 160),
    }
    generator, out = torch.Generator().manual_seed(seed), {}
    for name, (kohyas, inputs) in modules.items():
        stem, down, up = ("lora_unet_" + kohyas, "lora_down", "lora_up") if kohya else ("transformer." + name, "lora_A", "lora_B")
        out[f"{stem}.{down}.weight"] = 0.1 * torch.randn((8, inputs), generator=generator)
        out[f"{stem}.{up}.weight"] = 0.1 * torch.randn((32, 8), generator=generator)
        if alpha is not None:
            out[f"{stem}.alpha"] = torch.tensor(alpha)
    return out


def fuse_narrow(model: nn.Module, adapter: State) -> None:
    pipe = FluxPipeline(
        scheduler=None, vae=None, text_encoder=None, tokenizer=None, text_encoder_2=None, tokenizer_2=None, transformer=model,
    )
    pipe.load_lora_weights(dict(adapter))
    pipe.fuse_lora()
    pipe.unload_lora_weights()


def all_cases(seed: int) -> dict[str, Case]:
    return {
        "sd15-kohya": sd_kohya("sd15", seed, False),
        "sdxl-kohya": sd_kohya("sdxl", seed, False),
        "sdxl-kohya-sgm": sd_kohya("sdxl", seed, True),
        "sd15-processors": processors(seed),
        "sd15-diffusers": saved_by_diffusers("sd15", "unet", seed, ["to_q", "to_k", "conv1"]),
        "sd15-diffusers-dora": saved_by_diffusers("sd15", "unet", seed, ["attn1.to_q", "conv2"], use_dora=True),
        "sdxl-diffusers-patterns": saved_by_diffusers("sdxl", "unet", seed, ["to_q", "to_v", "proj_in"], use_rslora=True,
                                                      rank_pattern={"attn1.to_q": 2}, alpha_pattern={"proj_in": 3}),
        "flux-diffusers-dora": saved_by_diffusers("flux", "transformer", seed, ["to_q", "proj_out"], use_dora=True),
        **flux_cases(seed), **wan_cases(seed), **sd3_cases(seed),
    }
