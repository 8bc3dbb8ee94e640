"""Makes testdata/diffusion: tiny pipelines and checkpoints, adapters that are one file, and their merges.

bases/NAME is a pipeline directory, bases/NAME.safetensors the same values as one checkpoint. cases/CASE has
adapter.safetensors, case.json (the base, the adapter, what to say of it) and merged.safetensors with the tensors that change,
by COMPONENT/TENSOR in a pipeline and by their names in a checkpoint; every other tensor is the base's. All sums are
in fp32 and rounded once to the base's dtype.

fused/CASE has base.safetensors, adapter.safetensors and merged.safetensors, the layers of a 16-bit model that
diffusers' fuse_lora changed, with its own roundings.

    python integration/diffusion/goldens.py --out DIR [--seed N] [--more]
"""

from __future__ import annotations

import argparse
import json
import pathlib
import shutil

import bases
import lycoris_cases
import pipeline_cases
import torch
from safetensors.torch import save_file

State = dict[str, torch.Tensor]


def write(directory: pathlib.Path, base: str, adapter: State | str, want: State, metadata: dict[str, str] | None, notes: str) -> None:
    directory.mkdir(parents=True)
    case = {"base": base, "adapter": "adapter.safetensors", "notes": notes}
    if isinstance(adapter, str):
        case["adapter"] = adapter
    else:
        save_file(adapter, directory / case["adapter"], metadata)
    save_file(want, directory / "merged.safetensors")
    (directory / "case.json").write_text(json.dumps(case, indent=2) + "\n")


def changed(want: State, base: State) -> State:
    assert want.keys() == base.keys(), sorted(want.keys() ^ base.keys())[:5]
    return {k: v for k, v in want.items() if not torch.equal(v, base[k])}


def pipelines(out: pathlib.Path, seed: int, names: list[str]) -> None:
    models = {name: bases.make(name, seed) for name in names}
    for name, parts in models.items():
        bases.save_pipeline(name, parts, out / "bases" / name)
        file = bases.FILES[name]({k: m.state_dict() for k, m in parts.items()})
        bases.check_file(name, parts, file)
        save_file(bases.rounded(file), out / "bases" / f"{name}.safetensors")
    for name, case in pipeline_cases.all_cases(seed).items():
        parts = models[case.base]
        whole = {p: case.want.get(p, m.state_dict()) for p, m in parts.items()}
        want, base = {}, {}
        for part, model in parts.items():
            want |= {f"{part}/{k}": v for k, v in bases.on_disk(case.base, part, bases.rounded(whole[part])).items()}
            base |= {f"{part}/{k}": v for k, v in bases.on_disk(case.base, part, bases.rounded(model.state_dict())).items()}
        write(out / "cases" / name, case.base, case.adapter, changed(want, base), case.metadata, case.notes)
        layout = bases.FILES[case.base]
        merged = bases.rounded(layout(whole))
        plain = bases.rounded(layout({p: m.state_dict() for p, m in parts.items()}))
        write(out / "cases" / (name + "-file"), case.base + ".safetensors", f"../{name}/adapter.safetensors", changed(merged, plain), case.metadata, case.notes)


def divided(out: pathlib.Path, seed: int, names: list[str]) -> None:
    """LyCORIS on the fused layers of checkpoints, and what diffusers' conversion makes of the result."""
    for base, prefix, ends, algorithms in (
        ("flux", "", ("double_blocks.0.img_attn.qkv", "single_blocks.1.linear1", "final_layer.adaLN_modulation.1"), lycoris_cases.DIVIDED),
        ("sd3", "model.diffusion_model.", ("joint_blocks.0.x_block.attn.qkv", "joint_blocks.1.context_block.adaLN_modulation.1"), lycoris_cases.DIVIDED),
        *((base, "model.diffusion_model." if base == "sd3" else "", ("",), lycoris_cases.EVERYWHERE) for base in names if not base.startswith("sd1") and base != "sdxl"),
    ):
        models = bases.make(base, seed)
        file = bases.FILES[base]({p: m.state_dict() for p, m in models.items()})
        layers = lycoris_cases.linear_layers(file, prefix, ends)
        assert len(layers) >= len(ends), (base, list(layers))
        for i, (algorithm, make) in enumerate(algorithms.items()):
            adapter, want = lycoris_cases.adapt(layers, make(), "lora_unet_", seed + i)
            merged = file | {prefix + k: v for k, v in want.items()}
            name = f"{base}-{algorithm}"
            write(out / "cases" / (name + "-file"), base + ".safetensors", adapter, changed(bases.rounded(merged), bases.rounded(file)), None, "")
            whole = bases.prefixed("transformer/", bases.rounded(bases.from_file(base, models, merged)))
            plain = bases.prefixed("transformer/", bases.rounded(models["transformer"].state_dict()))
            write(out / "cases" / name, base, f"../{name}-file/adapter.safetensors", changed(whole, plain), None, "")


def algorithms(out: pathlib.Path, seed: int) -> None:
    for dtype, name in ((torch.bfloat16, "bf16"), (torch.float32, "f32"), (torch.float16, "f16")):
        torch.manual_seed(seed)
        model = bases.randomise(lycoris_cases.tiny(), seed, dtype)
        base = bases.rounded(model.state_dict(), dtype)
        save_file(base, out / "bases" / f"layers-{name}.safetensors")
        for i, (algorithm, (names, make)) in enumerate(lycoris_cases.ALGORITHMS.items()):
            if name != "bf16" and i % 5 != seed % 5:
                continue
            layers = {n: model.get_submodule(n) for n in names}
            adapter, want = lycoris_cases.adapt(layers, make, "lycoris_", seed + i)
            want = {k: v for k, v in bases.rounded(want, dtype).items() if not torch.equal(v, base[k])}
            assert want, algorithm
            write(out / "cases" / f"{algorithm}-{name}", f"layers-{name}.safetensors", adapter, want, None, "")


def fused(out: pathlib.Path, seed: int) -> None:
    for i, (name, dtype, alpha, kohya) in enumerate((
        ("bf16", torch.bfloat16, None, False), ("f16", torch.float16, 3.0, False), ("kohya", torch.bfloat16, 3.0, True),
    )):
        model, adapter = pipeline_cases.narrow_model(seed, dtype), pipeline_cases.narrow_adapter(seed + i, alpha, kohya)
        base = {k: v.clone() for k, v in model.state_dict().items()}
        pipeline_cases.fuse_narrow(model, adapter)
        want = changed(model.state_dict(), base)
        assert want, name
        (out / "fused" / name).mkdir(parents=True)
        save_file({k: base[k] for k in want}, out / "fused" / name / "base.safetensors")
        save_file(want, out / "fused" / name / "merged.safetensors")
        save_file(adapter, out / "fused" / name / "adapter.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--more", action="store_true", help="also the models that are too large to keep")
    args = parser.parse_args()
    if args.out.exists():
        shutil.rmtree(args.out)
    (args.out / "bases").mkdir(parents=True)
    algorithms(args.out, args.seed)
    fused(args.out, args.seed)
    names = list(bases.BASES | (bases.MORE if args.more else {}))
    pipelines(args.out, args.seed, names)
    divided(args.out, args.seed, names)


if __name__ == "__main__":
    main()
