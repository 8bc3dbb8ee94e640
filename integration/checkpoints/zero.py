"""Makes checkpoints with the real DeepSpeed on CPUs, and the truth beside them.

    python zero.py --out DIR [--only CASE …]

A case is a directory:

    checkpoint-2/       as transformers' Trainer leaves it: latest, global_step2/, adapter_config.json
    masters.safetensors what zero_to_fp32 makes of it, by training names; what was live agrees
    adapter.safetensors the same by PEFT's names, for what belongs to the adapter
    half.safetensors    the 16-bit values that training computed with, by PEFT's names
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

# stage, world, dtype, model, changes of the DeepSpeed config, options of the script
CASES = {
    "stage1-world2-bf16": (1, 2, "bf16", "lora", {}, {}),
    "stage1-world3-fp32": (1, 3, "fp32", "saved", {}, {}),
    "stage2-world2-fp16": (2, 2, "fp16", "lora", {}, {"legacy": True}),
    "stage2-world3-bf16-groups": (2, 3, "bf16", "dora", {}, {"groups": True}),
    "stage2-world3-round-robin": (2, 3, "bf16", "lora", {"round_robin_gradients": True}, {"round_robin": True}),
    "stage2-world2-aligned": (2, 2, "bf16", "lora", {"parameter_alignment": True}, {}),
    "stage2-world2-tied": (2, 2, "bf16", "tied", {}, {}),
    "stage2-world11": (2, 11, "fp32", "lora", {}, {"exclude": True}),
    "stage3-world2-bf16": (3, 2, "bf16", "lora", {}, {}),
    "stage3-world3-bf16-saved": (3, 3, "bf16", "saved", {}, {"exclude": True}),
    "stage3-world3-fp16-tokens": (3, 3, "fp16", "tokens", {}, {"groups": True}),
    "stage3-world2-fp32-subgroups": (3, 2, "fp32", "dora", {"sub_group_size": 50}, {}),
    "stage3-world11": (3, 11, "bf16", "lora", {}, {"exclude": True, "legacy": True}),
}


def config(stage: int, dtype: str, changes: dict, options: dict) -> dict:
    c = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "zero_optimization": {"stage": stage} | ({"stage3_param_persistence_threshold": 0} if stage == 3 else {}) | changes,
    }
    if dtype != "fp32":
        c[dtype] = {"enabled": True}
    if options.get("legacy"):
        c["checkpoint"] = {"checkpoint_serialization": False}
    return c


def work(name: str, out: Path) -> None:
    import deepspeed
    import torch
    from deepspeed.accelerator import get_accelerator
    from deepspeed.utils import safe_get_full_fp32_param

    import models

    get_accelerator().is_fp16_supported = lambda: True
    stage, world, dtype, kind, changes, options = CASES[name]
    deepspeed.init_distributed(dist_backend="gloo", verbose=False)
    model = models.adapted(kind)
    trained = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    params = [p for _, p in trained]
    if options.get("groups"):
        params = [{"params": [p for n, p in trained if "lora_A" in n]}, {"params": [p for n, p in trained if "lora_A" not in n]}]
    engine, *_ = deepspeed.initialize(
        model=model, optimizer=torch.optim.AdamW(params, lr=1e-2), config=config(stage, dtype, changes, options)
    )
    for step in range(2):
        ids = models.batch(10 * step + engine.global_rank)
        engine.backward(engine(input_ids=ids, labels=ids).loss)
        engine.step()
    engine.save_checkpoint(str(out / "checkpoint-2"), client_state={"args": argparse.Namespace(out=out)},
                           exclude_frozen_parameters=bool(options.get("exclude")))
    live = {n: safe_get_full_fp32_param(p) for n, p in engine.module.named_parameters() if p.requires_grad}
    half = engine.module.state_dict()
    if stage == 3:
        with deepspeed.zero.GatheredParameters(list(engine.module.parameters())):
            half = {k: v.detach().clone() for k, v in engine.module.state_dict().items()}
    if engine.global_rank == 0:
        keep(engine.module, live, half, out, options)
    deepspeed.comm.barrier()


def keep(model, live: dict, half: dict, out: Path, options: dict) -> None:
    """Writes the truth, rank 0 only."""
    import torch
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint
    from safetensors.torch import save_file

    import models

    step = out / "checkpoint-2"
    if options.get("legacy"):  # which zero_to_fp32 asks torch to map, in vain
        load = torch.load
        torch.load = lambda *a, mmap=None, **more: load(*a, **more)
    masters = get_fp32_state_dict_from_zero_checkpoint(str(step), tag="global_step2", exclude_frozen_parameters=False)
    masters = {k: v.detach().contiguous().clone() for k, v in masters.items()}
    for n, v in live.items():
        if not options.get("round_robin"):
            assert torch.equal(masters[n], v.float()), n
        assert torch.allclose(masters[n], half[n].float(), rtol=1e-2, atol=1e-3), n
    save_file(masters, out / "masters.safetensors", {"format": "pt"})
    full = {k: v.detach().contiguous().clone() for k, v in half.items()}
    save_file(models.adapter_tensors(model, full | masters), out / "adapter.safetensors", {"format": "pt"})
    save_file(models.adapter_tensors(model, full), out / "half.safetensors", {"format": "pt"})
    model.peft_config["default"].save_pretrained(str(step))
    for script in step.glob("*.py"):
        script.unlink()


def launch(name: str, out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    world = CASES[name][1]
    port = str(20000 + os.getpid() % 20000)
    workers = []
    for rank in range(world):
        env = os.environ | {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": "",
            "DS_BUILD_OPS": "0", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "HF_HUB_OFFLINE": "1",
        }
        workers.append(subprocess.Popen([sys.executable, __file__, "--work", name, "--out", str(out)], env=env))
    if any([w.wait() for w in workers]):
        print(f"{name} failed", flush=True)


def universal(source: Path, out: Path) -> None:
    """Converts a case with ds_to_universal."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(source, out, ignore=shutil.ignore_patterns("global_step*", "latest"))
    target = out / "checkpoint-2" / "global_step2_universal"
    subprocess.run(
        [sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal", "--input_folder", str(source / "checkpoint-2" / "global_step2"),
         "--output_folder", str(target), "--num_extract_workers", "1", "--num_merge_workers", "1", "--inject_missing_state"],
        check=True, env=os.environ | {"DS_ACCELERATOR": "cpu", "CUDA_VISIBLE_DEVICES": ""},
    )
    for file in [*target.glob("zero/**/*.pt")]:
        if file.name != "fp32.pt" or "default" not in file.parent.name:
            file.unlink()  # moments and frozen parameters, which nobody reads
    (out / "checkpoint-2" / "latest_universal").write_text("global_step2_universal")


UNIVERSAL = {"universal-stage2": "stage2-world3-bf16-groups", "universal-stage3": "stage3-world3-bf16-saved"}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--work")
    args = parser.parse_args()
    if args.work:
        return work(args.work, args.out)
    for name in CASES:
        if not args.only or name in args.only:
            launch(name, args.out / name)
            print(json.dumps({"case": name}), flush=True)
    for name, source in UNIVERSAL.items():
        if not args.only or name in args.only:
            universal(args.out / source, args.out / name)


if __name__ == "__main__":
    main()
