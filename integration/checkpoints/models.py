"""The tiny PEFT models that the checkpoints are made of."""

from __future__ import annotations

import peft
import torch
import transformers as tf
from torch import nn

# Odd sizes, so that no partition ends where a parameter does.
HIDDEN, INNER, VOCAB = 20, 28, 33

LORA = dict(r=3, lora_alpha=6, target_modules=["q_proj", "v_proj", "down_proj"], lora_dropout=0.0)

# name of a case's model → options of LoraConfig
OPTIONS = {
    "lora": dict(rank_pattern={"down_proj": 2}),
    "saved": dict(modules_to_save=["lm_head"]),
    "tokens": dict(trainable_token_indices={"embed_tokens": [3, 7, 30]}),
    "tied": dict(target_modules=["q_proj", "v_proj"], modules_to_save=["lm_head", "embed_tokens"]),
    "dora": dict(use_dora=True),
    "bias": dict(bias="lora_only"),
}


def base(tied: bool = False, bias: bool = False) -> nn.Module:
    torch.manual_seed(1)
    model = tf.LlamaForCausalLM(
        tf.LlamaConfig(
            vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=INNER, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=32,
            tie_word_embeddings=tied, attention_bias=bias, bos_token_id=1, eos_token_id=2, pad_token_id=0,
        )
    )
    return model


def adapted(kind: str) -> nn.Module:
    model = peft.get_peft_model(base(kind == "tied", kind == "bias"), peft.LoraConfig(task_type="CAUSAL_LM", **(LORA | OPTIONS[kind])))
    torch.manual_seed(2)
    for p in model.parameters():
        if p.requires_grad:
            p.data = p.data + 0.05 * torch.randn_like(p)
    return model


def adapter_tensors(model: nn.Module, state: dict, name: str = "default") -> dict:
    """PEFT's own names for the values of a state dict."""
    chosen = peft.get_peft_model_state_dict(model, state_dict=state, adapter_name=name, save_embedding_layers=False)
    return {k: v.detach().cpu().contiguous().clone() for k, v in chosen.items()}


def batch(seed: int) -> torch.Tensor:
    return torch.randint(3, VOCAB, (1, 6), generator=torch.Generator().manual_seed(seed))
