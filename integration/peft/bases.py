"""Tiny random models, one function a base, with every parameter away from its initial value."""

from __future__ import annotations

from collections.abc import Callable

import torch
import transformers as tf
from torch import nn

VOCAB = 96


class Dims:
    """Sizes that follow the seed, so that other seeds also bring other shapes."""

    def __init__(self, seed: int) -> None:
        self.heads = 4
        self.hidden = self.heads * (8 + 2 * (seed % 4))
        self.inner = 2 * self.hidden + 8
        self.vocab = VOCAB + seed % 5


def randomise(model: nn.Module, seed: int) -> nn.Module:
    """Gives each parameter values that a wrong formula, transposition or rounding cannot hit by luck."""
    generator = torch.Generator().manual_seed(seed)
    for name, value in model.named_parameters():
        noise = torch.randn(value.shape, generator=generator)
        if value.ndim >= 2:
            value.data = 0.08 * noise
        elif name.endswith("bias"):
            value.data = 0.1 * noise
        else:
            value.data = 1 + 0.1 * noise
    return model.eval()


def _decoder(d: Dims, **more) -> dict:
    return dict(
        vocab_size=d.vocab,
        hidden_size=d.hidden,
        intermediate_size=d.inner,
        num_hidden_layers=2,
        num_attention_heads=d.heads,
        max_position_embeddings=64,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    ) | more


def llama(d: Dims) -> nn.Module:
    return tf.LlamaForCausalLM(tf.LlamaConfig(**_decoder(d, num_key_value_heads=2, tie_word_embeddings=False)))


def llama_tied(d: Dims) -> nn.Module:
    return tf.LlamaForCausalLM(tf.LlamaConfig(**_decoder(d, num_key_value_heads=2, tie_word_embeddings=True)))


def mistral(d: Dims) -> nn.Module:
    return tf.MistralForCausalLM(tf.MistralConfig(**_decoder(d, num_key_value_heads=2)))


def qwen2(d: Dims) -> nn.Module:
    return tf.Qwen2ForCausalLM(tf.Qwen2Config(**_decoder(d, num_key_value_heads=2)))


def qwen3(d: Dims) -> nn.Module:
    return tf.Qwen3ForCausalLM(tf.Qwen3Config(**_decoder(d, num_key_value_heads=2, head_dim=8, tie_word_embeddings=True)))


def phi3(d: Dims) -> nn.Module:
    return tf.Phi3ForCausalLM(tf.Phi3Config(**_decoder(d, num_key_value_heads=2)))


def gemma2(d: Dims) -> nn.Module:
    return tf.Gemma2ForCausalLM(tf.Gemma2Config(**_decoder(d, num_key_value_heads=2, head_dim=8)))


def gpt2(d: Dims) -> nn.Module:
    return tf.GPT2LMHeadModel(
        tf.GPT2Config(vocab_size=d.vocab, n_embd=d.hidden, n_layer=2, n_head=d.heads, n_positions=64, bos_token_id=1, eos_token_id=2)
    )


def gpt_neox(d: Dims) -> nn.Module:
    return tf.GPTNeoXForCausalLM(tf.GPTNeoXConfig(**_decoder(d)))


def opt(d: Dims) -> nn.Module:
    return tf.OPTForCausalLM(
        tf.OPTConfig(
            vocab_size=d.vocab,
            hidden_size=d.hidden,
            ffn_dim=d.inner,
            num_hidden_layers=2,
            num_attention_heads=d.heads,
            max_position_embeddings=64,
            word_embed_proj_dim=d.hidden,
        )
    )


def falcon(d: Dims) -> nn.Module:
    return tf.FalconForCausalLM(
        tf.FalconConfig(vocab_size=d.vocab, hidden_size=d.hidden, num_hidden_layers=2, num_attention_heads=d.heads, bos_token_id=1, eos_token_id=2)
    )


def bloom(d: Dims) -> nn.Module:
    return tf.BloomForCausalLM(tf.BloomConfig(vocab_size=d.vocab, hidden_size=d.hidden, n_layer=2, n_head=d.heads))


def _t5_config(d: Dims) -> tf.T5Config:
    return tf.T5Config(
        vocab_size=d.vocab,
        d_model=d.hidden,
        d_kv=8,
        d_ff=d.inner,
        num_layers=2,
        num_heads=d.heads,
        decoder_start_token_id=0,
    )


def t5(d: Dims) -> nn.Module:
    return tf.T5ForConditionalGeneration(_t5_config(d))


def _bert_config(d: Dims) -> tf.BertConfig:
    return tf.BertConfig(
        vocab_size=d.vocab,
        hidden_size=d.hidden,
        intermediate_size=d.inner,
        num_hidden_layers=2,
        num_attention_heads=d.heads,
        max_position_embeddings=64,
    )


