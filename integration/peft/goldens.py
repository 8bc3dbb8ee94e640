"""Makes and confirms the golden data: tiny bases, adapters saved by PEFT, merges by PEFT.

    goldens.py --out DIR [--seed N] [--sweep] [--only SUBSTRING]   makes DIR anew
    goldens.py --check DIR                                         makes it again elsewhere and compares

DIR/bases/BASE-DTYPE/       model directory as save_pretrained writes it
DIR/cases/NAME/adapter/     adapter directory as save_pretrained writes it, but for the path of the base
DIR/cases/NAME/case.json    what to expect, see below
DIR/cases/NAME/merged.safetensors   those tensors of the merged model that are not bitwise a tensor of the base

case.json:
    base        name of the base's directory
    expect      peft, forward or refuse (cases.Case says what they mean)
    rounding    value of --rounding
    unchanged   tensors that the merged model has as the base has them
    moved       the same under another name: name in the merged model -> name in the base
    optional    tensors of the base that the merged model has not, though a reader would not mind them
    prefix      component that names in the merged model may have or lack
    config      fields of config.json, by dotted path, with the value that they must have
    refusal     for refuse: words that the message must contain
    approximate error allowed on 16-bit bases, relative to a tensor's largest magnitude, in up to 5 % of its elements
    notes       what a reader of a failure should know
    stack       of a case with several adapters: their directories in DIR/cases/NAME with weights, a@0.7
    flags       further flags of the command
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import warnings
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import versions

versions.require()
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import transformers as tf
from peft import PeftMixedModel, PeftModel, get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from safetensors.torch import load_file, save_file

import bases
import breaks
import compare
import experts
import stacks
import sweep
from case import DTYPES, Case
from cases import CASES

TORCH_DTYPES = dict(zip(DTYPES, (torch.float32, torch.bfloat16, torch.float16), strict=True))
# Fields that say who wrote the file and how, not what the model is.
IDLE_FIELDS = {"transformers_version", "_name_or_path", "dtype"}
ALWAYS_CHECKED = ("tie_word_embeddings", "vocab_size", "num_hidden_layers")

Tensors = dict[str, torch.Tensor]


def seed_of(text: str, seed: int) -> int:
    return zlib.crc32(f"{seed}/{text}".encode())


# --- bases ---


def base_name(case: Case | stacks.Stack) -> str:
    return f"{case.base.replace('_', '-')}-{case.dtype}"


def make_base(case: Case, seed: int, out: Path) -> None:
    name = case.base.removesuffix("_sharded").removesuffix("_fused")
    builder = (bases.BASES | sweep.BUILDERS | experts.BASES)[name]
    model = bases.randomise(builder(bases.Dims(seed)), seed_of(case.base, seed))
    shard = bases.SHARD_BYTES.get(case.base, 5_000_000)
    save_model(case, model.to(TORCH_DTYPES[case.dtype]), out, max_shard_size=shard)
    if name in experts.BASES:  # some parameters keep a dtype of their own when they are loaded
        save_model(case, model_class(case, out).from_pretrained(out, dtype=TORCH_DTYPES[case.dtype]), out)


def save_model(case: Case, model: tf.PreTrainedModel, out: Path, **options: Any) -> None:
    """As the base is stored: a base called …_fused has its experts as in memory."""
    model.save_pretrained(out, save_original_format=not case.base.endswith("_fused"), **options)
    experts.lay_out(case.base, out)


def model_class(case: Case, base: Path) -> type[tf.PreTrainedModel]:
    name = case.head or json.loads((base / "config.json").read_text())["architectures"][0]
    return bases.Layers if name == "Layers" else getattr(tf, name)


def load_model(case: Case, base: Path) -> tf.PreTrainedModel:
    torch.manual_seed(zlib.crc32(case.name.encode()))  # a head that the base lacks is drawn at random
    model = model_class(case, base).from_pretrained(base, dtype=TORCH_DTYPES[case.dtype], **case.load)
    if case.vocab:
        rows = model.get_input_embeddings().weight.shape[0] + case.vocab
        model.resize_token_embeddings(rows, mean_resizing=False)
    return model


# --- adapters ---


def task_of(model: tf.PreTrainedModel) -> str | None:
    return "CAUSAL_LM" if "CausalLM" in type(model).__name__ or "LMHead" in type(model).__name__ else None


def train_adapter(case: Case, base: Path, seed: int) -> PeftModel:
    """A model whose adapter parameters all have values that training could have given them."""
    model = load_model(case, base)
    generator = torch.Generator().manual_seed(seed_of(case.name, seed))
    if case.vocab:
        disturb(model.get_input_embeddings().weight, generator)
        if model.get_output_embeddings() is not None and not model.config.tie_word_embeddings:
            disturb(model.get_output_embeddings().weight, generator)
    options = {"task_type": task_of(model)} | case.options
    torch.manual_seed(seed_of(case.name, seed))
    peft_model = get_peft_model(model, PEFT_TYPE_TO_CONFIG_MAPPING[case.kind](**options))
    for name, value in peft_model.named_parameters():
        if case.kind != "LORA":
            if value.requires_grad:
                disturb(value, generator, case.noise)
        elif "lora_magnitude_vector" in name:
            value.data *= 1 + 0.2 * torch.randn(value.shape, generator=generator)
        elif "lora_" in name:
            value.data.copy_(0.1 * torch.randn(value.shape, generator=generator))  # in place: tied factors share memory
        elif value.requires_grad:
            disturb(value, generator)
    return peft_model


def disturb(value: torch.Tensor, generator: torch.Generator, noise: float = 0.1) -> None:
    value.data += noise * torch.randn(value.shape, generator=generator)


def save_adapter(case: Case, model: PeftModel, base: Path, out: Path) -> None:
    model.save_pretrained(out)
    public = f"tiny/{base.name}"
    breaks.configure(base_model_name_or_path=public)(out)
    card = out / "README.md"
    if case.card:
        card.write_text(card.read_text().replace(str(base), public))
    else:
        card.unlink()
    if case.file != "f32":
        breaks.rewrite(out, lambda tensors: {name: value.to(TORCH_DTYPES[case.file]) for name, value in tensors.items()})
    (out / breaks.WEIGHTS).chmod(0o644)


# --- merging ---


def merge(case: Case, base: Path, adapter: Path, work: Path) -> Path:
    """What a user of PEFT does; returns the directory of the merged model."""
    model = PeftModel.from_pretrained(load_model(case, base), adapter)
    work.mkdir(parents=True)
    save_model(case, model.merge_and_unload(safe_merge=case.safe), work)
    return work


def read_model(directory: Path) -> Tensors:
    tensors: Tensors = {}
    for file in sorted(directory.glob("*.safetensors")):
        tensors |= load_file(file)
    return tensors


def untie(case: Case, base: Path, adapter: Path, out: Path) -> None:
    """A base whose head is a tensor of its own with the values of the embedding."""
    model = load_model(case, base)
    if case.vocab:  # the resized embedding comes with the adapter, and the head is tied to that one
        rows = next(value for name, value in load_file(adapter / breaks.WEIGHTS).items() if name.endswith("embed_tokens.base_layer.weight"))
        model.get_input_embeddings().weight.data.copy_(rows)
    model.config.tie_word_embeddings = False
    head = model.get_output_embeddings()
    head.weight = torch.nn.Parameter(head.weight.detach().clone())
    model.save_pretrained(out)


def write_out_layers(case: Case, base: Path, out: Path) -> None:
    """A base with as many layers of its own as layer_replication makes of the shared ones."""
    order = [i for start, end in case.options["layer_replication"] for i in range(start, end)]
    source = model_class(case, base).from_pretrained(base, dtype=TORCH_DTYPES[case.dtype])
    source.config.num_hidden_layers = len(order)
    twin = type(source)(source.config).to(TORCH_DTYPES[case.dtype])
    old = source.state_dict()
    for name, value in twin.state_dict().items():
        parts = name.split(".")
        if parts[:2] == ["model", "layers"]:
            parts[2] = str(order[int(parts[2])])
        value.copy_(old[".".join(parts)])
    twin.save_pretrained(out)


def merge_forward(case: Case, base: Path, adapter: Path, work: Path) -> Path:
    """The model whose forward pass is the un-merged model's, by PEFT's merge of a base without sharing."""
    twin, twin_adapter = work / "twin", work / "twin-adapter"
    shutil.copytree(adapter, twin_adapter)
    if case.twin == "untied":
        untie(case, base, adapter, twin)
        breaks.configure(**case.twin_lora)(twin_adapter)
    else:
        write_out_layers(case, base, twin)
        breaks.configure(layer_replication=None)(twin_adapter)
    merged = merge(replace(case, vocab=0), twin, twin_adapter, work / "forward")
    confirm_forward(case, base, adapter, merged)
    return merged


def confirm_forward(case: Case, base: Path, adapter: Path, merged: Path) -> None:
    """Stops unless the merged model computes what the un-merged PEFT model computes."""
    ids = torch.arange(3, 3 + 24).reshape(2, 12)
    with torch.no_grad():
        want = PeftModel.from_pretrained(load_model(case, base), adapter).eval()(input_ids=ids).logits.float()
        got = model_class(case, merged).from_pretrained(merged, dtype=torch.float32).eval()(input_ids=ids).logits
    error = ((got - want).abs().max() / want.abs().max()).item()
    if error > (1e-5 if case.dtype == "f32" else 5e-2):
        raise RuntimeError(f"{case.name}: the forward passes differ by {error:.2g}")


# --- cases ---


def make_case(case: Case, seed: int, root: Path) -> None:
    base, out = root / "bases" / base_name(case), root / "cases" / case.name
    adapter = out / "adapter"
    save_adapter(case, train_adapter(case, base, seed), base, adapter)
    if case.before is not None:
        case.before(adapter)
    record: dict[str, Any] = {"base": case.against or base.name, "expect": case.expect, "rounding": "twice" if case.safe else "peft"}
    if case.expect == "refuse":
        record["refusal"] = list(case.refusal)
    else:
        with tempfile.TemporaryDirectory() as work:
            join = merge_forward if case.expect == "forward" else merge
            merged = join(case, base, adapter, Path(work) / "merged")
            record |= record_merged(case, base, merged, out)
    if case.edit is not None:
        case.edit(adapter)
    if case.approximate:
        record["approximate"] = case.approximate
    if case.notes:
        record["notes"] = case.notes
    (out / "case.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def make_stack(stack: stacks.Stack, seed: int, root: Path) -> None:
    base, out = root / "bases" / base_name(stack), root / "cases" / stack.name
    adapters, words = [], []
    for name, layer in zip("abc", stack.layers):
        case = Case(f"{stack.name}-{name}", stack.base, layer.options, kind=layer.kind, dtype=stack.dtype, file=layer.file, noise=0.4)
        adapters.append(out / name)
        words.append(name if layer.weight == 1 else f"{name}@{layer.weight}")
        save_adapter(case, train_adapter(case, base, seed), base, out / name)
    flags = ["--rounding", "twice" if stack.safe else "peft"] if stack.how == "steps" else []
    if stack.how not in ("steps", "sum"):
        flags = ["--combine", stack.how]
        flags += ["--density", str(stack.density)] if stack.density is not None else []
        flags += ["--majority-sign", stack.sign] if stack.sign != "total" else []
        flags += ["--seed", str(stack.seed)] if stack.seed else []
    record: dict[str, Any] = {"base": base.name, "expect": "peft", "rounding": "twice" if stack.safe else "peft", "stack": words, "flags": flags}
    with tempfile.TemporaryDirectory() as work:
        record |= record_merged(stack, base, merge_stack(stack, base, adapters, Path(work) / "merged"), out)
    if stack.notes:
        record["notes"] = stack.notes
    (out / "case.json").write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def merge_stack(stack: stacks.Stack, base: Path, adapters: list[Path], work: Path) -> Path:
    names = [adapter.name for adapter in adapters]
    # The exact sum is made in f32 and rounded: PEFT's cat keeps its factors in the base's dtype.
    exact = replace(stack, dtype="f32") if stack.how == "sum" else stack
    mixed = len({layer.kind for layer in stack.layers}) > 1
    model = (PeftMixedModel if mixed else PeftModel).from_pretrained(load_model(exact, base), adapters[0], adapter_name=names[0])
    for name, adapter in zip(names[1:], adapters[1:]):
        model.load_adapter(adapter, adapter_name=name)
    if stack.how == "steps" or mixed or any(layer.options.get("use_dora") for layer in stack.layers):
        for module in model.modules():
            for name, layer in zip(names, stack.layers):
                if isinstance(getattr(module, "scaling", None), dict) and name in module.scaling:
                    module.scaling[name] *= layer.weight
    else:
        combine(stack, model, names)
        names = ["joined"]
    merged = model.merge_and_unload(safe_merge=stack.safe, adapter_names=names)
    work.mkdir(parents=True)
    merged.to(TORCH_DTYPES[stack.dtype]).save_pretrained(work)
    return work


def combine(stack: stacks.Stack, model: PeftModel, names: list[str]) -> None:
    weights = [layer.weight for layer in stack.layers]
    if stack.layers[0].kind == "IA3":
        model.add_weighted_adapter(names, weights, "joined")
        return
    how = "cat" if stack.how == "sum" else stack.how
    if how == "cat" and stack.how == "sum":
        for name in names:  # its result would be too strong by the root of its rank
            model.peft_config[name].use_rslora = False
    more = {} if stack.density is None else {"density": stack.density, "majority_sign_method": stack.sign}
    with seeded(stack, model):
        model.add_weighted_adapter(names, weights, "joined", combination_type=how, **more)


@contextmanager
def seeded(stack: stacks.Stack, model: PeftModel) -> Iterator[None]:
    """Draws for each module from a seed of its own: one that the name of its tensor gives."""
    owner = model.base_model
    places = {id(module): name.removeprefix("base_model.model.") + ".weight" for name, module in model.named_modules()}
    originals = {}
    for method, position in (("_generalized_task_arithmetic_weighted_adapter", 3), ("_svd_generalized_task_arithmetic_weighted_adapter", 4)):
        originals[method] = getattr(owner, method)

        def wrapped(*args: Any, _call: Any = originals[method], _at: int = position, **kwargs: Any) -> Any:
            torch.manual_seed(stack.seed + zlib.crc32(places[id(args[_at])].encode()))
            return _call(*args, **kwargs)

        setattr(owner, method, wrapped)
    yield
    for method in originals:
        delattr(owner, method)




def record_merged(case: Case | stacks.Stack, base: Path, merged: Path, out: Path) -> dict[str, Any]:
    old, new = read_model(base), read_model(merged)
    prefix = case.head and getattr(tf, case.head).base_model_prefix
    unchanged, moved, changed = [], {}, {}
    for name, value in new.items():
        if not torch.isfinite(value).all():
            raise RuntimeError(f"{case.name}: {name} is not finite")
        origin = spelling(name, prefix, old)
        if origin is None or not same_bits(value, old[origin]):
            changed[name] = value
        elif origin == name:
            unchanged.append(name)
        else:
            moved[name] = origin
    # A wholly unchanged model would test nothing.
    if not changed:
        raise RuntimeError(f"{case.name}: the adapter changes nothing")
    save_file(changed, out / "merged.safetensors")
    (out / "merged.safetensors").chmod(0o644)
    kept = {spelling(name, prefix, old) for name in new}
    return {
        "unchanged": sorted(unchanged),
        "moved": moved,
        "optional": sorted(set(old) - kept) if case.head else [],
        "prefix": prefix,
        "config": expected_config(case, base, merged),
    }


def spelling(name: str, prefix: str, names: Iterable[str]) -> str | None:
    """The one of names that means name, which may have or lack the prefix."""
    for candidate in (name, f"{prefix}.{name}", name.removeprefix(f"{prefix}.")):
        if candidate in names:
            return candidate
    return None


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and torch.equal(a.reshape(-1).view(torch.uint8), b.reshape(-1).view(torch.uint8))


def expected_config(case: Case, base: Path, merged: Path) -> dict[str, Any]:
    """Fields by dotted path: those that merging changed, and some that it must not change."""
    old, new = flat(json.loads((base / "config.json").read_text())), flat(json.loads((merged / "config.json").read_text()))
    bare = case.head.endswith("Model")  # readers load a bare encoder from its causal model as well

    def counts(path: str) -> bool:
        field = path.split(".")[-1]
        return field in ALWAYS_CHECKED or (not bare and field not in IDLE_FIELDS and old.get(path) != new[path])

    return {path: value for path, value in new.items() if counts(path)}


def flat(config: dict[str, Any], above: str = "") -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and key.endswith("_config"):
            fields |= flat(value, f"{above}{key}.")
        else:
            fields[above + key] = value
    return fields


# --- command ---


def quiet() -> None:
    warnings.filterwarnings("ignore")
    tf.utils.logging.set_verbosity_error()
    tf.utils.logging.disable_progress_bar()
    torch.set_num_threads(1)


def run(task: tuple[str, str, int, Path]) -> str:
    """One base or one case, which crosses to the worker by name; returns what went wrong."""
    quiet()
    kind, name, seed, root = task
    case = next(case for case in CASES + stacks.CASES if case.name == name)
    try:
        if kind == "base":
            out = root / "bases" / base_name(case)
            make_base(case, seed, out)
            for file in out.iterdir():
                file.chmod(0o644)
        elif isinstance(case, stacks.Stack):
            make_stack(case, seed, root)
        else:
            make_case(case, seed, root)
    except Exception as error:  # noqa: BLE001: all failures are reported together
        return f"{case.name} ({kind}): {type(error).__name__}: {error}"
    return ""


def make_all(cases: list[Case | stacks.Stack], seed: int, root: Path, jobs: int) -> None:
    for part in ("bases", "cases"):
        shutil.rmtree(root / part, ignore_errors=True)
        (root / part).mkdir(parents=True)
    one_per_base = {base_name(case): case for case in cases}
    with ProcessPoolExecutor(jobs, mp_context=get_context("fork")) as pool:
        failures = list(filter(None, pool.map(run, [("base", case.name, seed, root) for case in one_per_base.values()])))
        failures += filter(None, pool.map(run, [("case", case.name, seed, root) for case in cases]))
    size = sum(file.stat().st_size for file in root.rglob("*") if file.is_file())
    print(f"{root}: {len(one_per_base)} bases, {len(cases)} cases, {size / 1e6:.1f} MB")
    if failures:
        raise SystemExit("\n".join(failures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="directory to make")
    parser.add_argument("--check", type=Path, help="directory to confirm")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sweep", action="store_true", help="add the cases that are not committed")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    if (options.out is None) == (options.check is None):
        parser.error("one of --out and --check is needed")
    quiet()
    cases = [case for case in CASES + stacks.CASES if options.only in case.name and (options.sweep or not case.sweep)]
    if not cases:
        parser.error(f"no case is named {options.only}")
    if options.out is not None:
        make_all(cases, options.seed, options.out, options.jobs)
        return
    with tempfile.TemporaryDirectory() as again:
        make_all(cases, options.seed, Path(again), options.jobs)
        differences = compare.directories(options.check, Path(again), whole=not options.only)
    print(f"{options.check}: {len(differences)} differences")
    if differences:
        sys.exit("\n".join(differences))


if __name__ == "__main__":
    main()
