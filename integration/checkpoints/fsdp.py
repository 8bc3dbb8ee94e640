"""Makes checkpoints with the real FSDP of torch and accelerate's writer, on CPUs.

    python fsdp.py --out DIR [--only CASE …]

A case is a directory with checkpoint-2/ as accelerate writes it, masters.safetensors
(the whole model by its training names) and adapter.safetensors (PEFT's names).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

# FSDP version, world, state dict type, model, options
CASES = {
    "fsdp1-full": (1, 2, "FULL_STATE_DICT", "saved", {}),
    "fsdp1-full-adapter": (1, 2, "FULL_STATE_DICT", "lora", {"adapter_only": True}),
    "fsdp1-sharded": (1, 2, "SHARDED_STATE_DICT", "lora", {}),
    "fsdp1-local": (1, 2, "LOCAL_STATE_DICT", "lora", {}),
    "fsdp2-full": (2, 2, "FULL_STATE_DICT", "lora", {}),
    "fsdp2-full-adapter": (2, 2, "FULL_STATE_DICT", "dora", {"adapter_only": True}),
    "fsdp2-sharded": (2, 3, "SHARDED_STATE_DICT", "saved", {}),
    "fsdp2-sharded-bf16": (2, 2, "SHARDED_STATE_DICT", "tokens", {"bf16": True}),
    "fsdp2-ranks": (2, 2, "SHARDED_STATE_DICT", "lora", {"use_dcp": False}),
}


def work(name: str, out: Path) -> None:
    import torch
    import torch.distributed as dist
    from accelerate import PartialState
    from accelerate.utils import FullyShardedDataParallelPlugin
    from accelerate.utils.fsdp_utils import save_fsdp_model
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
    from torch.distributed.fsdp.fully_sharded_data_parallel import StateDictType

    import models

    version, world, kind_of_dict, kind, options = CASES[name]
    PartialState(cpu=True, backend="gloo")
    model = models.adapted(kind)
    if options.get("bf16"):
        model = model.bfloat16()
    reference = {k: v.detach().clone() for k, v in model.state_dict().items()}
    if dist.get_rank() == 0:
        keep(model, reference, out)
    plugin = FullyShardedDataParallelPlugin(fsdp_version=version, state_dict_type=kind_of_dict, use_orig_params=True, cpu_ram_efficient_loading=False)
    plugin.state_dict_type = StateDictType[kind_of_dict]
    if version == 1:
        wrapped = FullyShardedDataParallel(model, use_orig_params=True, device_id=torch.device("cpu"),
                                           auto_wrap_policy=lambda module, recurse, nonwrapped_numel: recurse or type(module).__name__ == "LlamaDecoderLayer")
    else:
        mesh = init_device_mesh("cpu", (world,))
        for layer in model.get_base_model().model.layers:
            fully_shard(layer, mesh=mesh)
        wrapped = fully_shard(model, mesh=mesh)
    rank = dist.get_rank()
    accelerator = SimpleNamespace(num_processes=world, process_index=rank, is_main_process=rank == 0)
    more = {k: options[k] for k in ("adapter_only", "use_dcp") if k in options}
    save_fsdp_model(plugin, accelerator, wrapped, str(out / "checkpoint-2"), **more)
    dist.barrier()
    dist.destroy_process_group()


def keep(model, state: dict, out: Path) -> None:
    from safetensors.torch import save_file

    import models

    save_file({k: v.contiguous().clone() for k, v in state.items()}, out / "masters.safetensors", {"format": "pt"})
    save_file(models.adapter_tensors(model, state), out / "adapter.safetensors", {"format": "pt"})
    model.peft_config["default"].save_pretrained(str(out / "checkpoint-2"))


def launch(name: str, out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    (out / "checkpoint-2").mkdir(parents=True)
    world = CASES[name][1]
    workers = []
    for rank in range(world):
        env = os.environ | {
            "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world), "LOCAL_WORLD_SIZE": str(world),
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(40000 + os.getpid() % 20000), "CUDA_VISIBLE_DEVICES": "",
            "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "HF_HUB_OFFLINE": "1",
        }
        workers.append(subprocess.Popen([sys.executable, __file__, "--work", name, "--out", str(out)], env=env))
    if any([w.wait() for w in workers]):
        print(f"{name} failed", flush=True)


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
            print(name, flush=True)


if __name__ == "__main__":
    main()