def bert_bare(d: Dims) -> nn.Module:
    return tf.BertModel(_bert_config(d))


def bert_pretraining(d: Dims) -> nn.Module:
    return tf.BertForPreTraining(_bert_config(d))


def roberta(d: Dims) -> nn.Module:
    return tf.RobertaForMaskedLM(
        tf.RobertaConfig(
            vocab_size=d.vocab,
            hidden_size=d.hidden,
            intermediate_size=d.inner,
            num_hidden_layers=2,
            num_attention_heads=d.heads,
            max_position_embeddings=64,
        )
    )


def distilbert(d: Dims) -> nn.Module:
    return tf.DistilBertForMaskedLM(
        tf.DistilBertConfig(vocab_size=d.vocab, dim=d.hidden, hidden_dim=d.inner, n_layers=2, n_heads=d.heads, max_position_embeddings=64)
    )


def whisper(d: Dims) -> nn.Module:
    return tf.WhisperForConditionalGeneration(
        tf.WhisperConfig(
            vocab_size=d.vocab,
            d_model=d.hidden,
            encoder_layers=2,
            decoder_layers=2,
            encoder_attention_heads=d.heads,
            decoder_attention_heads=d.heads,
            encoder_ffn_dim=d.inner,
            decoder_ffn_dim=d.inner,
            num_mel_bins=10,
            max_source_positions=30,
            max_target_positions=30,
            decoder_start_token_id=3,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            suppress_tokens=None,
            begin_suppress_tokens=None,
        )
    )


def _vit_config(d: Dims) -> tf.ViTConfig:
    return tf.ViTConfig(
        hidden_size=d.hidden,
        intermediate_size=d.inner,
        num_hidden_layers=2,
        num_attention_heads=d.heads,
        image_size=16,
        patch_size=4,
    )


def vit(d: Dims) -> nn.Module:
    return tf.ViTModel(_vit_config(d))


def siglip(d: Dims) -> nn.Module:
    sizes = dict(hidden_size=d.hidden, intermediate_size=d.inner, num_hidden_layers=1, num_attention_heads=d.heads)
    return tf.SiglipModel(
        tf.SiglipConfig(
            text_config=dict(sizes, vocab_size=d.vocab, max_position_embeddings=16, projection_size=d.hidden),
            vision_config=dict(sizes, image_size=16, patch_size=4),
        )
    )


def llava(d: Dims) -> nn.Module:
    return tf.LlavaForConditionalGeneration(
        tf.LlavaConfig(
            vision_config=tf.CLIPVisionConfig(
                hidden_size=d.hidden, intermediate_size=d.inner, num_hidden_layers=2, num_attention_heads=d.heads, image_size=16, patch_size=4
            ),
            text_config=tf.LlamaConfig(**_decoder(d, num_key_value_heads=2)),
            image_token_index=5,
        )
    )


def qwen2_vl(d: Dims) -> nn.Module:
    text = _decoder(d, num_key_value_heads=2, rope_parameters={"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]})
    return tf.Qwen2VLForConditionalGeneration(
        tf.Qwen2VLConfig(
            text_config=text,
            vision_config=dict(depth=2, embed_dim=32, hidden_size=d.hidden, num_heads=2, mlp_ratio=2, patch_size=4, in_channels=3),
            image_token_id=5,
            video_token_id=6,
            vision_start_token_id=7,
            vision_end_token_id=8,
        )
    )


class LayersConfig(tf.PreTrainedConfig):
    model_type = "layers"


class Layers(tf.PreTrainedModel):
    """One layer of each kind that LoRA knows, none at a place that an architecture table could name."""

    config_class = LayersConfig

    def __init__(self, config: LayersConfig) -> None:
        super().__init__(config)
        self.linear = nn.Linear(24, 20)
        self.plain = nn.Linear(20, 24, bias=False)
        self.conv1d = nn.Conv1d(6, 10, 3)
        self.conv2d = nn.Conv2d(4, 6, (3, 2))
        self.conv3d = nn.Conv3d(3, 5, (2, 3, 2))
        self.emb = nn.Embedding(30, 12)
        self.attn = nn.MultiheadAttention(16, 4)
        self.norm = nn.LayerNorm(20)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        return


def layers(d: Dims) -> nn.Module:
    del d
    return Layers(LayersConfig())


BASES: dict[str, Callable[[Dims], nn.Module]] = {
    f.__name__: f
    for f in (
        llama, llama_tied, mistral, qwen2, qwen3, phi3, gemma2, gpt2, gpt_neox, opt, falcon, bloom, t5,
        bert_bare, bert_pretraining, roberta, distilbert, whisper, vit, siglip, llava, qwen2_vl, layers,
    )
}  # fmt: skip

SHARD_BYTES = {"llama_sharded": 24_000, "gemma2_sharded": 16_000}
