"""Writes the samples of this directory with accelerate 1.15.0 and transformers 5.23.0."""

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
