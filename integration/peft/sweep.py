"""More architectures, for runs with other seeds: what the names of their tensors are is what they test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import transformers as tf
from torch import nn

from bases import Dims


def _plain(d: Dims) -> dict[str, Any]:
    return dict(
        vocab_size=d.vocab, hidden_size=d.hidden, intermediate_size=d.inner, num_hidden_layers=2, num_attention_heads=d.heads,
        max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip


def _grouped(d: Dims) -> dict[str, Any]:
    return _plain(d) | {"num_key_value_heads": 2}


def _headed(d: Dims) -> dict[str, Any]:
    return _grouped(d) | {"head_dim": 8}


def _gpt(d: Dims) -> dict[str, Any]:
    return dict(vocab_size=d.vocab, n_embd=d.hidden, n_layer=2, n_head=d.heads, n_positions=64, rotary_dim=4, bos_token_id=1, eos_token_id=2)


def _seq2seq(d: Dims) -> dict[str, Any]:
    return dict(
        vocab_size=d.vocab, d_model=d.hidden, encoder_layers=2, decoder_layers=2, encoder_attention_heads=d.heads, decoder_attention_heads=d.heads,
        encoder_ffn_dim=d.inner, decoder_ffn_dim=d.inner, max_position_embeddings=64,
    )  # fmt: skip


def _t5(d: Dims) -> dict[str, Any]:
    return dict(vocab_size=d.vocab, d_model=d.hidden, d_kv=8, d_ff=d.inner, num_layers=2, num_heads=d.heads, decoder_start_token_id=0)


def _image(d: Dims) -> dict[str, Any]:
    return dict(
        hidden_size=d.hidden, intermediate_size=d.inner, num_hidden_layers=2, num_attention_heads=d.heads, image_size=16, patch_size=4,
    )  # fmt: skip


# Class of the model, class of its configuration, sizes.
ARCHITECTURES: tuple[tuple[str, str, Callable[[Dims], dict[str, Any]]], ...] = (
    ("GemmaForCausalLM", "GemmaConfig", _headed),
    ("Gemma3ForCausalLM", "Gemma3TextConfig", _headed),
    ("Olmo2ForCausalLM", "Olmo2Config", _grouped),
    ("Starcoder2ForCausalLM", "Starcoder2Config", _grouped),
    ("StableLmForCausalLM", "StableLmConfig", _grouped),
    ("CohereForCausalLM", "CohereConfig", _grouped),
    ("GraniteForCausalLM", "GraniteConfig", _grouped),
    ("PhiForCausalLM", "PhiConfig", _grouped),
    ("Glm4ForCausalLM", "Glm4Config", _headed),
    ("SmolLM3ForCausalLM", "SmolLM3Config", _grouped),
    ("GPTJForCausalLM", "GPTJConfig", _gpt),
    ("CodeGenForCausalLM", "CodeGenConfig", _gpt),
    ("GPTBigCodeForCausalLM", "GPTBigCodeConfig", _gpt),
    ("GPTNeoForCausalLM", "GPTNeoConfig", lambda d: dict(vocab_size=d.vocab, hidden_size=d.hidden, num_layers=2, num_heads=d.heads, attention_types=[[["global", "local"], 1]], max_position_embeddings=64)),
    ("BartForConditionalGeneration", "BartConfig", _seq2seq),
    ("MBartForConditionalGeneration", "MBartConfig", _seq2seq),
    ("MarianMTModel", "MarianConfig", lambda d: _seq2seq(d) | {"pad_token_id": 0, "decoder_start_token_id": 0}),
    ("MT5ForConditionalGeneration", "MT5Config", _t5),
    ("DebertaV2ForMaskedLM", "DebertaV2Config", _plain),
    ("ElectraForMaskedLM", "ElectraConfig", _plain),
    ("AlbertForMaskedLM", "AlbertConfig", lambda d: _plain(d) | {"embedding_size": 16}),
    ("XLMRobertaModel", "XLMRobertaConfig", _plain),
    ("ModernBertForMaskedLM", "ModernBertConfig", lambda d: _plain(d) | {"cls_token_id": 1, "sep_token_id": 2}),
    ("CLIPVisionModel", "CLIPVisionConfig", _image),
    ("Dinov2Model", "Dinov2Config", _image),
    ("DeiTModel", "DeiTConfig", _image),
    ("SiglipVisionModel", "SiglipVisionConfig", _image),
    ("MambaForCausalLM", "MambaConfig", lambda d: dict(vocab_size=d.vocab, hidden_size=d.hidden, num_hidden_layers=2, state_size=4)),
)  # fmt: skip


def builder(model: str, config: str, sizes: Callable[[Dims], dict[str, Any]]) -> Callable[[Dims], nn.Module]:
    return lambda d: getattr(tf, model)(getattr(tf, config)(**sizes(d)))


BUILDERS = {model: builder(model, config, sizes) for model, config, sizes in ARCHITECTURES}
