"""Real clients on a mounted model. Each check prints what it saw and stops the run when it is wrong.

    real_clients.py --lorafs BINARY [--only NAME]... [--smollm2 DIR]

safetensors  the library reads a mounted golden by mmap and by pread, bitwise as PEFT merged it
generation   transformers generates from the mount what PeftModel.merge_and_unload generates; the mount's start is timed
memory       what the daemon holds after a 2 GB model was read once
views        cp, rsync, sha256sum, dd, mmap from two processes, find and du see what `lorafs export` writes
"""

from __future__ import annotations

import argparse
import errno
import hashlib
import json
import mmap
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

INTEGRATION = Path(__file__).resolve().parents[1]
GOLDENS = INTEGRATION / "testdata/goldens"
MIB = 1 << 20
MOUNT_LIMIT_MS = 150
PATIENCE = 120


class Lorafs:
    def __init__(self, binary: Path) -> None:
        self.binary = binary

    def run(self, *args: str | Path) -> None:
        done = subprocess.run([self.binary, *args], capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode != 0:
            raise SystemExit(f"FAIL lorafs {args[0]}: status {done.returncode}\n{done.stderr}")

    @contextmanager
    def mount(self, *args: str | Path) -> Iterator[Path]:
        point = Path(tempfile.mkdtemp(prefix="lorafs-client-"))
        self.run("mount", *args, point)
        try:
            yield point
        except BaseException:
            self.run("umount", "--lazy", point)
            raise
        self.run("umount", point)
        point.rmdir()


def check(condition: bool, what: str) -> None:
    if not condition:
        raise SystemExit(f"FAIL {what}")
    print(f"  ok {what}", flush=True)


# --- safetensors ---


def check_safetensors(lorafs: Lorafs, options: argparse.Namespace) -> None:
    import torch
    from safetensors import safe_open
    from safetensors.torch import load_file

    del options
    for name in ("llama-plain", "llama-sharded", "kinds-bf16", "tied-embedding-bf16"):
        case = json.loads((GOLDENS / "cases" / name / "case.json").read_text())
        want = load_file(GOLDENS / "cases" / name / "merged.safetensors")
        base = GOLDENS / "bases" / case["base"]
        with lorafs.mount(base, GOLDENS / "cases" / name / "adapter") as point:
            for backend in ("mmap", "pread"):
                got = {}
                for file in sorted(point.glob("*.safetensors")):
                    with safe_open(file, framework="pt", backend=backend) as f:
                        got |= {key: f.get_tensor(key).clone() for key in f.keys()}
                missing = (set(want) | set(case["unchanged"])) ^ set(got)
                check(not missing, f"safetensors {backend}: {name}, the {len(got)} tensors of PEFT's merge" + "".join(f", not {key}" for key in missing))
                off = sum(int((got[key] != value).sum()) for key, value in want.items())
                total = sum(value.numel() for value in want.values())
                check(off <= max(2, total // 10_000), f"safetensors {backend}: {name}, {off} of {total} elements off")
            sliced = next(iter(point.glob("*.safetensors")))
            with safe_open(sliced, framework="pt") as f:
                key = next(key for key in f.keys() if len(f.get_slice(key).get_shape()) == 2)
                check(torch.equal(f.get_slice(key)[3:7, 1:5], f.get_tensor(key)[3:7, 1:5]), f"safetensors slice of {key}")


# --- generation ---


def generate(model: Any, tokenizer: Any, prompts: list[str]) -> list[str]:
    import torch

    texts = []
    for prompt in prompts:
        inputs = tokenizer(prompt, return_tensors="pt")
        with torch.no_grad():
            out = model.generate(**inputs, max_new_tokens=16, do_sample=False)
        texts.append(tokenizer.decode(out[0][inputs.input_ids.shape[1] :], skip_special_tokens=True))
    return texts


def check_generation(lorafs: Lorafs, options: argparse.Namespace) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    import smollm2

    base, adapter = smollm2.prepare(options.smollm2)
    check_start(lorafs, base, adapter)

    def load(directory: Path) -> Any:
        return AutoModelForCausalLM.from_pretrained(directory, dtype=torch.bfloat16).eval()

    tokenizer = AutoTokenizer.from_pretrained(base)
    plain = load(base)
    without = generate(plain, tokenizer, smollm2.PROMPTS)
    merged = PeftModel.from_pretrained(plain, adapter).merge_and_unload()
    want = generate(merged, tokenizer, smollm2.PROMPTS)
    with lorafs.mount(base, adapter) as point:
        got, off, total = read_mounted(point, merged, load)
    for prompt, text in zip(smollm2.PROMPTS, got, strict=True):
        print(f"  {prompt!r} -> {text!r}")
    check(off <= total * 1e-4, f"{off} of {total} elements differ from PEFT's merge")
    check(got == want, "the mount generates what PEFT's merge generates")
    check(all(a != b for a, b in zip(got, without, strict=True)), "and not what the base generates")


def read_mounted(point: Path, merged: Any, load: Callable[[Path], Any]) -> tuple[list[str], int, int]:
    """Texts, elements that differ from merged, all elements. Nothing maps the mount afterwards."""
    from transformers import AutoTokenizer

    import smollm2

    begin = time.perf_counter()
    model = load(point)
    print(f"  transformers loaded the mount in {time.perf_counter() - begin:.2f} s")
    texts = generate(model, AutoTokenizer.from_pretrained(point), smollm2.PROMPTS)
    want, have = merged.state_dict(), model.state_dict()
    check(want.keys() == have.keys(), "the mount has the tensors of PEFT's merge")
    off = sum(int((have[name] != value).sum()) for name, value in want.items())
    return texts, off, sum(value.numel() for value in want.values())


def check_start(lorafs: Lorafs, base: Path, adapter: Path) -> None:
    """The best of some starts counts: a busy machine delays single ones."""
    times = []
    for _ in range(5):
        point = Path(tempfile.mkdtemp(prefix="lorafs-client-"))
        begin = time.perf_counter()
        lorafs.run("mount", base, adapter, point)
        times.append((time.perf_counter() - begin) * 1000)
        lorafs.run("umount", point)
        point.rmdir()
    figures = ", ".join(f"{t:.0f}" for t in times)
    check(min(times) <= MOUNT_LIMIT_MS, f"mount returned after {figures} ms; the best must be at most {MOUNT_LIMIT_MS}")


# --- memory ---

HIDDEN, INNER, LAYERS, VOCAB = 2048, 5632, 20, 32000
PROJECTIONS = {
    "self_attn.q_proj": (HIDDEN, HIDDEN),
    "self_attn.k_proj": (HIDDEN, HIDDEN),
    "self_attn.v_proj": (HIDDEN, HIDDEN),
    "self_attn.o_proj": (HIDDEN, HIDDEN),
    "mlp.gate_proj": (INNER, HIDDEN),
    "mlp.up_proj": (INNER, HIDDEN),
    "mlp.down_proj": (HIDDEN, INNER),
}


def synthesise(root: Path) -> tuple[Path, Path]:
    """A Llama of 2 GB and a rank-16 adapter on each projection, of random bits in a sane range."""
    import torch
    from peft import LoraConfig
    from safetensors.torch import save_file
    from transformers import LlamaConfig

    base, adapter = root / "base", root / "adapter"
    if adapter.exists():
        return base, adapter
    shutil.rmtree(root, ignore_errors=True)
    base.mkdir(parents=True)
    generator = torch.Generator().manual_seed(1)
    pool = (0.02 * torch.randn(VOCAB * HIDDEN + 4096, generator=generator)).bfloat16()

    def weight(*shape: int) -> torch.Tensor:
        start = int(torch.randint(4096, (1,), generator=generator))
        return pool[start : start + shape[0] * (shape[1] if len(shape) > 1 else 1)].reshape(shape)

    LlamaConfig(
        vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=LAYERS, num_attention_heads=16, num_key_value_heads=16,
        architectures=["LlamaForCausalLM"], dtype="bfloat16", tie_word_embeddings=False,
    ).save_pretrained(base)  # fmt: skip
    shards = [{"model.embed_tokens.weight": weight(VOCAB, HIDDEN)}]
    for i in range(LAYERS):
        layer = {f"model.layers.{i}.{name}.weight": weight(*shape) for name, shape in PROJECTIONS.items()}
        layer |= {f"model.layers.{i}.{name}.weight": weight(HIDDEN) for name in ("input_layernorm", "post_attention_layernorm")}
        if i % 5 == 0:
            shards.append({})
        shards[-1] |= layer
    shards.append({"model.norm.weight": weight(HIDDEN), "lm_head.weight": weight(VOCAB, HIDDEN)})
    weight_map = {}
    for i, shard in enumerate(shards):
        name = f"model-{i + 1:05d}-of-{len(shards):05d}.safetensors"
        save_file({key: value.clone() for key, value in shard.items()}, base / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(shard, name)
    size = sum(value.numel() * 2 for shard in shards for value in shard.values())
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (base / "model.safetensors.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")

    factors = {}
    for i in range(LAYERS):
        for name, (rows, columns) in PROJECTIONS.items():
            key = f"base_model.model.model.layers.{i}.{name}"
            factors[f"{key}.lora_A.weight"] = 0.02 * torch.randn(16, columns, generator=generator)
            factors[f"{key}.lora_B.weight"] = 0.02 * torch.randn(rows, 16, generator=generator)
    partial = root / "adapter.partial"
    partial.mkdir()
    save_file(factors, partial / "adapter_model.safetensors", metadata={"format": "pt"})
    targets = [name.split(".")[1] for name in PROJECTIONS]
    LoraConfig(r=16, lora_alpha=32, target_modules=targets, task_type="CAUSAL_LM").save_pretrained(partial)
    partial.rename(adapter)
    return base, adapter


def daemon_of(point: Path) -> int:
    """The process that serves a mount, found by its command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(point).encode() in words and b"mount" in words:
            found.append(int(entry.name))
    if len(found) != 1:
        raise SystemExit(f"FAIL {len(found)} processes serve {point}")
    return found[0]


def held_bytes(pid: int) -> int:
    """Memory of the process but for file mappings, which are the inputs' page cache."""
    status = Path(f"/proc/{pid}/status").read_text()
    return sum(int(re.search(rf"^{field}:\s+(\d+) kB", status, re.M)[1]) for field in ("RssAnon", "RssShmem")) * 1024


def check_memory(lorafs: Lorafs, options: argparse.Namespace) -> None:
    base, adapter = synthesise(options.synthetic)
    for cache_size in (64 * MIB, 256 * MIB):
        with lorafs.mount("--cache-size", str(cache_size), base, adapter) as point:
            pid = daemon_of(point)
            before, peak, total = held_bytes(pid), 0, 0
            begin = time.perf_counter()
            buffer = bytearray(4 * MIB)
            for file in sorted(point.glob("*.safetensors")):
                with file.open("rb", buffering=0) as f:
                    while n := f.readinto(buffer):
                        total += n
                        if total // (256 * MIB) != (total - n) // (256 * MIB):
                            peak = max(peak, held_bytes(pid))
            seconds = time.perf_counter() - begin
            after = held_bytes(pid)
        print(f"  read {total / 1e9:.2f} GB in {seconds:.1f} s; held {before / MIB:.0f} MiB before, {peak / MIB:.0f} at most, {after / MIB:.0f} after")
        check(total > 2e9, "the model has 2 GB")
        limit = cache_size + 64 * MIB
        check(max(peak, after) <= limit, f"with a cache of {cache_size // MIB} MiB the daemon holds at most {limit // MIB} MiB")


# --- views ---


def digest(path: Path) -> str:
    h = hashlib.sha256()
    with path.open("rb") as f:
        while block := f.read(MIB):
            h.update(block)
    return h.hexdigest()


def digests(root: Path) -> dict[str, str]:
    return {str(file.relative_to(root)): digest(file) for file in sorted(root.rglob("*")) if file.is_file() and ".lorafs" not in file.parts}


def mapped_digest(path: Path, backwards: bool) -> str:
    """Digest of the pages of a mapping, touched from either end."""
    with path.open("rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as m:
        blocks = range(0, len(m), 64 << 10)
        pieces = {start: m[start : start + (64 << 10)] for start in (reversed(blocks) if backwards else blocks)}
    h = hashlib.sha256()
    for start in blocks:
        h.update(pieces[start])
    return h.hexdigest()


def output(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE).stdout


def check_views(lorafs: Lorafs, options: argparse.Namespace) -> None:
    if options.smollm2.joinpath("adapter").exists():
        pairs = [(options.smollm2 / "base", options.smollm2 / "adapter")]
    else:
        pairs = []
    pairs.append((GOLDENS / "bases/llama-sharded-bf16", GOLDENS / "cases/llama-sharded/adapter"))
    for base, adapter in pairs:
        with tempfile.TemporaryDirectory(prefix="lorafs-views-") as temporary:
            work = Path(temporary)
            lorafs.run("export", base, adapter, work / "export")
            want = digests(work / "export")
            # A mount of its own for each reader: no page cache that another one filled.
            for view in (view_copy, view_rsync, view_sums, view_pieces, view_mappings, view_metadata):
                with lorafs.mount(base, adapter) as point:
                    view(point, work, want)


View = Callable[[Path, Path, dict[str, str]], None]


def view_copy(point: Path, work: Path, want: dict[str, str]) -> None:
    output("cp", "-r", point, work / "copy")
    check(digests(work / "copy") == want, f"cp -r: {len(want)} files")


def view_rsync(point: Path, work: Path, want: dict[str, str]) -> None:
    output("rsync", "-r", "--exclude=.lorafs", f"{point}/", work / "rsync")
    check(digests(work / "rsync") == want, f"rsync: {len(want)} files")


def view_sums(point: Path, work: Path, want: dict[str, str]) -> None:
    del work
    lines = output("sha256sum", *(point / name for name in want)).splitlines()
    check([line.split()[0] for line in lines] == list(want.values()), "sha256sum")


def view_pieces(point: Path, work: Path, want: dict[str, str]) -> None:
    """dd of pieces whose offsets and lengths are multiples of nothing."""
    numbers = random.Random(7)
    for name in want:
        size = (point / name).stat().st_size
        reference = (work / "export" / name).read_bytes()
        for _ in range(12):
            offset = numbers.randrange(size)
            length = numbers.randrange(1, 3 * MIB)
            command = ["dd", f"if={point / name}", f"skip={offset}", f"count={length}", "iflag=skip_bytes,count_bytes", "bs=37777", "status=none"]
            piece = subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE).stdout
            if piece != reference[offset : offset + length]:
                raise SystemExit(f"FAIL dd of {name} at {offset}+{length}")
    check(True, f"dd at odd offsets: {12 * len(want)} pieces")


def view_mappings(point: Path, work: Path, want: dict[str, str]) -> None:
    del work
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for name in (name for name in want if name.endswith(".safetensors")):
            both = list(pool.map(mapped_digest, [point / name] * 2, [False, True]))
            check(both == [want[name]] * 2, f"mmap from two processes: {name}")


def view_metadata(point: Path, work: Path, want: dict[str, str]) -> None:
    export = work / "export"
    listing = ("-not", "-path", "*/.lorafs*", "-type", "f", "-printf", "%P %s\n")
    seen, wanted = (sorted(output("find", root, *listing).splitlines()) for root in (point, export))
    check(seen == wanted, "find: names and sizes")
    apparent, expected = (sum(int(line.split()[0]) for line in output("du", "-b", *(root / name for name in want)).splitlines()) for root in (point, export))
    check(apparent == expected, f"du: {apparent} bytes")
    name = next(name for name in want if name.endswith(".safetensors"))
    blocks = (point / name).stat().st_blocks * 512
    check(blocks >= (point / name).stat().st_size, "du: no holes")
    try:
        (point / name).open("r+b").close()
    except OSError as error:
        check(error.errno == errno.EROFS, "writing gives EROFS")
    else:
        raise SystemExit("FAIL a file could be opened for writing")


# --- command ---

CHECKS: dict[str, Callable[[Lorafs, argparse.Namespace], None]] = {
    "safetensors": check_safetensors,
    "generation": check_generation,
    "memory": check_memory,
    "views": check_views,
}


def main() -> None:
    cache = Path(os.environ.get("LORAFS_TEST_CACHE", Path.home() / ".cache/lorafs"))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lorafs", type=Path, required=True, help="the program")
    parser.add_argument("--only", action="append", choices=list(CHECKS), help="a check to make; may be repeated")
    parser.add_argument("--smollm2", type=Path, default=cache / "smollm2")
    parser.add_argument("--synthetic", type=Path, default=cache / "synthetic-2gb")
    options = parser.parse_args()
    for name in options.only or CHECKS:
        print(name, flush=True)
        begin = time.perf_counter()
        CHECKS[name](Lorafs(options.lorafs), options)
        print(f"  {time.perf_counter() - begin:.0f} s", flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
