"""Writes the samples of this directory with accelerate 1.15.0, transformers 5.23.0 and DeepSpeed 0.19.8."""

import json
import os

os.environ.update(
    RANK="0", LOCAL_RANK="0", WORLD_SIZE="1", MASTER_ADDR="127.0.0.1", MASTER_PORT="29677",
    DS_ACCELERATOR="cpu", CUDA_VISIBLE_DEVICES="")

import torch
from accelerate.commands.config.config_args import ClusterConfig
from accelerate.utils.dataclasses import ComputeEnvironment, DistributedType
from transformers import TrainingArguments


def accelerate(name, distributed_type, **config):
    ClusterConfig(
        compute_environment=ComputeEnvironment.LOCAL_MACHINE, distributed_type=distributed_type,
        mixed_precision="bf16", use_cpu=False, debug=False, num_processes=2, machine_rank=0,
        num_machines=1, main_training_function="main", rdzv_backend="static", same_network=True, **config,
    ).to_yaml_file(f"accelerate_{name}.yaml")


accelerate("inline", DistributedType.DEEPSPEED, deepspeed_config={
    "zero_stage": 3, "zero3_init_flag": True, "zero3_save_16bit_model": False,
    "offload_optimizer_device": "none", "offload_param_device": "none", "gradient_accumulation_steps": 1})
accelerate("file", DistributedType.DEEPSPEED, deepspeed_config={
    "deepspeed_config_file": "ds.json", "zero3_init_flag": True})
accelerate("fsdp", DistributedType.FSDP, fsdp_config={
    "fsdp_version": 2, "fsdp_state_dict_type": "SHARDED_STATE_DICT", "fsdp_reshard_after_forward": True})
with open("training_args.json", "w") as f:
    f.write(TrainingArguments(output_dir="out", report_to=[], use_cpu=True).to_json_string())

with open("ds.json", "w") as f:
    json.dump({
        "zero_optimization": {"stage": 3, "stage3_gather_16bit_weights_on_model_save": "auto"},
        "train_micro_batch_size_per_gpu": "auto", "bf16": {"enabled": "auto"}}, f)
for name, options in {
    "deepspeed": {"deepspeed": "ds.json"},
    "fsdp": {"fsdp": True, "fsdp_config": {"state_dict_type": "SHARDED_STATE_DICT"}},
}.items():
    torch.save(TrainingArguments(output_dir="out", report_to=[], use_cpu=True, **options), f"{name}.training_args.bin")
os.remove("ds.json")
